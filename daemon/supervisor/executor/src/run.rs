//! The life of an executor: prepare, start, then one loop over signals, requests and output until the task and all its
//! processes are gone; then the totals, the exit file, and word to whoever is connected.
//!
//! Nothing here waits for the daemon: it may be gone for hours. A stop keeps its deadline without it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nomadd_executor::cgroup::{self, Found};
use nomadd_executor::logs::{Rotation, Stream, Writer};
use nomadd_executor::process::{kill, start_ticks};
use nomadd_executor::record::Record;
use nomadd_executor::report::{Exited, Failed, Stage, Started};
use nomadd_executor::spec::{LogFiles, TaskSpec};
use nomadd_executor::{EXIT_FILE, STATE_FILE};

use crate::control::{Connection, Request, StateDirectory};
use crate::journal::Journal;
use crate::output::{Flow, Output, PIPE_BYTES};
use crate::{launch, sys, unit};

/// The kernel takes the executor late when memory runs out: it holds the truth about a task that is likely the cause.
const OOM_SCORE: i32 = -900;
/// How long killed processes may take to vanish before the task counts as ended without them.
const KILL_LIMIT: Duration = Duration::from_secs(10);
/// One read of a pipe, in bytes.
const BUFFER_BYTES: usize = 64 << 10;

struct Executor {
    spec: TaskSpec,
    state: StateDirectory,
    signals: std::fs::File,
    connections: Vec<Connection>,
    outputs: Vec<Output>,
    journal: Option<Journal>,
    started: Started,
    /// When a stop turns into a kill.
    kill_at: Option<Instant>,
    /// Whether one has.
    timed_out: bool,
    /// The task's own end, once it was reaped, and when.
    ended: Option<(sys::Reaped, Instant)>,
    /// Rusage of children that are not the task: what it left behind.
    lost_bytes: u64,
}

/// Runs the task to its end.
pub fn run(spec: TaskSpec, control: UnixStream) -> ExitCode {
    sys::set_session();
    sys::set_umask(0o022);
    drop(launch::set_oom_score(OOM_SCORE));
    sys::become_subreaper();
    let executor = match Executor::start(spec, &control) {
        Ok(executor) => executor,
        Err(failed) => {
            drop(failed.to_record().send(&control));
            return ExitCode::from(1);
        }
    };
    executor.run_to_end()
}

impl Executor {
    fn start(mut spec: TaskSpec, control: &UnixStream) -> Result<Self, Failed> {
        unit::resolve(&mut spec)?;
        let signals = sys::signal_descriptor().map_err(|error| Failed::system(Stage::Fork, &error, "signalfd"))?;
        let state = StateDirectory::open(&spec.state_directory)
            .map_err(|error| Failed::path(Stage::State, &error, &spec.state_directory))?;
        let lost = |error| Failed::system(Stage::State, &error, "control connection");
        let mut connection = control.try_clone().and_then(Connection::new).map_err(lost)?;
        // Whoever adopts after this daemon's death finds either the socket made above, or no start after this line.
        if let Err(error) = connection.receive() {
            state.close();
            return Err(lost(error));
        }
        let (outputs, writers) = open_outputs(spec.logs.as_ref())?;
        let made = cgroup::make(&spec.cgroups);
        let pid = match made.and_then(|()| launch::start(&spec, writers)) {
            Ok(pid) => pid,
            Err(failed) => {
                cgroup::remove(&spec.cgroups);
                state.close();
                return Err(failed);
            }
        };
        let executor_pid = std::process::id() as i32;
        let started = Started {
            pid,
            start_ticks: start_ticks(pid).unwrap_or(0),
            started_at: now(),
            executor_pid,
            executor_ticks: start_ticks(executor_pid).unwrap_or(0),
            boot_id: spec.boot_id.clone(),
            cgroups: spec.cgroups.clone(),
        };
        let record = started.to_record();
        let journal = spec.journal.as_ref().filter(|_| !outputs.is_empty()).and_then(Journal::open);
        let mut executor = Self {
            spec,
            state,
            signals,
            connections: vec![connection],
            outputs,
            journal,
            started,
            kill_at: None,
            timed_out: false,
            ended: None,
            lost_bytes: 0,
        };
        if let Err(error) = executor.state.write(STATE_FILE, &record) {
            // Without this file nobody could find the task again: better no task than a lost one.
            executor.kill();
            cgroup::remove(&executor.spec.cgroups);
            executor.state.close();
            return Err(Failed::path(Stage::State, &error, executor.spec.state_directory.join(STATE_FILE)));
        }
        executor.tell(&record);
        Ok(executor)
    }

    fn run_to_end(mut self) -> ExitCode {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut nap = Duration::from_millis(1);
        loop {
            let timeout = match (&self.ended, self.kill_at) {
                // What is left is being killed: look again soon, ever less often.
                (Some(_), _) => Some(nap),
                (None, Some(at)) => Some(at.saturating_duration_since(Instant::now())),
                (None, None) => None,
            };
            self.wait_and_serve(timeout, &mut buffer);
            if self.kill_at.is_some_and(|at| at <= Instant::now()) {
                self.kill_at = None;
                self.timed_out = self.ended.is_none();
                self.kill();
            }
            let children = self.reap();
            if let Some((_, since)) = &self.ended {
                let since = *since;
                let all_gone = self.kill_rest(children) == Found::None;
                while all_gone && self.pump_all(&mut buffer) == Flow::More {}
                if all_gone && self.outputs.is_empty() {
                    return self.finish(None);
                }
                // A process that left both the cgroup and our family may hold a pipe open; it is not waited for.
                if all_gone && since.elapsed() > Duration::from_secs(2) {
                    return self.finish(None);
                }
                if since.elapsed() > KILL_LIMIT {
                    return self.finish(Some("some processes of the task could not be killed".to_owned()));
                }
                nap = (nap * 2).min(Duration::from_millis(50));
            }
        }
    }

    /// Waits for anything to happen and does it.
    fn wait_and_serve(&mut self, timeout: Option<Duration>, buffer: &mut [u8]) {
        let mut descriptors: Vec<BorrowedFd<'_>> = vec![self.signals.as_fd(), self.state.as_fd()];
        descriptors.extend(self.outputs.iter().map(AsFd::as_fd));
        descriptors.extend(self.connections.iter().map(AsFd::as_fd));
        let blocked = self.journal.as_ref().and_then(Journal::blocked);
        let timeout = match (timeout, blocked.map(|(_, patience)| patience)) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let Ok(ready) = sys::poll(&descriptors, blocked.map(|(socket, _)| socket), timeout) else { return };
        let (outputs, connections) = (self.outputs.len(), self.connections.len());
        // Also when nothing is ready: what has waited too long is given up.
        if blocked.is_some()
            && let Some(journal) = &mut self.journal
        {
            journal.send();
        }
        if ready[0] {
            while let Some(signal) = sys::next_signal(&mut self.signals) {
                if signal == libc::SIGTERM {
                    // The host shuts down, or someone stops executors by hand.
                    let timeout = Duration::from_millis(self.spec.kill_timeout_ms);
                    self.stop(self.spec.kill_signal, timeout);
                }
            }
        }
        if ready[2..2 + outputs].contains(&true) {
            self.pump_all(buffer);
        }
        for place in (0..connections).rev().filter(|place| ready[2 + outputs + place]) {
            match self.connections[place].receive() {
                Ok(records) => {
                    for record in records {
                        let answer = self.answer(&record);
                        drop(self.connections[place].send(&answer));
                    }
                }
                Err(_) => drop(self.connections.remove(place)),
            }
        }
        if ready[1] {
            self.state.accept(&mut self.connections, &self.started.to_record());
        }
    }

    fn answer(&mut self, record: &Record) -> Record {
        let error = |text: String| {
            let mut answer = Record::new("error");
            answer.push("id", record.text("id").unwrap_or_default());
            answer.push("message", text);
            answer
        };
        let (id, request) = match Request::from_record(record) {
            Ok(request) => request,
            Err(reason) => return error(reason.to_string()),
        };
        if self.ended.is_some() {
            let mut answer = error("the task has ended".to_owned());
            answer.push("ended", true);
            return answer;
        }
        match request {
            Request::Signal(signal) => {
                if let Err(reason) = kill(self.started.pid, signal) {
                    return error(reason.to_string());
                }
            }
            Request::Stop { signal, timeout_ms } => self.stop(signal, Duration::from_millis(timeout_ms)),
            Request::Kill => self.kill(),
        }
        let mut answer = Record::new("ok");
        answer.push("id", id);
        answer
    }

    /// Asks the task to end; a second stop may only shorten the wait.
    fn stop(&mut self, signal: i32, timeout: Duration) {
        if timeout.is_zero() {
            return self.kill();
        }
        drop(kill(self.started.pid, signal));
        let at = Instant::now() + timeout.min(Duration::from_secs(365 * 86_400));
        self.kill_at = Some(self.kill_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Kills the task and everything in its cgroups and its process group.
    fn kill(&self) {
        if self.ended.is_none() {
            drop(kill(self.started.pid, libc::SIGKILL));
        }
        drop(kill(-self.started.pid, libc::SIGKILL));
        cgroup::kill(&self.spec.cgroups);
    }

    fn reap(&mut self) -> Found {
        loop {
            match sys::reap() {
                sys::Children::None => return Found::None,
                sys::Children::Running => return Found::Some,
                sys::Children::Ended(child) if child.pid == self.started.pid => {
                    self.ended = Some((child, Instant::now()));
                    drop(kill(-self.started.pid, libc::SIGKILL));
                }
                sys::Children::Ended(_) => {}
            }
        }
    }

    /// After the task's own end: kills what it left in its cgroups and among our children.
    fn kill_rest(&mut self, children: Found) -> Found {
        let found = cgroup::kill(&self.spec.cgroups);
        if children == Found::None {
            return found;
        }
        for pid in own_children() {
            drop(kill(pid, libc::SIGKILL));
        }
        Found::Some
    }

    /// Writes what the task wrote; ended streams are dropped.
    fn pump_all(&mut self, buffer: &mut [u8]) -> Flow {
        let mut flow = Flow::Dry;
        let mut lost = 0;
        let journal = &mut self.journal;
        self.outputs.retain_mut(|output| match output.pump(buffer, journal.as_mut()) {
            Flow::Ended => {
                lost += output.lost();
                false
            }
            Flow::More => {
                flow = Flow::More;
                true
            }
            Flow::Dry => true,
        });
        self.lost_bytes += lost;
        flow
    }

    fn finish(mut self, error: Option<String>) -> ExitCode {
        let totals = cgroup::totals(&self.spec.cgroups);
        cgroup::remove(&self.spec.cgroups);
        let lost = self.lost_bytes + self.outputs.iter().map(Output::lost).sum::<u64>();
        let Some((task, _)) = self.ended.take() else { return ExitCode::FAILURE };
        let exited = Exited {
            exit_code: task.exit_code,
            signal: task.signal,
            oom_kills: totals.oom_kills,
            finished_at: now(),
            memory_peak: if totals.memory_peak > 0 { totals.memory_peak } else { task.peak },
            cpu_ns: totals.cpu.unwrap_or(task.cpu).as_nanos() as u64,
            log_bytes_lost: lost,
            timed_out: self.timed_out,
            error,
        };
        let record = exited.to_record();
        // First the file, then the word: whoever finds no socket finds the file.
        let written = self.state.write(EXIT_FILE, &record);
        self.tell(&record);
        self.state.close();
        if let Some(journal) = &mut self.journal {
            journal.finish();
        }
        if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn tell(&mut self, record: &Record) {
        self.connections.retain_mut(|connection| connection.send(record).is_ok());
    }
}

type Outputs = (Vec<Output>, [Option<io::PipeWriter>; 2]);

fn open_outputs(logs: Option<&LogFiles>) -> Result<Outputs, Failed> {
    let (mut outputs, mut writers) = (Vec::new(), [None, None]);
    let Some(LogFiles { directory, task, max_files, max_file_size }) = logs else { return Ok((outputs, writers)) };
    let rotation = Rotation { max_files: *max_files, max_file_size: *max_file_size };
    for (stream, place) in [Stream::Stdout, Stream::Stderr].into_iter().zip(&mut writers) {
        let log = Writer::open(directory, task, stream, rotation)
            .map_err(|error| Failed::path(Stage::Log, &error, directory))?;
        let (reader, writer) = io::pipe().map_err(|error| Failed::system(Stage::Log, &error, "pipe"))?;
        sys::set_nonblocking(&reader).map_err(|error| Failed::system(Stage::Log, &error, "pipe"))?;
        sys::grow_pipe(&reader, PIPE_BYTES);
        outputs.push(Output::new(reader, log));
        *place = Some(writer);
    }
    Ok((outputs, writers))
}

/// The direct children of this process; orphans of the task become that, one generation after another.
fn own_children() -> Vec<i32> {
    let own = std::process::id();
    if let Ok(text) = std::fs::read_to_string(format!("/proc/self/task/{own}/children")) {
        return text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).filter(|pid| *pid > 1).collect();
    }
    // A kernel without that file: look at everyone's parent.
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(1)?.parse().ok());
        parent == Some(own)
    })
    .collect()
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX))
}
