//! What a driver asks of a container, as the executor carries it out, and the file beside a running task by which a later
//! daemon finds its namespaces again.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nomadd_executor::CONTAINER_FILE;
use nomadd_executor::record::Record;
use nomadd_executor::report::Started;
use nomadd_executor::spec::Inside;

pub use nomadd_executor::container::*;

use crate::spec::ProcessSpec;

const KIND: &str = "container";

/// Says which namespaces a task has; nothing for one that has the host's.
pub(crate) fn note(spec: &ProcessSpec) -> io::Result<()> {
    let path = spec.state_directory.join(CONTAINER_FILE);
    if spec.container.is_none() && spec.mounts.is_empty() {
        return match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    let mut record = Record::new(KIND);
    record.push_bytes("cwd", spec.working_directory.as_os_str().as_bytes());
    if let Some(container) = &spec.container {
        container.push_to(&mut record);
    }
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(&record.encode())
}

/// The namespaces of a running task, with its working directory in them; `None` where it has the host's.
pub(crate) fn of(started: &Started, state_directory: &Path) -> io::Result<Option<(Inside, PathBuf)>> {
    let bytes = match fs::read(state_directory.join(CONTAINER_FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes?,
    };
    let unreadable = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let record = Record::decode(&bytes).map_err(unreadable)?;
    let container = ContainerSpec::from_record(&record).map_err(unreadable)?;
    let directory = record.bytes("cwd").unwrap_or(b"/").to_vec();
    let Started { pid, start_ticks, .. } = started;
    let inside = Inside { pid: *pid, start_ticks: *start_ticks, container: container.map(Box::new) };
    Ok(Some((inside, OsString::from_vec(directory).into())))
}
