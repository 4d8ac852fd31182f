//! The host itself: kernel, cgroups, process 1, the bus, the firewall, the clock.

use std::fs;
use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::doctor::facts::{Cgroups, Family};

/// The plugins that networks of mode `bridge` are made with.
const PLUGINS: [&str; 5] = ["bridge", "firewall", "host-local", "loopback", "portmap"];
/// A program that says nothing for so long does not work.
const LIMIT: Duration = Duration::from_secs(10);
/// More of what a program says is not read, in bytes.
const MOST: u64 = 64 << 10;

fn read(path: &str) -> String {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// Whose packages the host has, by `/etc/os-release`.
pub fn family() -> Family {
    let text = read("/etc/os-release");
    let of = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        line.trim_matches('"').to_owned()
    };
    let names = format!("{} {}", of("ID="), of("ID_LIKE="));
    let any = |known: &[&str]| names.split_ascii_whitespace().any(|name| known.contains(&name));
    if any(&["debian", "ubuntu"]) {
        Family::Debian
    } else if any(&["fedora", "rhel", "centos", "suse", "opensuse"]) {
        Family::Rpm
    } else {
        Family::Other
    }
}

/// The kernel's release.
pub fn kernel() -> String {
    read("/proc/sys/kernel/osrelease")
}

/// Whether overlayfs is there or can be loaded.
pub fn has_overlay() -> bool {
    let known = read("/proc/filesystems").lines().any(|line| line.ends_with("\toverlay"));
    let release = kernel();
    let loadable = |file: &str| read(&format!("/lib/modules/{release}/{file}")).contains("/overlay.ko");
    known || loadable("modules.builtin") || loadable("modules.dep")
}

/// Which cgroups there are, as the agent would use them.
pub fn cgroups() -> Cgroups {
    let words = |text: String| text.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let unified = words(read("/sys/fs/cgroup/cgroup.controllers"));
    if unified.iter().any(|name| name == "memory" || name == "cpu") {
        return Cgroups { version: 2, controllers: unified };
    }
    let old = |name: &&str| Path::new("/sys/fs/cgroup").join(name).join("cgroup.procs").exists();
    let controllers: Vec<String> =
        ["cpu", "cpuset", "memory", "pids", "blkio"].into_iter().filter(old).map(str::to_owned).collect();
    let version =
        if !controllers.is_empty() { 1 } else { 2 * u8::from(Path::new("/sys/fs/cgroup/cgroup.controllers").exists()) };
    Cgroups { version, controllers }
}

/// The name of process 1.
pub fn init() -> String {
    match read("/proc/1/comm") {
        name if Path::new("/run/systemd/system").is_dir() && name == "systemd" => name,
        name if name == "systemd" => "systemd, which has not booted this host".to_owned(),
        name => name,
    }
}

/// Whether the system bus answers, where systemd runs the host.
pub fn bus() -> Option<Result<(), String>> {
    if !Path::new("/run/systemd/system").is_dir() {
        return None;
    }
    Some(UnixStream::connect("/run/dbus/system_bus_socket").map(drop).map_err(|error| error.to_string()))
}

/// The plugins of the bridge that are in none of the folders.
pub fn missing_plugins(folders: &[PathBuf]) -> Vec<String> {
    let missing = PLUGINS.into_iter().filter(|name| nomadd_network::plugin::find(folders, name).is_err());
    missing.map(str::to_owned).collect()
}

/// What iptables says of itself when it can list its rules.
pub fn firewall() -> Option<Result<String, String>> {
    let program = nomadd_network::rules::find("iptables").ok()?;
    let listed = say(Command::new(&program).args(["-w", "5", "-t", "nat", "-S", "POSTROUTING"]));
    Some(listed.and_then(|_| say(Command::new(&program).arg("--version"))).map(|text| text.trim().to_owned()))
}

/// Whether the clock follows others, by whoever knows it.
pub fn synchronized() -> Option<bool> {
    if Path::new("/run/systemd/timesync/synchronized").exists() {
        return Some(true);
    }
    if let Ok(text) = say(Command::new("timedatectl").args(["show", "-p", "NTPSynchronized", "--value"])) {
        match text.trim() {
            "yes" => return Some(true),
            "no" => return Some(false),
            _ => {}
        }
    }
    let text = say(Command::new("chronyc").args(["-n", "tracking"])).ok()?;
    let line = text.lines().find(|line| line.starts_with("Leap status"))?;
    Some(line.ends_with("Normal"))
}

/// What a program prints when it ends well in time; else why not, in one line.
fn say(command: &mut Command) -> Result<String, String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let begun = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if begun.elapsed() < LIMIT => std::thread::sleep(Duration::from_millis(5)),
            _ => {
                drop(child.kill());
                drop(child.wait());
                return Err(format!("it does not answer within {} s", LIMIT.as_secs()));
            }
        }
    };
    let text = |stream: Option<&mut dyn std::io::Read>| {
        let mut text = Vec::new();
        if let Some(stream) = stream {
            drop(stream.take(MOST).read_to_end(&mut text));
        }
        String::from_utf8_lossy(&text).into_owned()
    };
    let out = text(child.stdout.as_mut().map(|stream| stream as &mut dyn std::io::Read));
    let err = text(child.stderr.as_mut().map(|stream| stream as &mut dyn std::io::Read));
    if status.success() {
        Ok(out)
    } else {
        Err(err.trim().lines().next().unwrap_or("it fails without a word").to_owned())
    }
}
