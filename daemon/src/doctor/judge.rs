//! From what was found to what to say: pure, one function for each kind of thing.

use crate::doctor::facts::{Cgroups, Configuration, Disk, Facts, Family, Holder, Limit, Port};

/// Paths of jobs are resolved by openat2, which is there since.
const OLDEST_KERNEL: (u32, u32) = (5, 6);
/// Tasks with a root of their own are mounted by descriptors, which is there since.
const ISOLATING_KERNEL: (u32, u32) = (5, 12);
/// Below this the agent refuses writes.
const LEAST_DISK: u64 = 256 << 20;
/// Below this an operator should look.
const LITTLE_DISK: u64 = 2 << 30;
/// Percent of inodes.
const MOST_INODES: u64 = 90;
/// A write that takes longer slows every change of the cluster down, in microseconds.
const SLOW_SYNC: u64 = 20_000;
/// With it heartbeats of the log come late, in microseconds.
const BAD_SYNC: u64 = 200_000;
/// Each task and each connection takes a few.
const FEW_FILES: u64 = 4096;
/// Clocks differ a little, and files are written while the doctor looks.
const AHEAD: i64 = 60;
/// What tasks are limited with.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Well,
    /// The agent works; something that jobs may ask for does not, or it could be better.
    Advice,
    /// It could not be looked at.
    Unknown,
    /// The agent or its tasks do not work.
    Problem,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, one word.
    pub check: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// In a sentence.
    pub message: String,
    /// What to do, as a command where there is one.
    pub repair: Option<String>,
}

impl Finding {
    fn well(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Well, message: message.into(), repair: None }
    }
    fn bad(verdict: Verdict, check: &'static str, message: impl Into<String>, repair: impl Into<String>) -> Self {
        Self { check, verdict, message: message.into(), repair: Some(repair.into()) }
    }
}

/// Everything, in the order in which one thing rests on another.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![kernel(facts), cgroups(facts), overlay(facts), seccomp(facts), systemd(facts)];
    findings.extend(bus(facts));
    findings.extend([plugins(facts), firewall(facts), time(facts), clock(facts), configuration(facts)]);
    findings.extend(warnings(facts));
    findings.extend(facts.disks.iter().flat_map(|(folder, of)| disk(&folder.display().to_string(), of)));
    findings.extend(facts.absent.iter().map(|(what, path)| {
        let message = format!("{what} names {}, which is no folder", path.display());
        Finding::bad(Verdict::Problem, "folders", message, format!("mkdir -p {}", path.display()))
    }));
    findings.extend(facts.ports.iter().map(port));
    findings.push(open_files(facts.open_files));
    findings.extend(secrets(facts));
    findings
}

/// 1 when something does not work, 2 when something could not be looked at, else 0.
pub fn exit_code(findings: &[Finding]) -> u8 {
    match findings.iter().map(|finding| finding.verdict).max() {
        Some(Verdict::Problem) => 1,
        Some(Verdict::Unknown) => 2,
        _ => 0,
    }
}

/// The command that installs a package.
fn install(family: Family, debian: &str, rpm: &str) -> String {
    match family {
        Family::Debian => format!("apt-get install {debian}"),
        Family::Rpm => format!("dnf install {rpm}"),
        Family::Other => format!("install the package {debian} (Debian) or {rpm} (Fedora, RHEL)"),
    }
}

fn kernel(facts: &Facts) -> Finding {
    let mut parts = facts.kernel.split(['.', '-', '+']).map(|part| part.parse::<u32>().ok());
    let Some((major, minor)) = parts.next().flatten().zip(parts.next().flatten()) else {
        let message = format!("the kernel's release {:?} cannot be read", facts.kernel);
        return Finding { check: "kernel", verdict: Verdict::Unknown, message, repair: None };
    };
    let (least_major, least_minor) = OLDEST_KERNEL;
    if (major, minor) < OLDEST_KERNEL {
        let message = format!("Linux {} is too old: {least_major}.{least_minor} or later is needed", facts.kernel);
        let repair = match facts.family {
            Family::Debian => "apt-get install linux-image-amd64 && reboot",
            Family::Rpm => "dnf upgrade kernel && reboot",
            Family::Other => "install a newer kernel and boot it",
        };
        return Finding::bad(Verdict::Problem, "kernel", message, repair);
    }
    if (major, minor) < ISOLATING_KERNEL {
        let message = format!("Linux {}: tasks of exec, java and of containers need 5.12 or later", facts.kernel);
        return Finding::bad(Verdict::Advice, "kernel", message, "install a newer kernel and boot it");
    }
    Finding::well("kernel", format!("Linux {}", facts.kernel))
}

fn cgroups(facts: &Facts) -> Finding {
    let Cgroups { version, controllers } = &facts.cgroups;
    let missing: Vec<&str> =
        CONTROLLERS.into_iter().filter(|name| !controllers.iter().any(|there| there == name)).collect();
    let parameters = match facts.family {
        Family::Rpm => "grubby --update-kernel=ALL --args='cgroup_enable=memory' && reboot",
        _ => "add cgroup_enable=memory to GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub && reboot",
    };
    match version {
        0 => Finding::bad(
            Verdict::Problem,
            "cgroups",
            "no cgroup hierarchy is mounted: tasks are not limited, and what they leave behind is not found",
            "mount -t cgroup2 none /sys/fs/cgroup (systemd does it at boot)",
        ),
        _ if !missing.is_empty() => Finding::bad(
            Verdict::Problem,
            "cgroups",
            format!("version {version} without {}: those limits of jobs are not enforced", missing.join(", ")),
            parameters,
        ),
        1 => Finding::bad(
            Verdict::Advice,
            "cgroups",
            "version 1, which works; version 2 tells more of memory and kills whole tasks at once",
            "boot with systemd.unified_cgroup_hierarchy=1",
        ),
        _ => Finding::well("cgroups", format!("version 2 with {}", controllers.join(", "))),
    }
}

fn overlay(facts: &Facts) -> Finding {
    if facts.overlay {
        return Finding::well("overlayfs", "available");
    }
    let message = "the kernel has no overlayfs: images of containers are copied for each task";
    Finding::bad(
        Verdict::Advice,
        "overlayfs",
        message,
        "modprobe overlay && echo overlay >/etc/modules-load.d/overlay.conf",
    )
}

fn seccomp(facts: &Facts) -> Finding {
    if facts.seccomp {
        return Finding::well("seccomp", "available");
    }
    let message = "the kernel cannot filter system calls: containers start only with `privileged` or without a profile";
    Finding::bad(Verdict::Advice, "seccomp", message, "boot a kernel with CONFIG_SECCOMP_FILTER=y")
}

fn systemd(facts: &Facts) -> Finding {
    if facts.init == "systemd" {
        return Finding::well("systemd", "it runs this host: tasks are units");
    }
    let message = format!("process 1 is {:?}: the agent runs tasks itself, in cgroups of its own", facts.init);
    Finding { check: "systemd", verdict: Verdict::Well, message, repair: None }
}

fn bus(facts: &Facts) -> Option<Finding> {
    Some(match facts.bus.as_ref()? {
        Ok(()) => Finding::well("dbus", "the system bus answers"),
        Err(reason) => {
            let message = format!("the system bus does not answer ({reason}): tasks cannot be units of systemd");
            let start = "systemctl enable --now dbus.socket";
            let repair = format!("{} && {start}", install(facts.family, "dbus", "dbus-broker"));
            Finding::bad(Verdict::Problem, "dbus", message, repair)
        }
    })
}

fn plugins(facts: &Facts) -> Finding {
    if !facts.bridge {
        let message = "the kernel has no bridges: groups cannot have networks of mode \"bridge\"";
        return Finding::bad(
            Verdict::Advice,
            "cni",
            message,
            "modprobe bridge && echo bridge >/etc/modules-load.d/bridge.conf",
        );
    }
    if facts.missing_plugins.is_empty() {
        return Finding::well("cni", "bridges and the plugins for them are there");
    }
    let folders: Vec<String> = facts.plugin_folders.iter().map(|folder| folder.display().to_string()).collect();
    let message = format!(
        "CNI plugins are missing ({}; looked for in {}): groups cannot have networks of mode \"bridge\"",
        facts.missing_plugins.join(", "),
        folders.join(":")
    );
    let repair = install(facts.family, "containernetworking-plugins", "containernetworking-plugins");
    Finding::bad(Verdict::Advice, "cni", message, repair)
}

fn firewall(facts: &Facts) -> Finding {
    match &facts.firewall {
        Some(Ok(version)) => Finding::well("iptables", version.clone()),
        Some(Err(reason)) if facts.root => {
            let message =
                format!("iptables does not work ({reason}): ports cannot lead into networks of mode \"bridge\"");
            Finding::bad(
                Verdict::Advice,
                "iptables",
                message,
                "modprobe nf_tables, or boot a kernel with nf_tables and its NAT",
            )
        }
        Some(Err(_)) => unknown("iptables", "only root may look at the rules"),
        None => {
            let message = "iptables is missing: ports cannot lead into networks of mode \"bridge\"";
            let repair = install(facts.family, "iptables", "iptables-nft");
            Finding::bad(Verdict::Advice, "iptables", message, repair)
        }
    }
}

fn unknown(check: &'static str, message: &str) -> Finding {
    Finding::bad(Verdict::Unknown, check, message, "run the doctor as root")
}

fn time(facts: &Facts) -> Finding {
    match facts.synchronized {
        Some(true) => Finding::well("time", "the clock follows a time server"),
        Some(false) => {
            let repair = match facts.family {
                Family::Debian => "apt-get install systemd-timesyncd && timedatectl set-ntp true",
                Family::Rpm => "dnf install chrony && systemctl enable --now chronyd",
                Family::Other => "timedatectl set-ntp true",
            };
            let message = "the clock follows nobody: certificates and times of events of several hosts may not agree";
            Finding::bad(Verdict::Advice, "time", message, repair)
        }
        None => Finding::bad(
            Verdict::Advice,
            "time",
            "nobody on this host says whether its clock follows a time server",
            install(facts.family, "systemd-timesyncd", "chrony"),
        ),
    }
}

fn clock(facts: &Facts) -> Finding {
    if facts.ahead_seconds <= AHEAD {
        return Finding::well("clock", "it has not gone back behind what the agent wrote");
    }
    let message = format!(
        "the agent has written a file {} s in the future: the clock has gone back since, or is wrong now",
        facts.ahead_seconds
    );
    Finding::bad(Verdict::Problem, "clock", message, "set the clock (date -s), then restart the agent")
}

fn configuration(facts: &Facts) -> Finding {
    match &facts.configuration {
        Configuration::None => Finding::bad(
            Verdict::Advice,
            "configuration",
            "there is none in /etc/nomad.d and none was named: ports and folders were judged by the defaults",
            "nomadctl doctor -config PATH",
        ),
        Configuration::Sound { paths, .. } => {
            let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            Finding::well("configuration", format!("an agent starts with {}", paths.join(", ")))
        }
        Configuration::Wrong(problems) => Finding::bad(
            Verdict::Problem,
            "configuration",
            format!("an agent does not start with it: {}", problems.trim().replace('\n', "; ")),
            "correct it, then: nomadd config validate /etc/nomad.d",
        ),
        Configuration::Unreadable(reason) => unknown("configuration", reason),
    }
}

fn warnings(facts: &Facts) -> Vec<Finding> {
    let Configuration::Sound { warnings, .. } = &facts.configuration else { return Vec::new() };
    let finding = |text: &String| Finding {
        check: "configuration",
        verdict: Verdict::Advice,
        message: text.clone(),
        repair: None,
    };
    warnings.iter().map(finding).collect()
}

fn disk(folder: &str, of: &Disk) -> Vec<Finding> {
    let Disk { free, total, inodes, sync } = of;
    let size = |bytes: u64| format!("{:.1} GB", bytes as f64 / 1e9);
    let room = format!("{} of {} free at {folder}", size(*free), size(*total));
    let mut findings = vec![if *free < LEAST_DISK {
        let message = format!("{room}: the agent refuses every change");
        Finding::bad(Verdict::Problem, "disk", message, "nomadctl system gc, or give the folder a larger disk")
    } else if *free < LITTLE_DISK || *inodes > MOST_INODES {
        let message = format!("{room}, {inodes} % of its inodes in use");
        Finding::bad(Verdict::Advice, "disk", message, "nomadctl system gc, or give the folder a larger disk")
    } else {
        Finding::well("disk", room)
    }];
    let millis = |micros: u64| format!("{:.1} ms", micros as f64 / 1000.0);
    findings.extend(sync.as_ref().map(|sync| match sync {
        Ok(micros) if *micros >= BAD_SYNC => {
            let message = format!(
                "a synced write to {folder} takes {}: each change of the cluster waits for it",
                millis(*micros)
            );
            Finding::bad(
                Verdict::Problem,
                "fsync",
                message,
                "put the folder on a disk of its own, not on a network or a busy one",
            )
        }
        Ok(micros) if *micros >= SLOW_SYNC => {
            let message = format!("a synced write to {folder} takes {}, as of a hard disk", millis(*micros));
            Finding::bad(Verdict::Advice, "fsync", message, "put the folder of servers on an SSD")
        }
        Ok(micros) => Finding::well("fsync", format!("a synced write to {folder} takes {}", millis(*micros))),
        Err(reason) => unknown("fsync", &format!("cannot write to {folder}: {reason}")),
    }));
    findings
}

fn port(port: &Port) -> Finding {
    let Port { name, address, holder } = port;
    match holder {
        None => Finding::well("ports", format!("{name} {address} is free")),
        Some(Holder { agent: true, text }) => Finding::well("ports", format!("{name} {address}: the agent, {text}")),
        Some(Holder { agent: false, text }) => {
            let message = format!("{name} {address} is taken: {text}");
            let repair = format!("end that program, or set ports {{ {name} = … }} in the configuration");
            Finding::bad(Verdict::Problem, "ports", message, repair)
        }
    }
}

fn open_files(limit: Limit) -> Finding {
    let Limit { soft, of_agent } = limit;
    let whose = if of_agent { "the agent" } else { "a program started from here" };
    if soft >= FEW_FILES || !of_agent {
        // An agent that is not started by systemd raises its own.
        return Finding::well("files", format!("{whose} may open {soft} files"));
    }
    let message = format!("{whose} may open only {soft} files: that is enough for a few hundred tasks and connections");
    Finding::bad(Verdict::Advice, "files", message, "systemctl edit nomadd: [Service] LimitNOFILE=65536:1048576")
}

fn secrets(facts: &Facts) -> Vec<Finding> {
    if facts.exposed.is_empty() {
        return vec![Finding::well("secrets", "no file with a secret can be read by other users")];
    }
    let exposed = facts.exposed.iter().map(|(path, what)| {
        let path = path.display();
        Finding::bad(
            Verdict::Problem,
            "secrets",
            format!("every user can read {path}, which holds {what}"),
            format!("chmod o-rwx {path}"),
        )
    });
    exposed.collect()
}

#[cfg(test)]
mod tests;
