//! From a task's config and its image's to the process in its container: who, what, where, and with which rights.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use nomadd_oci::{ImageConfig, Store};
use nomadd_supervisor::container::{
    Access, ContainerSpec, ContainerUser, Device, Init, Mount, Network, NewPrivileges, Privileged, Propagation,
    Recursion, Seccomp, Share, Source, task_mounts,
};
use nomadd_supervisor::{ProcessSpec, Rlimit};

use super::files::Names;
use super::mounts::{self, Places, Wanted};
use super::settings::DockerConfig;
use super::{capability, keys, user, volume};
use crate::isolation::volume_mounts;
use crate::registry::PrepareError;
use crate::schema::{ConfigError, Reader};
use crate::task::TaskContext;

/// Where programs are looked for when neither image nor task says so.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a process is made of.
pub struct Making<'a> {
    pub settings: &'a DockerConfig,
    pub store: &'a Store,
    pub helper: &'a Path,
    pub config: &'a Reader<'a>,
    pub image: &'a ImageConfig,
    pub root: &'a Path,
}

impl Making<'_> {
    /// The process of a task.
    pub fn process(&self, task: TaskContext) -> Result<ProcessSpec, PrepareError> {
        let TaskContext {
            id,
            labels,
            config: _,
            mut env,
            user,
            task_directory,
            alloc_directory,
            volumes,
            network,
            image: _,
            mut limits,
            mut log,
            state_directory,
            kill_signal,
            kill_timeout,
        } = task;
        let config = self.config;
        let wanted = user.filter(|user| !user.is_empty()).unwrap_or_else(|| self.image.user.clone());
        let found = user::find(self.root, &wanted, &config.texts("group_add"))
            .map_err(|reason| PrepareError::User { user: wanted.clone(), reason })?;

        let mut container = ContainerSpec::new(self.root);
        self.namespaces(&mut container, network.namespace.clone())?;
        let host_network = container.namespaces.network == Network::Host;
        self.check_ports(&env, host_network)?;
        let hostname = self.hostname(network.hostname, host_network, &labels.job)?;
        if container.namespaces.uts == Share::Own {
            container.hostname = Some(hostname.clone());
        }
        self.rights(&mut container)?;
        container.sysctl = self.sysctl(&container)?;
        container.devices = self.devices()?;
        if let Some(size) = positive(config, "shm_size")? {
            container.shm_size = size;
        }
        container.root_access = if config.is_true("readonly_rootfs") { Access::ReadOnly } else { Access::ReadWrite };
        container.init = if config.is_true("init") { Init::Small } else { Init::Task };
        container.user = ContainerUser { uid: found.uid, gid: found.gid, groups: found.groups };

        container.mounts.extend(task_mounts(&task_directory, &alloc_directory));
        let beside = self.root.parent().unwrap_or(self.root);
        let names = Names::read(config, host_network)?;
        let files = names.write(beside, &network.files, &hostname, host_network);
        container.mounts.extend(files.map_err(|error| self.host_error("write its /etc/hosts", &error))?);
        let allocation = alloc_directory.parent().unwrap_or(&alloc_directory);
        let places = Places { task_directory: &task_directory, allocation, volumes: self.settings.volumes };
        let mut more = Vec::new();
        for wanted in mounts::read(config, &places)? {
            more.push(self.mount(wanted)?);
        }
        more.extend(volume_mounts(volumes)?);
        self.writable_volumes(&mut container, &mut more, beside)?;
        container.mounts.extend(more);

        self.environment(&mut env, &found.home, &hostname);
        let argv = self.command()?;
        let working_directory = self.working_directory();
        let program = program(&argv, &working_directory);
        self.limits(&mut limits)?;
        self.log(&mut log)?;
        self.note_labels(beside, &labels)?;
        Ok(ProcessSpec {
            id,
            labels,
            program,
            argv,
            env,
            user: None,
            working_directory,
            rlimits: self.ulimit()?,
            oom_score_adj: self.oom_score_adj()?,
            container: Some(Box::new(container)),
            mounts: Vec::new(),
            network: None,
            log,
            limits,
            cgroup_override: None,
            umask: 0o022,
            state_directory,
            kill_signal,
            kill_timeout,
        })
    }

    /// Program and arguments, as Docker puts them together: a task's entrypoint makes the image's command void.
    fn command(&self) -> Result<Vec<OsString>, PrepareError> {
        let (config, image) = (self.config, self.image);
        let (command, args) = (config.text("command"), config.texts("args"));
        let mut own: Vec<String> = if command.is_empty() { Vec::new() } else { vec![command] };
        own.extend(args);
        let entrypoint = config.texts("entrypoint");
        let entrypoint: Vec<String> = entrypoint.into_iter().filter(|word| !word.is_empty()).collect();
        let argv = match (entrypoint.is_empty(), own.is_empty()) {
            (true, true) => [image.entrypoint.clone(), image.cmd.clone()].concat(),
            (true, false) => [image.entrypoint.clone(), own].concat(),
            (false, _) => [entrypoint, own].concat(),
        };
        if argv.first().is_none_or(String::is_empty) {
            return Err(config.error("command", "must be set: the image names no program").into());
        }
        Ok(argv.into_iter().map(OsString::from).collect())
    }

    fn working_directory(&self) -> PathBuf {
        let own = [self.config.text("work_dir"), self.config.text("working_dir"), self.image.working_dir.clone()];
        let wanted = own.into_iter().find(|path| !path.is_empty()).unwrap_or_default();
        Path::new("/").join(wanted)
    }

    /// The image's variables below the task's; what a shell expects on top where nobody says it.
    fn environment(&self, env: &mut BTreeMap<String, String>, home: &Option<String>, hostname: &str) {
        for text in &self.image.env {
            if let Some((name, value)) = text.split_once('=') {
                env.entry(name.to_owned()).or_insert_with(|| value.to_owned());
            }
        }
        let mut default = |name: &str, value: &str| {
            env.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        };
        default("PATH", PATH);
        default("HOME", home.as_deref().unwrap_or("/"));
        default("HOSTNAME", hostname);
    }

    fn namespaces(&self, container: &mut ContainerSpec, prepared: Option<PathBuf>) -> Result<(), PrepareError> {
        let config = self.config;
        let share = |key: &'static str, plugin: &str| -> Result<Share, PrepareError> {
            match config.text(key).as_str() {
                "" | "private" | "shareable" => Ok(Share::Own),
                "host" => match self.settings.allowed_modes.get(plugin) {
                    Some(allowed) if !allowed.iter().any(|mode| mode == "host") => {
                        Err(config.error(key, "is \"host\", which the agent's allowed_modes does not allow").into())
                    }
                    _ => Ok(Share::Host),
                },
                other => Err(config.error(key, &format!("is {other:?}; \"host\" and \"private\" are known")).into()),
            }
        };
        container.namespaces.pid = share("pid_mode", "pid")?;
        container.namespaces.ipc = share("ipc_mode", "ipc")?;
        container.namespaces.uts = share("uts_mode", "uts")?;
        // All users are the host's here, so that the host's is what there is.
        share("userns_mode", "userns")?;
        container.namespaces.cgroup = share("cgroupns", "cgroup")?;
        let mode = config.text("network_mode");
        container.namespaces.network = match (mode.as_str(), prepared) {
            ("host", None) | ("" | "bridge" | "default", None) => Network::Host,
            ("none", None) => Network::None,
            ("" | "bridge" | "default", Some(path)) => Network::Path(path),
            (other, Some(_)) => {
                let reason = format!("is {other:?}, and the group has a network of its own: remove one of them");
                return Err(config.error("network_mode", &reason).into());
            }
            (other, None) => {
                let reason = format!(
                    "is {other:?}; \"host\" and \"none\" are known here, and networks of the group: network {{ mode = \"bridge\" }} or \"cni/NAME\""
                );
                return Err(config.error("network_mode", &reason).into());
            }
        };
        Ok(())
    }

    /// In the host's network a port cannot be another one inside.
    fn check_ports(&self, env: &BTreeMap<String, String>, host_network: bool) -> Result<(), PrepareError> {
        let config = self.config;
        let port = |label: &str| {
            let name =
                format!("NOMAD_HOST_PORT_{}", label.replace(|letter: char| !letter.is_ascii_alphanumeric(), "_"));
            env.get(&name).or_else(|| env.get(&format!("NOMAD_HOST_PORT_{label}"))).cloned()
        };
        for label in config.texts("ports") {
            if port(&label).is_none() {
                let reason = format!("names {label:?}, and the group's network has no such port");
                return Err(config.error("ports", &reason).into());
            }
        }
        for (label, inside) in config.map("port_map") {
            let Some(outside) = port(&label) else {
                let reason = format!("names {label:?}, and neither the task's nor the group's network has such a port");
                return Err(config.error("port_map", &reason).into());
            };
            if host_network && outside != inside {
                let reason = format!(
                    "maps {label:?} to {inside}, and in the host's network it is {outside}: use network {{ mode = \"bridge\" }} with to = {inside} in the group"
                );
                return Err(config.error("port_map", &reason).into());
            }
        }
        Ok(())
    }

    fn hostname(&self, given: Option<String>, host_network: bool, job: &str) -> Result<String, PrepareError> {
        let wanted = self.config.text("hostname");
        let letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_');
        if wanted.len() > 64 || !wanted.chars().all(letter) {
            let reason = format!("is {wanted:?}; a host's name is up to 64 letters, digits, '.', '-' and '_'");
            return Err(self.config.error("hostname", &reason).into());
        }
        let of_host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        let of_job = || job.chars().map(|is| if letter(is) { is } else { '-' }).take(63).collect::<String>();
        Ok(match (wanted.is_empty(), given) {
            (false, _) => wanted,
            (true, Some(given)) => given,
            (true, None) if host_network => of_host(),
            (true, None) => of_job(),
        })
    }

    /// Capabilities, the filter of calls, and what else keeps a container in.
    fn rights(&self, container: &mut ContainerSpec) -> Result<(), PrepareError> {
        let config = self.config;
        let options = config.texts("security_opt");
        let has = |word: &str| options.iter().any(|option| option.replacen(':', "=", 1) == word);
        container.seccomp = if has("seccomp=unconfined") { Seccomp::Off } else { Seccomp::Default };
        let allow = has("no-new-privileges=false");
        container.new_privileges = if allow { NewPrivileges::Allow } else { NewPrivileges::Deny };
        let chosen = capability::choose(&self.settings.allow_caps, &config.texts("cap_add"), &config.texts("cap_drop"));
        container.capabilities = chosen.map_err(|reason| config.error("cap_add", &reason))?;
        if config.is_true("privileged") {
            if !self.settings.allow_privileged {
                let reason = "is true, and the agent does not allow that: set allow_privileged = true in its plugin \"docker\" block";
                return Err(config.error("privileged", reason).into());
            }
            container.privileged = Privileged::Yes;
            container.capabilities = capability::every();
            container.seccomp = Seccomp::Off;
            container.new_privileges = NewPrivileges::Allow;
            container.masked_paths.clear();
            container.readonly_paths.clear();
            for mount in &mut container.mounts {
                mount.access = Access::ReadWrite;
            }
        }
        Ok(())
    }

    /// Parameters that belong to the container's own namespaces; others are the host's.
    fn sysctl(&self, container: &ContainerSpec) -> Result<BTreeMap<String, String>, PrepareError> {
        let wanted = self.config.map("sysctl");
        for name in wanted.keys() {
            let plain =
                name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/'));
            let ipc = ["kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem"].contains(&name.as_str())
                || name.starts_with("kernel.shm")
                || name.starts_with("fs.mqueue.");
            let own = (name.starts_with("net.") && container.namespaces.network != Network::Host)
                || (ipc && container.namespaces.ipc == Share::Own);
            if !plain || name.contains("..") || !own {
                let reason =
                    format!("sets {name:?}, which is the whole host's, and not of a namespace that the container has");
                return Err(self.config.error("sysctl", &reason).into());
            }
        }
        Ok(wanted)
    }

    fn devices(&self) -> Result<Vec<Device>, PrepareError> {
        let config = self.config;
        let mut devices = Vec::new();
        for device in config.blocks("devices", &keys::DEVICES)? {
            let (host, inside) = (device.text("host_path"), device.text("container_path"));
            let permissions = device.text("cgroup_permissions");
            if !matches!(permissions.as_str(), "" | "rwm") {
                let reason =
                    format!("is {permissions:?}; only rwm can be had: the device's own permissions say the rest");
                return Err(config.error("devices.cgroup_permissions", &reason).into());
            }
            let inside = if inside.is_empty() { host.clone() } else { inside };
            if !host.starts_with("/dev/")
                || host.contains("..")
                || !inside.starts_with("/dev/")
                || inside.contains("..")
            {
                let reason = format!("names {host:?} as {inside:?}; both must be below /dev");
                return Err(config.error("devices", &reason).into());
            }
            if !Path::new(&host).exists() {
                return Err(config.error("devices", &format!("names {host:?}, which this host does not have")).into());
            }
            devices.push(Device { host: host.into(), target: inside.into() });
        }
        Ok(devices)
    }

    fn mount(&self, wanted: Wanted) -> Result<Mount, PrepareError> {
        match wanted {
            Wanted::Mount(mount) => Ok(mount),
            Wanted::Volume { name, target, access, copy } => {
                let from = copy.then_some(target.as_path());
                let path = volume::open(self.store, &name, self.root, from, self.helper);
                let path = path.map_err(|error| self.host_error("make its volume", &error))?;
                Ok(Mount::bind(path, target, access))
            }
        }
    }

    /// Under a root that may only be read, the image's own volumes can be written all the same.
    fn writable_volumes(
        &self,
        container: &mut ContainerSpec,
        more: &mut Vec<Mount>,
        beside: &Path,
    ) -> Result<(), PrepareError> {
        if container.root_access == Access::ReadWrite {
            return Ok(());
        }
        for (number, target) in self.image.volumes.keys().enumerate().take(64) {
            let target = Path::new("/").join(target);
            let taken = container.mounts.iter().chain(more.iter()).any(|mount| mount.target == target);
            if taken || target == Path::new("/") || target.components().any(|part| part.as_os_str() == "..") {
                continue;
            }
            let path = beside.join(format!("volume.{number}"));
            let made = volume::anonymous(&path, self.root, &target, self.helper);
            made.map_err(|error| self.host_error("make a volume of its image", &error))?;
            let source = Source::Bind { path, recursion: Recursion::Only };
            let propagation = Propagation::Private;
            more.push(Mount { target, source, access: Access::ReadWrite, propagation, flags: Default::default() });
        }
        Ok(())
    }

    fn limits(&self, limits: &mut nomadd_supervisor::Limits) -> Result<(), PrepareError> {
        let config = self.config;
        if let Some(hard) = positive(config, "memory_hard_limit")? {
            limits.memory_max_bytes = Some(hard << 20);
        }
        let cores = config.text("cpuset_cpus");
        if !cores.is_empty() {
            if !cores.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b',' | b'-')) {
                let reason = format!("is {cores:?}, which is no list like 0-2,7");
                return Err(config.error("cpuset_cpus", &reason).into());
            }
            if limits.cores.is_some() {
                let reason = "must not be set beside cores in the task's resources";
                return Err(config.error("cpuset_cpus", reason).into());
            }
            limits.cores = Some(cores);
        }
        let most = Some(self.settings.pids_limit).filter(|most| *most > 0);
        limits.pids = positive(config, "pids_limit")?.or(most);
        if let (Some(most), Some(wanted)) = (most, limits.pids.filter(|wanted| Some(*wanted) > most)) {
            let reason = format!("is {wanted}, and the agent's pids_limit is {most}");
            return Err(config.error("pids_limit", &reason).into());
        }
        Ok(())
    }

    fn log(&self, log: &mut nomadd_supervisor::LogSpec) -> Result<(), PrepareError> {
        log.disabled |= self.settings.disable_log_collection;
        for logging in self.config.blocks("logging", &keys::LOGGING)? {
            log.disabled |= logging.text("type") == "none" || logging.text("driver") == "none";
        }
        Ok(())
    }

    fn oom_score_adj(&self) -> Result<i32, PrepareError> {
        let wanted = self.config.number("oom_score_adj").unwrap_or(self.settings.oom_score_adj);
        let fits = i32::try_from(wanted).ok().filter(|score| (0..=1000).contains(score));
        Ok(fits.ok_or_else(|| self.config.error("oom_score_adj", &format!("must be in 0 … 1000, not {wanted}")))?)
    }

    /// `NAME = "SOFT:HARD"` or one number for both; -1 is no limit.
    fn ulimit(&self) -> Result<Vec<Rlimit>, PrepareError> {
        let mut limits = Vec::new();
        for (name, text) in self.config.map("ulimit") {
            let wrong = |reason: &str| self.config.error("ulimit", &format!("has {name} = {text:?}, {reason}"));
            let number = rlimit(&name).ok_or_else(|| wrong("and there is no such limit"))?;
            let (soft, hard) = text.split_once(':').unwrap_or((&text, &text));
            let value = |text: &str| match text.trim() {
                "-1" | "unlimited" => Some(u64::MAX),
                text => text.parse().ok(),
            };
            let (Some(soft), Some(hard)) = (value(soft), value(hard)) else {
                return Err(wrong("which is neither a number nor SOFT:HARD").into());
            };
            if soft > hard {
                return Err(wrong("and the soft limit is above the hard one").into());
            }
            limits.push(Rlimit { number, soft, hard });
        }
        Ok(limits)
    }

    /// Nothing here looks at labels; they are kept beside the root for those who look at containers.
    fn note_labels(&self, beside: &Path, labels: &nomadd_supervisor::Labels) -> Result<(), PrepareError> {
        let mut all = self.image.labels.clone();
        all.extend(self.config.map("labels"));
        let extra = [
            ("job_id", "com.hashicorp.nomad.job_id", &labels.job),
            ("job_name", "com.hashicorp.nomad.job_name", &labels.job),
            ("task_group_name", "com.hashicorp.nomad.task_group_name", &labels.group),
            ("namespace", "com.hashicorp.nomad.namespace", &labels.namespace),
            ("node_id", "com.hashicorp.nomad.node_id", &labels.node_id),
        ];
        for (name, label, value) in extra {
            if self.settings.extra_labels.iter().any(|wanted| wanted == name || wanted == "*") {
                all.insert(label.to_owned(), value.clone());
            }
        }
        let text = serde_json::to_vec(&all).unwrap_or_default();
        let written = std::fs::write(beside.join("labels.json"), text);
        written.map_err(|error| self.host_error("note its labels", &error))
    }

    fn host_error(&self, what: &'static str, error: &std::io::Error) -> PrepareError {
        PrepareError::Image { what, image: self.config.text("image"), reason: error.to_string(), again: true }
    }
}

/// What the executor is to start: a path as it is, a name to be looked for; what is relative begins where it starts.
fn program(argv: &[OsString], working_directory: &Path) -> PathBuf {
    let first = argv.first().map(PathBuf::from).unwrap_or_default();
    match first.components().count() > 1 && first.is_relative() {
        true => working_directory.join(first),
        false => first,
    }
}

/// A number that is set and more than zero.
fn positive(config: &Reader<'_>, key: &str) -> Result<Option<u64>, ConfigError> {
    let Some(number) = config.number(key) else { return Ok(None) };
    match u64::try_from(number) {
        Ok(number) => Ok(Some(number).filter(|number| *number > 0)),
        Err(_) => Err(config.error(key, &format!("must not be negative, but is {number}"))),
    }
}

/// The kernel's number of a limit, by Docker's name.
fn rlimit(name: &str) -> Option<u32> {
    Some(match name {
        "core" => libc::RLIMIT_CORE,
        "cpu" => libc::RLIMIT_CPU,
        "data" => libc::RLIMIT_DATA,
        "fsize" => libc::RLIMIT_FSIZE,
        "locks" => libc::RLIMIT_LOCKS,
        "memlock" => libc::RLIMIT_MEMLOCK,
        "msgqueue" => libc::RLIMIT_MSGQUEUE,
        "nice" => libc::RLIMIT_NICE,
        "nofile" => libc::RLIMIT_NOFILE,
        "nproc" => libc::RLIMIT_NPROC,
        "rss" => libc::RLIMIT_RSS,
        "rtprio" => libc::RLIMIT_RTPRIO,
        "rttime" => libc::RLIMIT_RTTIME,
        "sigpending" => libc::RLIMIT_SIGPENDING,
        "stack" => libc::RLIMIT_STACK,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
