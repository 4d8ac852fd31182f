//! What a container sees of the host: `volumes`, `mount` and `mounts` of the task's config. Host paths only where the
//! operator allows them; paths within the task's own directory always, found by the kernel beneath it.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Component, Path, PathBuf};

use nomadd_supervisor::container::{Access, Mount, MountFlags, Propagation, Recursion, Source};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

use super::keys;
use crate::schema::{ConfigError, Reader};

/// What a container is to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Something that is mounted as it is.
    Mount(Mount),
    /// A volume with a name, kept by this agent.
    Volume {
        /// Its name.
        name: String,
        /// Where in the container.
        target: PathBuf,
        /// Whether it may be written.
        access: Access,
        /// Whether it begins with what the image has there.
        copy: bool,
    },
}

/// Where host paths come from, and whether they are allowed.
pub struct Places<'a> {
    /// The task's directory.
    pub task_directory: &'a Path,
    /// The allocation's directory.
    pub allocation: &'a Path,
    /// Whether other paths of the host may be mounted.
    pub volumes: bool,
}

/// All mounts of a config, in its order.
pub fn read(config: &Reader<'_>, places: &Places<'_>) -> Result<Vec<Wanted>, ConfigError> {
    let mut wanted = Vec::new();
    for text in config.texts("volumes") {
        wanted.push(volume(&text, places).map_err(|reason| config.error("volumes", &reason))?);
    }
    for text in config.texts("tmpfs") {
        let target = target(&text).map_err(|reason| config.error("tmpfs", &reason))?;
        wanted.push(Wanted::Mount(tmpfs(target, Access::ReadWrite, None, None)));
    }
    for key in ["mounts", "mount"] {
        for mount in config.blocks(key, &keys::MOUNT)? {
            wanted.push(block(&mount, places).map_err(|reason| config.error(key, &reason))?);
        }
    }
    Ok(wanted)
}

/// `HOST:CONTAINER[:OPTIONS]`.
fn volume(text: &str, places: &Places<'_>) -> Result<Wanted, String> {
    let mut parts = text.split(':');
    let (Some(source), Some(inside), options, None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(format!("holds {text:?}, which is not HOST:CONTAINER or HOST:CONTAINER:OPTIONS"));
    };
    let target = target(inside)?;
    let (mut access, mut propagation, mut recursion) = (Access::ReadWrite, Propagation::Private, Recursion::Below);
    for option in options.into_iter().flat_map(|options| options.split(',')) {
        match option {
            "ro" => access = Access::ReadOnly,
            // Labels of SELinux, which is not used here; and what is so anyway.
            "" | "rw" | "z" | "Z" | "rprivate" | "cached" | "delegated" | "consistent" | "nocopy" => {}
            "private" => recursion = Recursion::Only,
            "rslave" | "slave" => propagation = Propagation::HostToTask,
            "rshared" | "shared" => propagation = Propagation::Bidirectional,
            other => {
                return Err(format!(
                    "has the option {other:?} in {text:?}; ro, rw, private, slave and shared are known"
                ));
            }
        }
    }
    let source = host_path(source, places, Missing::Make, recursion)?;
    Ok(Wanted::Mount(Mount { target, source, access, propagation, flags: MountFlags::default() }))
}

/// A `mount` block.
fn block(mount: &Reader<'_>, places: &Places<'_>) -> Result<Wanted, String> {
    let target = target(&mount.text("target"))?;
    let access = if mount.is_true("readonly") { Access::ReadOnly } else { Access::ReadWrite };
    let source = mount.text("source");
    let text = |error: ConfigError| error.to_string();
    match mount.text("type").as_str() {
        "bind" => {
            let mut propagation = Propagation::Private;
            for options in mount.blocks("bind_options", &keys::BIND).map_err(text)? {
                propagation = match options.text("propagation").as_str() {
                    "" | "private" | "rprivate" => Propagation::Private,
                    "slave" | "rslave" => Propagation::HostToTask,
                    "shared" | "rshared" => Propagation::Bidirectional,
                    other => return Err(format!("has the propagation {other:?}; private, slave and shared are known")),
                };
            }
            let source = host_path(&source, places, Missing::Refuse, Recursion::Below)?;
            Ok(Wanted::Mount(Mount { target, source, access, propagation, flags: MountFlags::default() }))
        }
        "tmpfs" => {
            let (mut size, mut mode) = (None, None);
            for options in mount.blocks("tmpfs_options", &keys::TMPFS).map_err(text)? {
                let positive = |key| match options.number(key).map(u64::try_from) {
                    None | Some(Ok(0)) => Ok(None),
                    Some(Ok(number)) => Ok(Some(number)),
                    Some(Err(_)) => Err(format!("has a negative {key} in tmpfs_options")),
                };
                (size, mode) = (positive("size")?, positive("mode")?);
            }
            Ok(Wanted::Mount(tmpfs(target, access, size, mode.and_then(|mode| u32::try_from(mode).ok()))))
        }
        "volume" | "" => {
            let mut copy = true;
            for options in mount.blocks("volume_options", &keys::VOLUME).map_err(text)? {
                copy = !options.is_true("no_copy");
                for driver in options.blocks("driver_config", &keys::VOLUME_DRIVER).map_err(text)? {
                    let name = driver.text("name");
                    if !matches!(name.as_str(), "" | "local") || !driver.map("options").is_empty() {
                        return Err(format!(
                            "asks for the volume driver {name:?} or its options, and there are none of Docker's here; use a volume block"
                        ));
                    }
                }
            }
            let letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-');
            if !(1..=200).contains(&source.len()) || !source.chars().all(letter) || source.starts_with(['.', '-']) {
                return Err(format!(
                    "has the source {source:?}; a volume's name is up to 200 letters, digits, '_', '.' and '-'"
                ));
            }
            Ok(Wanted::Volume { name: source, target, access, copy })
        }
        other => Err(format!("has the type {other:?}; bind, tmpfs and volume are known")),
    }
}

fn tmpfs(target: PathBuf, access: Access, size: Option<u64>, mode: Option<u32>) -> Mount {
    let source = Source::Tmpfs { size, mode: mode.unwrap_or(0o1777), uid: 0, gid: 0 };
    let flags = MountFlags { nosuid: true, noexec: false };
    Mount { target, source, access, propagation: Propagation::Private, flags }
}

fn target(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    match path.is_absolute() && !text.contains('\0') && path.components().count() > 1 {
        true => Ok(path.to_owned()),
        false => Err(format!("has the target {text:?}, which is no absolute path below / of the container")),
    }
}

enum Missing {
    Make,
    Refuse,
}

/// What a job names, relative to its task's directory or absolute.
fn host_path(text: &str, places: &Places<'_>, missing: Missing, recursion: Recursion) -> Result<Source, String> {
    if text.is_empty() || text.contains('\0') {
        return Err(format!("names no source: {text:?}"));
    }
    let path = if Path::new(text).is_absolute() { PathBuf::from(text) } else { places.task_directory.join(text) };
    let make = matches!(missing, Missing::Make);
    // What is within its directory is found there, whatever links its tasks have put in the way.
    if let Ok(inner) = path.strip_prefix(places.allocation)
        && inner.components().all(|part| matches!(part, Component::Normal(_)))
    {
        let refuse =
            |error| format!("has the source {text:?}, which cannot be used below the task's directory: {error}");
        look_within(places.allocation, inner, make).map_err(refuse)?;
        return Ok(Source::BindBeneath { directory: places.allocation.to_owned(), path: inner.to_owned() });
    }
    if !places.volumes {
        return Err(format!(
            "names the host's {text:?}, and the agent does not allow that; set volumes {{ enabled = true }} in its plugin \"docker\" block"
        ));
    }
    if make && !path.exists() {
        // As Docker does it.
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(&path);
        made.map_err(|error| format!("names {text:?}, which cannot be made: {error}"))?;
    }
    std::fs::metadata(&path).map_err(|error| format!("names {text:?} of the host: {error}"))?;
    Ok(Source::Bind { path, recursion })
}

/// Whether something is beneath a root; what is missing may be made.
fn look_within(root: &Path, inner: &Path, make: bool) -> io::Result<()> {
    let look = || -> io::Result<()> {
        let root = rustix::fs::openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let inner = if inner.as_os_str().is_empty() { Path::new(".") } else { inner };
        rustix::fs::openat2(&root, inner, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?;
        Ok(())
    };
    match look() {
        Err(error) if error.kind() == io::ErrorKind::NotFound && make => {
            make_within(root, inner)?;
            look()
        }
        other => other,
    }
}

/// Makes folders beneath a root, one after the other, following nothing.
fn make_within(root: &Path, inner: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = rustix::fs::openat(CWD, root, flags, Mode::empty())?;
    for part in inner.components() {
        match rustix::fs::mkdirat(&at, part.as_os_str(), Mode::from(0o777)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        at = rustix::fs::openat(&at, part.as_os_str(), flags, Mode::empty())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn all(config: Value, volumes: bool) -> Result<Vec<Wanted>, String> {
        let directory = std::env::temp_dir().join(format!("nomadd-mounts-{}", std::process::id()));
        let task = directory.join("web");
        std::fs::create_dir_all(task.join("local")).unwrap();
        // Another test may have made it.
        drop(std::os::unix::fs::symlink("/etc", task.join("out")));
        let mut config = config;
        config["image"] = json!("x");
        let places = Places { task_directory: &task, allocation: &directory, volumes };
        let read = Reader::of("docker", &keys::KEYS, &config).unwrap();
        super::read(&read, &places).map_err(|error| error.to_string())
    }

    fn only(config: Value, volumes: bool) -> Mount {
        match all(config, volumes).unwrap().pop().unwrap() {
            Wanted::Mount(mount) => mount,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn paths_of_the_task_are_always_allowed_and_those_of_the_host_where_the_agent_says_so() {
        let mount = only(json!({"volumes": ["local/data:/data:ro"]}), false);
        let Source::BindBeneath { directory, path } = &mount.source else { panic!("{mount:?}") };
        assert!(path == Path::new("web/local/data") && directory.join(path).is_dir());
        assert_eq!((mount.access, mount.target), (Access::ReadOnly, PathBuf::from("/data")));
        let refused = all(json!({"volumes": ["/etc:/x"]}), false).unwrap_err();
        assert!(refused.contains("set volumes { enabled = true }"), "{refused}");
        let mount = only(json!({"volumes": ["/etc:/x:rslave"]}), true);
        assert_eq!(mount.propagation, Propagation::HostToTask);
    }

    #[test]
    fn links_of_a_task_lead_to_nothing_of_the_host() {
        for source in ["out", "out/passwd", "../../etc"] {
            let mount = json!({"mount": {"type": "bind", "source": source, "target": "/x"}});
            assert!(all(mount, false).is_err(), "{source}");
            assert!(all(json!({"volumes": [format!("{source}:/x")]}), false).is_err(), "{source}");
        }
    }

    #[test]
    fn blocks_of_all_kinds_are_read_and_what_cannot_be_is_refused() {
        let mount = only(
            json!({"mounts": [{"type": "tmpfs", "target": "/t", "tmpfs_options": {"size": 100, "mode": 448}}]}),
            false,
        );
        assert_eq!(mount.source, Source::Tmpfs { size: Some(100), mode: 0o700, uid: 0, gid: 0 });
        let volume =
            all(json!({"mount": [{"type": "volume", "source": "db", "target": "/db", "readonly": true}]}), false);
        let expected = Wanted::Volume { name: "db".into(), target: "/db".into(), access: Access::ReadOnly, copy: true };
        assert_eq!(volume.unwrap(), [expected]);
        for (config, reason) in [
            (json!({"volumes": ["/a"]}), "not HOST:CONTAINER"),
            (json!({"volumes": ["a:b"]}), "no absolute path"),
            (json!({"volumes": ["a:/b:exotic"]}), "the option \"exotic\""),
            (json!({"mount": {"type": "npipe", "target": "/x"}}), "the type \"npipe\""),
            (json!({"mount": {"type": "volume", "source": "../x", "target": "/x"}}), "a volume's name"),
            (json!({"mount": {"type": "bind", "source": "nothing", "target": "/x"}}), "cannot be used below"),
            (json!({"mount": {"type": "tmpfs", "target": "/"}}), "no absolute path below /"),
        ] {
            let error = all(config, false).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
