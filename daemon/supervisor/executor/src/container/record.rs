//! A container's way through a record: one line for each part, with a zero byte between what a line holds (no path and
//! no name has one).

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::{
    Access, ContainerSpec, ContainerUser, Dev, Device, Init, Mount, MountFlags, Namespaces, Network, NewPrivileges,
    Pivot, Privileged, Propagation, Recursion, Seccomp, Share, Source,
};
use crate::record::{Record, RecordError};

const ACCESS: [(Access, &str); 2] = [(Access::ReadWrite, "rw"), (Access::ReadOnly, "ro")];
const PROPAGATION: [(Propagation, &str); 3] = [
    (Propagation::Private, "private"),
    (Propagation::HostToTask, "host-to-task"),
    (Propagation::Bidirectional, "bidirectional"),
];
const RECURSION: [(Recursion, &str); 2] = [(Recursion::Only, "only"), (Recursion::Below, "below")];
const NEW_PRIVILEGES: [(NewPrivileges, &str); 2] = [(NewPrivileges::Allow, "allow"), (NewPrivileges::Deny, "deny")];
const SECCOMP: [(Seccomp, &str); 2] = [(Seccomp::Off, "off"), (Seccomp::Default, "default")];
const DEV: [(Dev, &str); 2] = [(Dev::Own, "own"), (Dev::Mounted, "mounted")];
const PRIVILEGED: [(Privileged, &str); 2] = [(Privileged::No, "no"), (Privileged::Yes, "yes")];
const INIT: [(Init, &str); 2] = [(Init::Task, "task"), (Init::Small, "small")];
const PIVOT: [(Pivot, &str); 2] = [(Pivot::Root, "root"), (Pivot::Chroot, "chroot")];

fn word<T: PartialEq>(words: &[(T, &'static str)], value: &T) -> &'static str {
    words.iter().find(|(known, _)| known == value).map_or("", |(_, word)| word)
}

fn push_fields(record: &mut Record, key: &str, fields: &[&[u8]]) {
    record.push_bytes(key, &fields.join(&0));
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

/// The fields of one line, taken one after the other.
struct Fields<'a> {
    key: &'static str,
    fields: Vec<&'a [u8]>,
}

impl<'a> Fields<'a> {
    fn of(key: &'static str, value: &'a [u8]) -> Self {
        Self { key, fields: value.split(|byte| *byte == 0).rev().collect() }
    }

    fn invalid(&self, what: &[u8]) -> RecordError {
        RecordError::Invalid(self.key, String::from_utf8_lossy(what).into_owned())
    }

    fn next(&mut self) -> Result<&'a [u8], RecordError> {
        self.fields.pop().ok_or_else(|| self.invalid(b"(too short)"))
    }

    fn path(&mut self) -> Result<PathBuf, RecordError> {
        self.next().map(path)
    }

    fn text(&mut self) -> Result<String, RecordError> {
        self.next().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    fn number<T: std::str::FromStr>(&mut self) -> Result<T, RecordError> {
        let text = self.text()?;
        text.parse().map_err(|_| self.invalid(text.as_bytes()))
    }

    fn word<T: Copy>(&mut self, words: &[(T, &'static str)]) -> Result<T, RecordError> {
        let bytes = self.next()?;
        words
            .iter()
            .find(|(_, word)| word.as_bytes() == bytes)
            .map(|(value, _)| *value)
            .ok_or_else(|| self.invalid(bytes))
    }
}

fn require<'a>(record: &'a Record, key: &'static str) -> Result<Fields<'a>, RecordError> {
    record.bytes(key).map(|value| Fields::of(key, value)).ok_or(RecordError::Missing(key))
}

fn paths(record: &Record, key: &str) -> Vec<PathBuf> {
    record.all(key).map(path).collect()
}

impl Mount {
    /// Adds the mount to a record, under the given key.
    pub fn push_to(&self, record: &mut Record, key: &str) {
        let Self { target, source, access, propagation, flags } = self;
        let MountFlags { nosuid, noexec } = flags;
        let flags = format!("{}{}", if *nosuid { "s" } else { "" }, if *noexec { "x" } else { "" });
        let (access, propagation) = (word(&ACCESS, access), word(&PROPAGATION, propagation));
        let mut fields: Vec<&[u8]> = vec![bytes(target), access.as_bytes(), propagation.as_bytes(), flags.as_bytes()];
        let numbers: [String; 4];
        match source {
            Source::Bind { path, recursion } => {
                fields.extend([b"bind".as_slice(), bytes(path), word(&RECURSION, recursion).as_bytes()]);
            }
            Source::BindBeneath { directory, path } => {
                fields.extend([b"beneath".as_slice(), bytes(directory), bytes(path)]);
            }
            Source::Tmpfs { size, mode, uid, gid } => {
                let size = size.map_or(String::new(), |size| size.to_string());
                numbers = [size, mode.to_string(), uid.to_string(), gid.to_string()];
                fields.push(b"tmpfs");
                fields.extend(numbers.iter().map(|number| number.as_bytes()));
            }
            Source::Proc => fields.push(b"proc"),
            Source::Sysfs => fields.push(b"sysfs"),
            Source::Cgroup => fields.push(b"cgroup"),
        }
        push_fields(record, key, &fields);
    }

    /// Reads every mount of a record under the given key.
    pub fn all_from(record: &Record, key: &'static str) -> Result<Vec<Self>, RecordError> {
        record.all(key).map(|value| Self::from_fields(Fields::of(key, value))).collect()
    }

    fn from_fields(mut fields: Fields<'_>) -> Result<Self, RecordError> {
        let target = fields.path()?;
        let access = fields.word(&ACCESS)?;
        let propagation = fields.word(&PROPAGATION)?;
        let flags = fields.next()?;
        let flags = MountFlags { nosuid: flags.contains(&b's'), noexec: flags.contains(&b'x') };
        let source = match fields.next()? {
            b"bind" => Source::Bind { path: fields.path()?, recursion: fields.word(&RECURSION)? },
            b"beneath" => Source::BindBeneath { directory: fields.path()?, path: fields.path()? },
            b"tmpfs" => {
                let size = fields.text()?;
                let size = if size.is_empty() {
                    None
                } else {
                    Some(size.parse().map_err(|_| fields.invalid(size.as_bytes()))?)
                };
                Source::Tmpfs { size, mode: fields.number()?, uid: fields.number()?, gid: fields.number()? }
            }
            b"proc" => Source::Proc,
            b"sysfs" => Source::Sysfs,
            b"cgroup" => Source::Cgroup,
            other => return Err(fields.invalid(other)),
        };
        Ok(Self { target, source, access, propagation, flags })
    }
}

impl Share {
    fn push_to(&self, record: &mut Record, key: &str) {
        match self {
            Self::Own => record.push(key, "own"),
            Self::Host => record.push(key, "host"),
            Self::Path(path) => push_fields(record, key, &[b"path", bytes(path)]),
        }
    }

    fn from_record(record: &Record, key: &'static str) -> Result<Self, RecordError> {
        let mut fields = require(record, key)?;
        match fields.next()? {
            b"own" => Ok(Self::Own),
            b"host" => Ok(Self::Host),
            b"path" => fields.path().map(Self::Path),
            other => Err(fields.invalid(other)),
        }
    }
}

impl Network {
    fn push_to(&self, record: &mut Record) {
        let key = "container_network";
        match self {
            Self::Host => record.push(key, "host"),
            Self::None => record.push(key, "none"),
            Self::Path(path) => push_fields(record, key, &[b"path", bytes(path)]),
        }
    }

    fn from_record(record: &Record) -> Result<Self, RecordError> {
        let mut fields = require(record, "container_network")?;
        match fields.next()? {
            b"host" => Ok(Self::Host),
            b"none" => Ok(Self::None),
            b"path" => fields.path().map(Self::Path),
            other => Err(fields.invalid(other)),
        }
    }
}

impl ContainerUser {
    fn push_to(&self, record: &mut Record) {
        let Self { uid, gid, groups } = self;
        let numbers: Vec<String> = [uid, gid].into_iter().chain(groups).map(u32::to_string).collect();
        record.push("container_user", numbers.join(" "));
    }

    fn from_record(record: &Record) -> Result<Self, RecordError> {
        let key = "container_user";
        let text = record.text(key).ok_or(RecordError::Missing(key))?;
        let numbers: Option<Vec<u32>> = text.split(' ').map(|number| number.parse().ok()).collect();
        match numbers.as_deref() {
            Some([uid, gid, groups @ ..]) => Ok(Self { uid: *uid, gid: *gid, groups: groups.to_vec() }),
            _ => Err(RecordError::Invalid(key, text)),
        }
    }
}

impl ContainerSpec {
    /// Adds the container to a record.
    pub fn push_to(&self, record: &mut Record) {
        let Self {
            root,
            root_access,
            mounts,
            namespaces: Namespaces { pid, ipc, uts, cgroup, network },
            hostname,
            user,
            capabilities,
            ambient,
            new_privileges,
            seccomp,
            masked_paths,
            readonly_paths,
            sysctl,
            dev,
            devices,
            shm_size,
            privileged,
            init,
            search,
            pivot,
        } = self;
        record.push_bytes("container", bytes(root));
        record.push("container_access", word(&ACCESS, root_access));
        for mount in mounts {
            mount.push_to(record, "container_mount");
        }
        for (share, key) in
            [(pid, "container_pid"), (ipc, "container_ipc"), (uts, "container_uts"), (cgroup, "container_cgroup")]
        {
            share.push_to(record, key);
        }
        network.push_to(record);
        record.push_some("container_hostname", hostname.as_deref());
        user.push_to(record);
        for (list, key) in [(capabilities, "container_capability"), (ambient, "container_ambient")] {
            for name in list {
                record.push(key, name);
            }
        }
        record.push("container_new_privileges", word(&NEW_PRIVILEGES, new_privileges));
        record.push("container_seccomp", word(&SECCOMP, seccomp));
        let lists =
            [(masked_paths, "container_masked"), (readonly_paths, "container_readonly"), (search, "container_search")];
        for (list, key) in lists {
            for path in list {
                record.push_bytes(key, bytes(path));
            }
        }
        for (name, value) in sysctl {
            push_fields(record, "container_sysctl", &[name.as_bytes(), value.as_bytes()]);
        }
        record.push("container_dev", word(&DEV, dev));
        for Device { host, target } in devices {
            push_fields(record, "container_device", &[bytes(host), bytes(target)]);
        }
        record.push("container_shm", shm_size);
        record.push("container_privileged", word(&PRIVILEGED, privileged));
        record.push("container_init", word(&INIT, init));
        record.push("container_pivot", word(&PIVOT, pivot));
    }

    /// Reads the container of a record, if it has one.
    pub fn from_record(record: &Record) -> Result<Option<Self>, RecordError> {
        let Some(root) = record.bytes("container") else { return Ok(None) };
        let names = |key| record.all(key).map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        let mut sysctl = std::collections::BTreeMap::new();
        for value in record.all("container_sysctl") {
            let mut fields = Fields::of("container_sysctl", value);
            sysctl.insert(fields.text()?, fields.text()?);
        }
        let mut devices = Vec::new();
        for value in record.all("container_device") {
            let mut fields = Fields::of("container_device", value);
            devices.push(Device { host: fields.path()?, target: fields.path()? });
        }
        Ok(Some(Self {
            root: path(root),
            root_access: require(record, "container_access")?.word(&ACCESS)?,
            mounts: Mount::all_from(record, "container_mount")?,
            namespaces: Namespaces {
                pid: Share::from_record(record, "container_pid")?,
                ipc: Share::from_record(record, "container_ipc")?,
                uts: Share::from_record(record, "container_uts")?,
                cgroup: Share::from_record(record, "container_cgroup")?,
                network: Network::from_record(record)?,
            },
            hostname: record.text("container_hostname"),
            user: ContainerUser::from_record(record)?,
            capabilities: names("container_capability"),
            ambient: names("container_ambient"),
            new_privileges: require(record, "container_new_privileges")?.word(&NEW_PRIVILEGES)?,
            seccomp: require(record, "container_seccomp")?.word(&SECCOMP)?,
            masked_paths: paths(record, "container_masked"),
            readonly_paths: paths(record, "container_readonly"),
            sysctl,
            dev: require(record, "container_dev")?.word(&DEV)?,
            devices,
            shm_size: record.require("container_shm")?,
            privileged: require(record, "container_privileged")?.word(&PRIVILEGED)?,
            init: require(record, "container_init")?.word(&INIT)?,
            search: paths(record, "container_search"),
            pivot: require(record, "container_pivot")?.word(&PIVOT)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_comes_back_as_it_was_sent() {
        let mut spec = ContainerSpec::new("/r o o t");
        spec.mounts.push(Mount::bind("/a\nb", "/c", Access::ReadOnly));
        let tmpfs = Source::Tmpfs { size: Some(5), mode: 0o1777, uid: 1, gid: 2 };
        spec.mounts
            .push(Mount { propagation: Propagation::Bidirectional, ..Mount::kernel(tmpfs, "/t", Access::ReadWrite) });
        let source = Source::BindBeneath { directory: "/d".into(), path: "x".into() };
        spec.mounts.push(Mount { source, ..Mount::bind("", "/t", Access::ReadWrite) });
        spec.namespaces.ipc = Share::Path("/proc/1/ns/ipc".into());
        spec.namespaces.network = Network::Path("/run/netns/x".into());
        spec.hostname = Some("h".into());
        spec.user = ContainerUser { uid: 1, gid: 2, groups: vec![3, 4] };
        spec.ambient.insert("CAP_CHOWN".into());
        spec.sysctl.insert("net.core.somaxconn".into(), "1 2".into());
        spec.devices.push(Device { host: "/dev/fuse".into(), target: "/dev/f".into() });
        spec.search = vec!["/local".into()];
        (spec.init, spec.pivot, spec.seccomp) = (Init::Small, Pivot::Chroot, Seccomp::Default);
        let mut record = Record::new("x");
        spec.push_to(&mut record);
        let back = ContainerSpec::from_record(&Record::decode(&record.encode()).unwrap()).unwrap();
        assert_eq!(back, Some(spec));
        assert_eq!(ContainerSpec::from_record(&Record::new("x")), Ok(None));
    }

    #[test]
    fn an_unknown_word_is_an_error() {
        let mut record = Record::new("x");
        record.push("m", "/t\0rw\0private\0\0magic");
        assert_eq!(Mount::all_from(&record, "m"), Err(RecordError::Invalid("m", "magic".into())));
    }
}
