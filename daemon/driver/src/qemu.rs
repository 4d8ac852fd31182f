//! qemu: a virtual machine from an image, run by the host's emulator beside nothing but its cgroups. Its serial line is the
//! task's output; ports of the host lead into it by qemu's own network.

mod powerdown;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use nomadd_supervisor::{Handle, Limits, ProcessSpec, program};

use crate::registry::PrepareError;
use crate::schema::{ConfigError, Key, Kind, Need, Reader};
use crate::task::TaskContext;

/// The driver's name.
pub const NAME: &str = "qemu";

const fn key(name: &'static str, kind: Kind) -> Key {
    Key { name, kind, need: Need::Optional }
}

/// What a task's `config` may hold.
pub const KEYS: [Key; 9] = [
    Key { name: "image_path", kind: Kind::Text, need: Need::Required },
    key("emulator", Kind::Text),
    key("machine_type", Kind::Text),
    key("drive_interface", Kind::Text),
    key("accelerator", Kind::Text),
    key("graceful_shutdown", Kind::Truth),
    key("guest_agent", Kind::Truth),
    key("args", Kind::Texts),
    key("port_map", Kind::Map),
];

/// The emulator where the job names none.
const EMULATOR: &str = "qemu-system-x86_64";
/// How a disk may hang on the machine.
const INTERFACES: [&str; 8] = ["ide", "scsi", "sd", "mtd", "floppy", "pflash", "virtio", "none"];
/// The machine's monitor, in the task's folder.
const MONITOR: &str = "qemu-monitor.sock";
/// The guest agent's line, in the task's folder.
const AGENT: &str = "qa.sock";
/// What the emulator itself may need beside the guest's memory, in bytes.
const OVERHEAD: u64 = 256 << 20;

/// `plugin "qemu" { config { … } }` of the agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QemuConfig {
    /// Folders of images outside the task's own.
    pub image_paths: Vec<String>,
    /// Flags of the emulator that jobs may use (`-drive`); empty is all.
    pub args_allowlist: Vec<String>,
    /// Emulators that jobs may use; empty is all whose name begins with `qemu-system-`.
    pub emulators_allowlist: Vec<String>,
}

/// The driver.
#[derive(Debug)]
pub struct Qemu {
    config: QemuConfig,
    here: bool,
}

impl Qemu {
    /// Looks for the emulator.
    pub fn new(config: &QemuConfig) -> Self {
        Self { config: config.clone(), here: find(EMULATOR).is_some() }
    }

    /// Whether the host has the emulator.
    pub fn is_here(&self) -> bool {
        self.here
    }

    /// The process of a task.
    pub fn prepare(&self, task: TaskContext) -> Result<ProcessSpec, PrepareError> {
        let TaskContext {
            id,
            labels,
            config,
            env,
            user,
            task_directory,
            alloc_directory: _,
            volumes,
            image: _,
            network: _,
            limits,
            log,
            state_directory,
            kill_signal,
            kill_timeout,
        } = task;
        let config = Reader::of(NAME, &KEYS, &config)?;
        if let Some(volume) = volumes.into_iter().next() {
            let reason = "cannot be in a virtual machine".to_owned();
            return Err(PrepareError::Volume { name: volume.name, destination: volume.destination, reason });
        }
        let emulator = self.emulator(&config)?;
        let image = self.image(&config, &task_directory)?;
        let mut arguments = arguments(&config, &image, &format!("{id}"), &limits, &env)?;
        self.check_arguments(&config)?;
        arguments.extend(config.texts("args").into_iter().map(OsString::from));
        // A monitor of an earlier run would be taken for this one's.
        drop(fs::remove_file(task_directory.join(MONITOR)));
        let most = limits.hard_memory().map(|bytes| bytes + OVERHEAD);
        Ok(ProcessSpec {
            id,
            labels,
            argv: std::iter::once(emulator.clone().into_os_string()).chain(arguments).collect(),
            program: emulator,
            env,
            user: user.filter(|user| !user.is_empty()),
            working_directory: task_directory,
            container: None,
            mounts: Vec::new(),
            log,
            limits: Limits { memory_max_bytes: most, ..limits },
            network: None,
            cgroup_override: None,
            oom_score_adj: 0,
            rlimits: Vec::new(),
            umask: 0o022,
            state_directory,
            kill_signal,
            kill_timeout,
        })
    }

    fn emulator(&self, config: &Reader<'_>) -> Result<PathBuf, ConfigError> {
        let name = match config.text("emulator") {
            name if name.is_empty() => EMULATOR.to_owned(),
            name => name,
        };
        let allowed = &self.config.emulators_allowlist;
        let known = if allowed.is_empty() { name.starts_with("qemu-system-") } else { allowed.contains(&name) };
        if !known || name.contains('/') {
            return Err(config.error("emulator", &format!("is {name:?}, which the agent does not allow")));
        }
        find(&name).ok_or_else(|| config.error("emulator", &format!("is {name:?}, which is not on this host")))
    }

    /// The image's file with every link resolved, if it is in the task's folder or in one of the agent's.
    fn image(&self, config: &Reader<'_>, task_directory: &Path) -> Result<PathBuf, ConfigError> {
        let written = config.text("image_path");
        let found = fs::canonicalize(task_directory.join(&written))
            .map_err(|error| config.error("image_path", &format!("is {written:?}, which cannot be opened: {error}")))?;
        let own = fs::canonicalize(task_directory).unwrap_or_else(|_| task_directory.to_owned());
        let folders = self.config.image_paths.iter().filter_map(|folder| fs::canonicalize(folder).ok());
        if std::iter::once(own).chain(folders).any(|folder| found.starts_with(folder)) {
            return Ok(found);
        }
        let reason = format!("is {written:?}, neither in the task's folder nor in the agent's image_paths");
        Err(config.error("image_path", &reason))
    }

    fn check_arguments(&self, config: &Reader<'_>) -> Result<(), ConfigError> {
        let allowed = &self.config.args_allowlist;
        if allowed.is_empty() {
            return Ok(());
        }
        // Both spellings of a flag mean the same to the emulator.
        let bare = |flag: &str| flag.trim_start_matches('-').split('=').next().unwrap_or_default().to_owned();
        let given = config.texts("args").into_iter().filter(|argument| argument.starts_with('-'));
        for flag in given {
            if !allowed.iter().any(|known| bare(known) == bare(&flag)) {
                return Err(
                    config.error("args", &format!("has {flag:?}, which the agent's args_allowlist does not hold"))
                );
            }
        }
        Ok(())
    }
}

/// The emulator's arguments for these keys; those that the job adds come after.
fn arguments(
    config: &Reader<'_>,
    image: &Path,
    name: &str,
    limits: &Limits,
    env: &BTreeMap<String, String>,
) -> Result<Vec<OsString>, ConfigError> {
    let or = |key: &str, usual: &str| match config.text(key) {
        text if text.is_empty() => usual.to_owned(),
        text => text,
    };
    let plain = |key: &'static str, value: String| {
        let is_plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if is_plain { Ok(value) } else { Err(config.error(key, &format!("must be one word, not {value:?}"))) }
    };
    let accelerator = plain("accelerator", or("accelerator", "tcg"))?;
    let machine = plain("machine_type", or("machine_type", "pc"))?;
    let interface = or("drive_interface", "ide");
    if !INTERFACES.contains(&interface.as_str()) {
        return Err(config.error("drive_interface", &format!("must be one of {INTERFACES:?}, not {interface:?}")));
    }
    // A comma in a file's name is written twice.
    let image = image.to_string_lossy().replace(',', ",,");
    let memory = limits.memory_bytes.unwrap_or(512 << 20) >> 20;
    let mut list: Vec<String> = vec![
        "-machine".into(),
        format!("type={machine},accel={accelerator}"),
        "-name".into(),
        name.replace(',', ",,"),
        "-m".into(),
        format!("{memory}M"),
        "-drive".into(),
        format!("file={image},if={interface}"),
        "-nographic".into(),
    ];
    if config.is_true("graceful_shutdown") {
        list.extend(["-monitor".to_owned(), format!("unix:{MONITOR},server,nowait")]);
    }
    if config.is_true("guest_agent") {
        for (flag, value) in [
            ("-chardev", format!("socket,path={AGENT},server=on,wait=off,id=qga0")),
            ("-device", "virtio-serial".to_owned()),
            ("-device", "virtserialport,chardev=qga0,name=org.qemu.guest_agent.0".to_owned()),
        ] {
            list.extend([flag.to_owned(), value]);
        }
    }
    let ports = config.map("port_map");
    if !ports.is_empty() {
        let mut network = "user,id=user.0".to_owned();
        for (label, guest) in &ports {
            let host = ["NOMAD_HOST_PORT_", "NOMAD_PORT_"].iter().find_map(|kind| env.get(&format!("{kind}{label}")));
            let host = host.and_then(|port| port.parse::<u16>().ok());
            let host = host
                .ok_or_else(|| config.error("port_map", &format!("names {label:?}, which is no port of the group")))?;
            let guest: u16 = guest
                .parse()
                .map_err(|_| config.error("port_map", &format!("leads {label:?} to {guest:?}, which is no port")))?;
            for protocol in ["udp", "tcp"] {
                network.push_str(&format!(",hostfwd={protocol}::{host}-:{guest}"));
            }
        }
        list.extend(["-netdev".into(), network, "-device".into(), "virtio-net,netdev=user.0".into()]);
    }
    if accelerator == "kvm" {
        list.extend(["-enable-kvm", "-cpu", "host"].map(str::to_owned));
    }
    Ok(list.into_iter().map(OsString::from).collect())
}

/// A machine that is asked to power down before it is stopped, if it was started with a monitor.
pub fn wrap(handle: Handle, task_directory: &Path) -> Handle {
    Handle::new(powerdown::Machine::new(handle, task_directory.to_owned()))
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").ok();
    program::find(name, Path::new("/"), &[], path.as_deref()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::context;

    fn prepare(agent: QemuConfig, config: Value) -> Result<Vec<String>, String> {
        let config = config.as_object().unwrap().clone();
        // The context's task directory is /usr, and bin/env is in it: an image as good as any for a command line.
        let mut whole = serde_json::Map::from_iter([("image_path".to_owned(), json!("bin/env"))]);
        whole.extend(config);
        let mut task = context(Value::Object(whole));
        task.env.insert("NOMAD_HOST_PORT_ssh".into(), "22000".into());
        let driver = Qemu { config: agent, here: true };
        let spec = driver.prepare(task).map_err(|error| error.to_string())?;
        Ok(spec.argv.iter().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect())
    }

    /// Whether the emulator is not here, which is said.
    fn skip() -> bool {
        let missing = find(EMULATOR).is_none();
        if missing {
            eprintln!("SKIPPED: no {EMULATOR} (package qemu-system-x86)");
        }
        missing
    }

    #[test]
    fn an_image_becomes_nomads_command_line() {
        if skip() {
            return;
        }
        let config = json!({"port_map": {"ssh": 22}, "graceful_shutdown": true, "args": ["-nodefaults"]});
        let line = prepare(QemuConfig::default(), config).unwrap().join(" ");
        let expected = "-machine type=pc,accel=tcg -name a/web -m 512M -drive file=/usr/bin/env,if=ide -nographic -monitor \
            unix:qemu-monitor.sock,server,nowait -netdev user,id=user.0,hostfwd=udp::22000-:22,hostfwd=tcp::22000-:22 \
            -device virtio-net,netdev=user.0 -nodefaults";
        assert_eq!(line, expected);
    }

    #[test]
    fn what_the_agent_does_not_allow_is_refused() {
        if skip() {
            return;
        }
        let check = |agent: QemuConfig, config: Value, expected: &str| {
            let error = prepare(agent, config).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        let usual = QemuConfig::default;
        check(
            usual(),
            json!({"image_path": "/etc/passwd"}),
            "neither in the task's folder nor in the agent's image_paths",
        );
        check(usual(), json!({"image_path": "../etc/passwd"}), "neither in the task's folder");
        check(usual(), json!({"image_path": "no/such"}), "which cannot be opened");
        check(usual(), json!({"emulator": "sh"}), "\"emulator\" of driver \"qemu\" is \"sh\"");
        check(usual(), json!({"accelerator": "tcg,x=y"}), "must be one word");
        check(usual(), json!({"port_map": {"web": 80}}), "names \"web\", which is no port of the group");
        let agent = QemuConfig { args_allowlist: vec!["-smp".into()], ..usual() };
        assert!(prepare(agent.clone(), json!({"args": ["--smp", "2"]})).is_ok());
        check(agent, json!({"args": ["-drive=x"]}), "has \"-drive=x\", which the agent's args_allowlist does not hold");
        let agent = QemuConfig { image_paths: vec!["/etc".into()], ..usual() };
        assert!(prepare(agent, json!({"image_path": "/etc/passwd"})).is_ok());
    }
}
