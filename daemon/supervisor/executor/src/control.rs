//! The executor's side of the connection to the daemon: the socket in the state directory, its connections and the
//! requests that come in. What a request does is decided in `run.rs`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use nomadd_executor::record::{Record, RecordError};
use nomadd_executor::{EXIT_FILE, SOCKET_FILE, STATE_FILE};

use crate::sys;

/// No daemon needs more connections to one executor; a stuck one is dropped for a new one.
const MAX_CONNECTIONS: usize = 8;

/// What the daemon may ask for. Each request carries an `id` that comes back in its `ok` or `error`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Send a signal to the task.
    Signal(i32),
    /// Send a signal, and kill the task if it still runs after so many milliseconds.
    Stop { signal: i32, timeout_ms: u64 },
    /// Kill the task and all its processes.
    Kill,
}

impl Request {
    /// Reads a request and its id.
    pub fn from_record(record: &Record) -> Result<(u64, Self), RecordError> {
        let id = record.require("id")?;
        let request = match record.kind().as_str() {
            "signal" => Self::Signal(record.require("signal")?),
            "stop" => Self::Stop { signal: record.require("signal")?, timeout_ms: record.require("timeout_ms")? },
            "kill" => Self::Kill,
            other => return Err(RecordError::Invalid("kind", other.to_owned())),
        };
        Ok((id, request))
    }
}

/// One daemon's connection.
pub struct Connection {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Sends a record; a daemon that does not read loses its connection (the files tell it all the same).
    pub fn send(&mut self, record: &Record) -> io::Result<()> {
        self.stream.write_all(&record.frame())
    }

    /// Reads what came and takes the whole records out of it; an error ends the connection.
    pub fn receive(&mut self) -> io::Result<Vec<Record>> {
        let mut chunk = [0; 4096];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let mut records = Vec::new();
        while let Some(record) =
            Record::take_frame(&mut self.buffer).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?
        {
            records.push(record);
        }
        Ok(records)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// The state directory: the socket and the two files.
pub struct StateDirectory {
    directory: File,
    listener: UnixListener,
}

impl StateDirectory {
    /// Opens the directory, removes what an earlier run left and listens.
    pub fn open(path: &Path) -> io::Result<Self> {
        let directory = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(path)?;
        for name in [EXIT_FILE, STATE_FILE, SOCKET_FILE] {
            match fs::remove_file(in_directory(&directory, name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        // Blocks for the exit file are taken now: a full disk must not hide how the task ended.
        let reserved = fresh_file(&directory, EXIT_FILE)?;
        reserved.write_all_at(&[b'\n'; 1024], 0)?;
        let listener = UnixListener::bind(in_directory(&directory, SOCKET_FILE))?;
        listener.set_nonblocking(true)?;
        Ok(Self { directory, listener })
    }

    /// Writes a file so that a reader sees all of it or nothing.
    pub fn write(&self, name: &str, record: &Record) -> io::Result<()> {
        let bytes = record.encode();
        let file = fresh_file(&self.directory, name)?;
        file.write_all_at(&bytes, 0)?;
        file.set_len(bytes.len() as u64)?;
        fs::rename(in_directory(&self.directory, &format!("{name}.new")), in_directory(&self.directory, name))
    }

    /// Takes the waiting connections, of this user's processes only.
    pub fn accept(&self, connections: &mut Vec<Connection>, greeting: &Record) {
        while let Ok((stream, _)) = self.listener.accept() {
            if sys::peer_uid(&stream).ok() != Some(sys::user_id()) {
                continue;
            }
            if let Ok(mut connection) = Connection::new(stream)
                && connection.send(greeting).is_ok()
            {
                if connections.len() >= MAX_CONNECTIONS {
                    connections.remove(0);
                }
                connections.push(connection);
            }
        }
    }

    /// Removes the socket: whoever comes now reads the exit file.
    pub fn close(&self) {
        drop(fs::remove_file(in_directory(&self.directory, SOCKET_FILE)));
    }
}

impl AsFd for StateDirectory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// Opens the file that will be renamed to `name`, keeping what it holds.
fn fresh_file(directory: &File, name: &str) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(in_directory(directory, &format!("{name}.new")))
}

/// A name in an open directory. By way of /proc, because a socket's address holds no more than 107 bytes.
fn in_directory(directory: &File, name: &str) -> String {
    format!("/proc/self/fd/{}/{name}", directory.as_raw_fd())
}
