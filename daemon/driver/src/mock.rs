//! mock_driver: a task that only pretends, for tests and load. It lives in this process, costs one timer, and obeys its
//! configuration: how long it runs, how it ends, what it writes, how it takes signals.

use std::time::Duration;

use async_trait::async_trait;
use nomadd_model::Time;
use nomadd_runtime::{Runtime, TaskKind};
use nomadd_supervisor::logs::{Rotation, Stream, Writer};
use nomadd_supervisor::start::Again;
use nomadd_supervisor::{
    ExecError, ExecRequest, ExecSession, ExitStatus, Handle, LogSpec, Process, SignalError, StartError, StatsError,
    TaskHandleId, Usage,
};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use crate::schema::{ConfigError, Key, Kind, Need, Reader};

/// The driver's name.
pub const NAME: &str = "mock_driver";

const fn key(name: &'static str, kind: Kind) -> Key {
    Key { name, kind, need: Need::Optional }
}

/// What a task's `config` may hold.
pub const KEYS: [Key; 16] = [
    key("start_error", Kind::Text),
    key("start_error_recoverable", Kind::Truth),
    key("start_block_for", Kind::Time),
    key("kill_after", Kind::Time),
    key("plugin_exit_after", Kind::Time),
    key("run_for", Kind::Time),
    key("exit_code", Kind::Number),
    key("exit_signal", Kind::Number),
    key("exit_err_msg", Kind::Text),
    key("signal_error", Kind::Text),
    key("stdout_string", Kind::Text),
    key("stdout_repeat", Kind::Number),
    key("stdout_repeat_duration", Kind::Time),
    key("stderr_string", Kind::Text),
    key("stderr_repeat", Kind::Number),
    key("stderr_repeat_duration", Kind::Time),
];

/// A task that pretends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MockSpec {
    id: TaskHandleId,
    log: LogSpec,
    start_error: Option<(String, Again)>,
    start_block_for: Duration,
    kill_after: Duration,
    plugin_exit_after: Option<Duration>,
    run_for: Duration,
    exit_code: i32,
    exit_signal: i32,
    exit_error: Option<String>,
    signal_error: Option<String>,
    output: Vec<Output>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Output {
    stream: Stream,
    text: String,
    repeat: u64,
    every: Duration,
}

impl MockSpec {
    /// Reads a task's configuration.
    pub fn read(id: TaskHandleId, config: &Value, log: LogSpec) -> Result<Self, ConfigError> {
        let config = Reader::of(NAME, &KEYS, config)?;
        let words = |key: &str| Some(config.text(key)).filter(|text| !text.is_empty());
        let time = |key: &str| config.time(key).unwrap_or_default();
        let small = |key: &str| {
            let number = config.number(key).unwrap_or(0);
            i32::try_from(number).map_err(|_| config.error(key, &format!("is out of range: {number}")))
        };
        let mut output = Vec::new();
        for stream in [Stream::Stdout, Stream::Stderr] {
            if let Some(text) = words(&format!("{stream}_string")) {
                let repeat = config.number(&format!("{stream}_repeat")).unwrap_or(0);
                let repeat = u64::try_from(repeat).unwrap_or(0);
                output.push(Output { stream, text, repeat, every: time(&format!("{stream}_repeat_duration")) });
            }
        }
        let again = if config.is_true("start_error_recoverable") { Again::Worthwhile } else { Again::Pointless };
        Ok(Self {
            id,
            log,
            start_error: words("start_error").map(|message| (message, again)),
            start_block_for: time("start_block_for"),
            kill_after: time("kill_after"),
            plugin_exit_after: config.time("plugin_exit_after"),
            run_for: time("run_for"),
            exit_code: small("exit_code")?,
            exit_signal: small("exit_signal")?,
            exit_error: words("exit_err_msg"),
            signal_error: words("signal_error"),
            output,
        })
    }

    /// Starts it: waits and fails as it says.
    pub async fn start(self, runtime: &Runtime) -> Result<Handle, StartError> {
        if !self.start_block_for.is_zero() {
            sleep(self.start_block_for).await;
        }
        if let Some((message, again)) = &self.start_error {
            return Err(StartError::Driver { message: message.clone(), again: *again });
        }
        let started_at = runtime.clock.now();
        let run_for = self.run_for;
        Ok(self.run(runtime, started_at, run_for))
    }

    /// Takes it up again after a restart of the daemon: it runs for what is left, and writes nothing twice. One whose
    /// time is over has ended.
    pub fn resume(mut self, runtime: &Runtime, started_at: Time) -> Handle {
        let passed = runtime.clock.now().since(started_at).to_std();
        self.output.clear();
        let rest = self.run_for.saturating_sub(passed);
        self.run(runtime, started_at, rest)
    }

    fn run(self, runtime: &Runtime, started_at: Time, run_for: Duration) -> Handle {
        let (exit, ended) = watch::channel(None);
        let (stops, inbox) = mpsc::channel(4);
        let mock = Mock {
            started_at,
            kill_after: self.kill_after,
            signal_error: self.signal_error.clone(),
            exit: ended,
            stops,
        };
        let clock = runtime.clock.clone();
        let writing = runtime.clone();
        let future = async move {
            let mut status = self.play(run_for, inbox, &writing).await;
            status.finished_at = clock.now();
            exit.send_replace(Some(status));
        };
        runtime.tasks.spawn(TaskKind::Supervision, future);
        Handle::new(mock)
    }

    async fn play(&self, run_for: Duration, mut stops: mpsc::Receiver<Stop>, runtime: &Runtime) -> ExitStatus {
        let start = Instant::now();
        let end = start + run_for;
        let plugin_end = self.plugin_exit_after.map(|after| start + after);
        let mut killed_at: Option<(Instant, How)> = None;
        let mut stopped = false;
        let mut writing = Box::pin(self.write(runtime));
        let mut wrote = self.output.is_empty();
        loop {
            tokio::select! {
                // Output comes first, so that a task that runs for no time has still written.
                biased;
                () = &mut writing, if !wrote => wrote = true,
                stop = stops.recv(), if !stopped => match stop {
                    None => stopped = true,
                    Some(Stop { after, how }) => {
                        let at = Instant::now() + after;
                        if killed_at.is_none_or(|(earlier, _)| at < earlier) {
                            killed_at = Some((at, how));
                        }
                    }
                },
                () = sleep_until(killed_at.map_or(end, |(at, _)| at)), if killed_at.is_some() => {
                    return match killed_at {
                        Some((_, How::Killed)) => ExitStatus { exit_code: 137, signal: 9, ..ExitStatus::default() },
                        _ => self.end(),
                    };
                }
                () = sleep_until(plugin_end.unwrap_or(end)), if plugin_end.is_some() => {
                    let error = Some("plugin has shut down".to_owned());
                    return ExitStatus { exit_code: -1, error, ..ExitStatus::default() };
                }
                () = sleep_until(end) => return self.end(),
            }
        }
    }

    fn end(&self) -> ExitStatus {
        ExitStatus {
            exit_code: self.exit_code,
            signal: self.exit_signal,
            error: self.exit_error.clone(),
            ..ExitStatus::default()
        }
    }

    async fn write(&self, runtime: &Runtime) {
        let mut due: Vec<(Instant, usize, u64)> =
            (0..self.output.len()).map(|place| (Instant::now(), place, 0)).collect();
        while let Some(next) = (0..due.len()).min_by_key(|place| due[*place].0) {
            let (at, place, count) = due[next];
            if count > 0 {
                sleep_until(at).await;
            }
            let output = &self.output[place];
            self.append(output, runtime).await;
            if count < output.repeat {
                due[next] = (at + output.every, place, count + 1);
            } else {
                due.swap_remove(next);
            }
        }
    }

    async fn append(&self, output: &Output, runtime: &Runtime) {
        if self.log.disabled {
            return;
        }
        let (log, stream, text) = (self.log.clone(), output.stream, output.text.clone());
        let written = runtime.pool.run(move || {
            let rotation = Rotation { max_files: log.max_files, max_file_size: log.max_file_size_bytes };
            // Opened anew each time: thousands of tasks shall not hold thousands of files.
            if let Ok(mut writer) = Writer::open(&log.directory, &log.task, stream, rotation) {
                writer.write(text.as_bytes());
            }
        });
        drop(written.await);
    }
}

#[derive(Debug, Clone, Copy)]
struct Stop {
    after: Duration,
    how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// It ends by itself, as configured.
    Obeyed,
    /// It did not end in time.
    Killed,
}

struct Mock {
    started_at: Time,
    kill_after: Duration,
    signal_error: Option<String>,
    exit: watch::Receiver<Option<ExitStatus>>,
    stops: mpsc::Sender<Stop>,
}

impl Mock {
    async fn end(&self, stop: Stop) -> Result<(), SignalError> {
        if self.exit.borrow().is_some() {
            return Err(SignalError::Ended);
        }
        self.stops.send(stop).await.map_err(|_| SignalError::Ended)
    }
}

#[async_trait]
impl Process for Mock {
    fn exit(&self) -> watch::Receiver<Option<ExitStatus>> {
        self.exit.clone()
    }

    async fn signal(&self, signal: i32) -> Result<(), SignalError> {
        if self.exit.borrow().is_some() {
            return Err(SignalError::Ended);
        }
        match &self.signal_error {
            Some(message) => Err(SignalError::Refused(message.clone())),
            None if signal == libc::SIGKILL => self.kill().await,
            None => Ok(()),
        }
    }

    async fn stop(&self, _signal: i32, timeout: Duration) -> Result<(), SignalError> {
        let stop = if self.kill_after <= timeout {
            Stop { after: self.kill_after, how: How::Obeyed }
        } else {
            Stop { after: timeout, how: How::Killed }
        };
        self.end(stop).await
    }

    async fn kill(&self) -> Result<(), SignalError> {
        self.end(Stop { after: Duration::ZERO, how: How::Killed }).await
    }

    async fn stats(&self) -> Result<Usage, StatsError> {
        if self.exit.borrow().is_some() {
            return Err(StatsError::Ended);
        }
        Ok(Usage::none(std::time::Instant::now()))
    }

    async fn exec(&self, _request: ExecRequest) -> Result<ExecSession, ExecError> {
        Err(ExecError::Unsupported)
    }

    fn started_at(&self) -> Time {
        self.started_at
    }

    fn pid(&self) -> Option<i32> {
        None
    }

    async fn destroy(&self) {
        if self.kill().await.is_ok() {
            let mut exit = self.exit.clone();
            drop(exit.wait_for(Option::is_some).await);
        }
    }
}
