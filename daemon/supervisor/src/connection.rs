//! The daemon's side of one executor: sends requests, takes the answers, and tells the task's end to all who wait.
//!
//! One task per executor, asleep until its socket or a request wakes it. The end of the socket without word of the
//! task's end means that the executor died: then the task's cgroups are killed here.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nomadd_executor::EXIT_FILE;
use nomadd_executor::record::{Record, RecordError};
use nomadd_executor::report::{Exited, Started};
use nomadd_executor::{cgroup, process};
use nomadd_model::Time;
use nomadd_runtime::{Clock, Pool};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};

use crate::process::{ExitStatus, SignalError};
use crate::sys;

/// How long an executor may take to answer; it never waits for the disk to do so.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A request and where its answer goes. The record lacks only its id.
pub struct Request {
    pub record: Record,
    pub answer: oneshot::Sender<Result<(), SignalError>>,
}

/// Whether the executor is this process's child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinship {
    /// It is, and is reaped here.
    Child,
    /// An earlier daemon started it.
    Foreign,
}

/// Reads records from a connection.
pub struct Reader {
    half: OwnedReadHalf,
    buffer: Vec<u8>,
}

impl Reader {
    pub fn new(half: OwnedReadHalf) -> Self {
        Self { half, buffer: Vec::new() }
    }

    /// The next record; `None` at the end. Safe to cancel: what came stays in the buffer.
    pub async fn next(&mut self) -> io::Result<Option<Record>> {
        loop {
            let taken = Record::take_frame(&mut self.buffer);
            if let Some(record) = taken.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
                return Ok(Some(record));
            }
            if self.half.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// One executor's connection, after its word that the task runs.
pub struct Connection {
    pub reader: Reader,
    pub writer: OwnedWriteHalf,
    pub started: Started,
    pub state_directory: PathBuf,
    pub kinship: Kinship,
    pub clock: Clock,
    pub pool: Pool,
}

impl Connection {
    /// Serves requests until the task has ended, then says how.
    pub async fn run(mut self, mut requests: mpsc::Receiver<Request>, exit: watch::Sender<Option<ExitStatus>>) {
        let mut waiting = BTreeMap::new();
        let mut next_id = 0_u64;
        let mut open = true;
        let exited = loop {
            tokio::select! {
                record = self.reader.next() => match record {
                    Ok(Some(record)) if record.kind() == "exited" => break Exited::from_record(&record).ok(),
                    Ok(Some(record)) => answer(&record, &mut waiting),
                    Ok(None) | Err(_) => break None,
                },
                request = requests.recv(), if open => match request {
                    // Nobody holds the handle any more; the executor is still ours to reap.
                    None => open = false,
                    Some(Request { mut record, answer }) => {
                        next_id += 1;
                        record.push("id", next_id);
                        if self.writer.write_all(&record.frame()).await.is_ok() {
                            waiting.insert(next_id, answer);
                        }
                    }
                },
            }
        };
        let status = match exited {
            Some(exited) => exit_status(exited),
            None => self.silent_end().await,
        };
        exit.send_replace(Some(status));
        // Whoever still waits for an answer, or asks from now on, learns that the task has ended.
        drop(waiting);
        drop(requests);
        if self.kinship == Kinship::Child {
            reap(self.started.executor_pid).await;
        }
    }

    /// The socket ended without a word: the exit file says why, or the executor died.
    async fn silent_end(&self) -> ExitStatus {
        let (directory, started) = (self.state_directory.clone(), self.started.clone());
        let ended = self.pool.run(move || {
            if let Ok(Some(exited)) = read_exit(&directory) {
                return exit_status(exited);
            }
            kill_orphans(&started);
            ExitStatus {
                exit_code: 128 + libc::SIGKILL,
                signal: libc::SIGKILL,
                error: Some("the task's executor died, so the task was killed".to_owned()),
                ..ExitStatus::default()
            }
        });
        let mut status = ended.await.unwrap_or_default();
        if status.finished_at == Time::default() {
            status.finished_at = self.clock.now();
        }
        status
    }
}

fn answer(record: &Record, waiting: &mut BTreeMap<u64, oneshot::Sender<Result<(), SignalError>>>) {
    let Ok(Some(id)) = record.get("id") else { return };
    let Some(answer) = waiting.remove(&id) else { return };
    let result = match record.kind().as_str() {
        "ok" => Ok(()),
        _ if record.text("ended").is_some() => Err(SignalError::Ended),
        _ => Err(SignalError::Refused(record.text("message").unwrap_or_default())),
    };
    // Who asked may have gone.
    drop(answer.send(result));
}

/// Waits for a child of ours to end and reaps it: (exit code, signal or 0).
pub async fn reap(pid: i32) -> Option<(i32, i32)> {
    let descriptor = sys::process_descriptor(pid).and_then(sys::watch).ok()?;
    loop {
        let mut ready = descriptor.readable().await.ok()?;
        match sys::reap(pid) {
            Ok(None) => ready.clear_ready(),
            ended => return ended.ok().flatten(),
        }
    }
}

/// What the executor wrote about the end.
pub fn exit_status(exited: Exited) -> ExitStatus {
    let Exited { exit_code, signal, oom_kills, finished_at, memory_peak, cpu_ns, log_bytes_lost, timed_out, error } =
        exited;
    ExitStatus {
        exit_code: if signal > 0 { 128 + signal } else { exit_code },
        signal,
        // A task that survives the death of one of its processes was not killed.
        oom_killed: oom_kills > 0 && (signal == libc::SIGKILL || exit_code != 0),
        finished_at: Time(finished_at),
        timed_out,
        error,
        memory_peak,
        cpu_ns,
        log_bytes_lost,
    }
}

/// The exit file; `None` if there is none.
pub fn read_exit(state_directory: &Path) -> io::Result<Option<Exited>> {
    read_record(&state_directory.join(EXIT_FILE), Exited::from_record)
}

/// A record from a file; `None` if there is no such file.
pub fn read_record<T>(path: &Path, parse: impl Fn(&Record) -> Result<T, RecordError>) -> io::Result<Option<T>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let record = Record::decode(&bytes).and_then(|record| parse(&record));
    record.map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Kills what a dead executor left: its task's cgroups, and the main process if it is still the same one.
pub fn kill_orphans(started: &Started) {
    cgroup::kill(&started.cgroups);
    if process::is_running(started.pid, started.start_ticks) {
        drop(process::kill(-started.pid, libc::SIGKILL));
        drop(process::kill(started.pid, libc::SIGKILL));
    }
    cgroup::remove(&started.cgroups);
}

/// Connects to the socket of a state directory, which may be too deep for a socket's address.
pub async fn connect(state_directory: &Path) -> io::Result<UnixStream> {
    use std::os::fd::AsRawFd;
    let directory = fs::File::open(state_directory)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{}", directory.as_raw_fd(), nomadd_executor::SOCKET_FILE)).await
}
