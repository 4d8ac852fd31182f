//! One task of an allocation as a plain state machine: inputs in, at most one action out.
//!
//! Owns the task's state, events and phase. Does nothing itself: `runner.rs` performs the actions, and
//! `allocation/machine.rs` decides when a task may begin and when it must end.

use nomadd_model::{
    Duration, JobType, RestartPolicy, Task, TaskEvent, TaskEventKind as Kind, TaskGroup, TaskState, TaskStatus, Time,
    detail, noun, words,
};

use crate::allocation::restart::{Ending, OnSuccess, RestartTracker, Verdict};

/// How many events of a task are kept.
const MOST_EVENTS: usize = 10;

/// When a task runs, relative to the main tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Must end well before the main tasks start.
    Prestart,
    /// Must run before the main tasks start, and runs beside them.
    PrestartSidecar,
    /// What the group is for.
    Main,
    /// Runs once the main tasks have started.
    Poststart,
    /// Starts once the main tasks have started, and runs beside them.
    PoststartSidecar,
    /// Runs when everything else has ended.
    Poststop,
}

impl Role {
    /// The role of a task by its lifecycle block.
    pub fn of(task: &Task) -> Self {
        match task.lifecycle.as_ref().map(|lifecycle| (lifecycle.hook.as_str(), lifecycle.sidecar)) {
            Some(("prestart", false)) => Self::Prestart,
            Some(("prestart", true)) => Self::PrestartSidecar,
            Some(("poststart", false)) => Self::Poststart,
            Some(("poststart", true)) => Self::PoststartSidecar,
            Some(("poststop", _)) => Self::Poststop,
            _ => Self::Main,
        }
    }
    /// Whether it runs beside the main tasks for as long as they do.
    pub fn is_sidecar(self) -> bool {
        matches!(self, Self::PrestartSidecar | Self::PoststartSidecar)
    }
}

/// What the job says about how a task runs.
#[derive(Clone, Debug)]
pub struct Rules {
    /// When it runs.
    pub role: Role,
    /// Whether its end is the end of the others.
    pub leader: bool,
    /// How often it is restarted.
    pub restart: RestartPolicy,
    /// Whether it restarts when it ends well.
    pub on_success: OnSuccess,
    /// How long a stop waits before it kills.
    pub kill_timeout: Duration,
    /// How long it goes on after it was told to end.
    pub shutdown_delay: Duration,
}

impl Rules {
    /// The rules of a task of a group; no kill waits longer than `longest_kill`.
    pub fn of(kind: JobType, group: &TaskGroup, task: &Task, longest_kill: Duration) -> Self {
        Self {
            role: Role::of(task),
            leader: task.leader,
            restart: task.restart_policy.clone().unwrap_or_else(|| group.restart_policy.clone()),
            on_success: OnSuccess::of(kind, task.lifecycle.as_ref()),
            kill_timeout: task.kill_timeout.min(longest_kill),
            shutdown_delay: task.shutdown_delay,
        }
    }
}

words! {
    /// Where a task is on its way.
    pub enum Phase {
        /// The lifecycle does not let it start yet.
        #[default] Waiting = "waiting",
        /// It is being set up and started.
        Starting = "starting",
        /// Its process runs.
        Running = "running",
        /// It waits to be started again.
        Delaying = "delaying",
        /// It is to end, and goes on for its shutdown delay.
        ShuttingDown = "shutting-down",
        /// Its process was told to end.
        Stopping = "stopping",
        /// It is over.
        Dead = "dead",
    }

    /// Whether a task is to end for good, and how.
    pub enum KillWish { #[default] None = "none", Delayed = "delayed", AtOnce = "at-once" }

    /// Whether a running task is to be restarted, and whether that counts as a failure.
    pub enum RestartWish {
        #[default] None = "none",
        Requested = "requested",
        Failure = "failure",
        /// With all other tasks, each when it is its turn.
        Again = "again",
    }
}

noun! {
    /// A task as it is kept on disk over a restart of the agent.
    pub struct StoredTask {
        pub state: TaskState = "State",
        pub phase: Phase = "Phase",
        pub until: Time = "Until",
        pub kill: KillWish = "Kill",
        pub restart: RestartWish = "Restart",
        pub restart_count: i64 = "RestartCount",
        pub restart_window: Time = "RestartWindow",
        /// When the last exit that was handled took place: tells it from a later one of the same task.
        pub last_exit: Time = "LastExit",
    }
}

/// How a process ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// The exit code; 128 and the signal when a signal ended it.
    pub code: i32,
    /// The signal, or 0.
    pub signal: i32,
    /// Whether the kernel killed it for memory.
    pub out_of_memory: bool,
    /// What else is to be said.
    pub message: String,
    /// When it ended; zero when nobody knows.
    pub at: Time,
}

/// Why a task did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartFailure {
    /// Which step failed.
    pub step: Step,
    /// One sentence for people.
    pub message: String,
    /// Whether trying again can help.
    pub retry: Retry,
}

/// The steps of a start that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Directories, environment.
    Setup,
    /// The task's configuration.
    Validation,
    /// The driver could not start it.
    Driver,
}

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It may.
    Useful,
    /// It cannot.
    Useless,
}

/// What happens to a task.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The lifecycle lets it start.
    Begin,
    /// Its process runs since `at`; `notes` say what is not enforced.
    Started {
        /// Since when.
        at: Time,
        /// What the host cannot do for it.
        notes: Vec<String>,
    },
    /// It could not be started.
    StartFailed(StartFailure),
    /// Its process ended.
    Exited(Exit),
    /// Time has passed.
    Tick,
    /// It has to end for good.
    Kill {
        /// The reason that people read; "" for the usual words.
        reason: String,
        /// Whether its shutdown delay is observed.
        wish: KillWish,
    },
    /// It shall be restarted.
    Restart {
        /// The reason that people read.
        reason: String,
        /// Whether it counts as a failure.
        wish: RestartWish,
    },
    /// It shall run anew with all other tasks, also when it has ended.
    Rerun {
        /// The reason that people read.
        reason: String,
    },
    /// After a restart of the agent: its process still runs (`at`: since when, if the start was not noted).
    Adopted {
        /// Since when.
        at: Time,
    },
    /// After a restart of the agent: its start had not come to anything.
    NotStarted,
    /// After a restart of the agent: nothing is known of its process (the host was restarted).
    Vanished {
        /// What was found.
        message: String,
    },
}

/// What the runner has to do for a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Set it up and start it.
    Start,
    /// Tell its process to end.
    Stop,
}

/// The state machine of one task.
#[derive(Clone, Debug)]
pub struct TaskMachine {
    rules: Rules,
    stored: StoredTask,
}

impl TaskMachine {
    /// A task that was just received.
    pub fn new(rules: Rules, now: Time) -> Self {
        let mut machine = Self { rules, stored: StoredTask::default() };
        machine.event(TaskEvent::new(Kind::Received, now));
        machine
    }
    /// A task as it was kept.
    pub fn restored(rules: Rules, stored: StoredTask) -> Self {
        Self { rules, stored }
    }
    /// What is kept of it.
    pub fn stored(&self) -> &StoredTask {
        &self.stored
    }
    /// Its state as servers see it.
    pub fn state(&self) -> &TaskState {
        &self.stored.state
    }
    /// Where it is.
    pub fn phase(&self) -> Phase {
        self.stored.phase
    }
    /// What the job says of it.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }
    /// Takes the rules of a newer version of the job that changes the task in place.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }
    /// Whether it is over.
    pub fn is_dead(&self) -> bool {
        self.stored.phase == Phase::Dead
    }
    /// Whether it is over and has failed.
    pub fn has_failed(&self) -> bool {
        self.is_dead() && self.stored.state.failed
    }
    /// Whether it is over and went well.
    pub fn has_succeeded(&self) -> bool {
        self.is_dead() && !self.stored.state.failed
    }
    /// Whether it is to end for good.
    pub fn is_being_killed(&self) -> bool {
        self.stored.kill != KillWish::None
    }
    /// When it next has to be told the time.
    pub fn deadline(&self) -> Option<Time> {
        matches!(self.stored.phase, Phase::Delaying | Phase::ShuttingDown).then_some(self.stored.until)
    }

    /// The allocation cannot be set up: whatever has not begun never does.
    pub fn never_begins(&mut self, error: &str, now: Time) {
        if matches!(self.stored.phase, Phase::Waiting) {
            let event = TaskEvent::new(Kind::SetupFailure, now).with(detail::SETUP_ERROR, error);
            self.event(event.with(detail::FAILS_TASK, true));
            self.die(now);
        }
    }

    /// Notes an event.
    pub fn event(&mut self, event: TaskEvent) {
        let state = &mut self.stored.state;
        if event.detail(detail::FAILS_TASK) == "true" {
            state.failed = true;
        }
        if state.events.len() >= MOST_EVENTS {
            state.events.remove(0);
        }
        state.events.push(event);
    }

    /// Takes an input and says what to do.
    pub fn handle(&mut self, input: Input, now: Time, seed: u64) -> Option<Action> {
        let phase = self.stored.phase;
        match (input, phase) {
            (Input::Rerun { reason }, _) if self.stored.kill == KillWish::None => self.rerun(reason, now),
            (_, Phase::Dead) => None,
            (Input::Begin, Phase::Waiting) => {
                self.event(TaskEvent::new(Kind::Setup, now).with(detail::MESSAGE, "Building Task Directory"));
                Some(self.start())
            }
            (Input::Started { at, notes }, Phase::Starting) => self.started(at, &notes, now),
            (Input::StartFailed(failure), Phase::Starting) => self.start_failed(failure, now, seed),
            (
                Input::Exited(exit),
                Phase::Running | Phase::ShuttingDown | Phase::Stopping | Phase::Starting | Phase::Delaying,
            ) => self.exited(&exit, now, seed),
            (Input::Tick, Phase::Delaying) if now >= self.stored.until => Some(self.start()),
            (Input::Tick, Phase::ShuttingDown) if now >= self.stored.until => Some(self.stop()),
            (Input::Kill { reason, wish }, _) => self.kill(&reason, wish, now),
            (Input::Restart { reason, wish }, Phase::Running) => {
                self.event(TaskEvent::new(Kind::RestartSignal, now).with(detail::RESTART_REASON, reason));
                self.stored.restart = wish;
                Some(self.stop())
            }
            (Input::Adopted { at }, _) => self.adopted(at, now),
            (Input::NotStarted, Phase::Starting) if self.stored.kill != KillWish::None => {
                self.die(now);
                None
            }
            (Input::NotStarted, Phase::Starting) => Some(self.start()),
            (Input::Vanished { message }, _) => self.vanished(&message, now),
            _ => None,
        }
    }

    fn start(&mut self) -> Action {
        self.stored.phase = Phase::Starting;
        self.stored.restart = RestartWish::None;
        self.stored.state.state = TaskStatus::Pending;
        Action::Start
    }

    fn stop(&mut self) -> Action {
        self.stored.phase = Phase::Stopping;
        Action::Stop
    }

    fn started(&mut self, at: Time, notes: &[String], now: Time) -> Option<Action> {
        let first = self.stored.state.restarts == 0;
        for note in notes.iter().filter(|_| first) {
            self.event(TaskEvent::new(Kind::NotEnforced, now).with(detail::MESSAGE, note));
        }
        self.stored.phase = Phase::Running;
        self.stored.state.state = TaskStatus::Running;
        self.stored.state.started_at = at;
        self.event(TaskEvent::new(Kind::Started, at));
        match self.stored.kill {
            KillWish::None if self.will_rerun() => Some(self.stop()),
            KillWish::None => None,
            wish => self.begin_to_end(wish, now),
        }
    }

    fn start_failed(&mut self, failure: StartFailure, now: Time, seed: u64) -> Option<Action> {
        let (kind, key) = match failure.step {
            Step::Setup => (Kind::SetupFailure, detail::SETUP_ERROR),
            Step::Validation => (Kind::FailedValidation, detail::VALIDATION_ERROR),
            Step::Driver => (Kind::DriverFailure, detail::DRIVER_ERROR),
        };
        self.event(TaskEvent::new(kind, now).with(key, failure.message));
        let ending = match failure.retry {
            Retry::Useful => Ending::NotStarted,
            Retry::Useless => Ending::NeverStarts,
        };
        self.after(ending, now, seed)
    }

    fn exited(&mut self, exit: &Exit, now: Time, seed: u64) -> Option<Action> {
        self.stored.last_exit = exit.at;
        let message = match (exit.out_of_memory, exit.message.as_str()) {
            (true, "") => "OOM Killed",
            (_, message) => message,
        };
        let mut event = TaskEvent::new(Kind::Terminated, if exit.at.0 == 0 { now } else { exit.at })
            .with(detail::EXIT_CODE, exit.code)
            .with(detail::SIGNAL, exit.signal)
            .with(detail::EXIT_MESSAGE, message);
        event = event.with(detail::OOM_KILLED, exit.out_of_memory);
        self.event(event);
        let ending = match self.stored.restart {
            RestartWish::Requested | RestartWish::Again => Ending::Requested,
            RestartWish::Failure => Ending::Failure,
            RestartWish::None if exit.code == 0 && exit.signal == 0 && !exit.out_of_memory => Ending::Success,
            RestartWish::None => Ending::Failure,
        };
        self.after(ending, now, seed)
    }

    fn rerun(&mut self, reason: String, now: Time) -> Option<Action> {
        if self.stored.phase == Phase::Waiting {
            return None;
        }
        self.event(TaskEvent::new(Kind::RestartSignal, now).with(detail::RESTART_REASON, reason));
        match self.stored.phase {
            Phase::Running => {
                self.stored.restart = RestartWish::Again;
                Some(self.stop())
            }
            Phase::Dead | Phase::Delaying => {
                self.wait_for_turn();
                None
            }
            _ => {
                self.stored.restart = RestartWish::Again;
                None
            }
        }
    }

    /// Back to the beginning: the lifecycle lets it start again when it is its turn.
    fn wait_for_turn(&mut self) {
        self.stored.phase = Phase::Waiting;
        self.stored.restart = RestartWish::None;
        let state = &mut self.stored.state;
        (state.state, state.failed) = (TaskStatus::Pending, false);
        (state.started_at, state.finished_at) = (Time(0), Time(0));
    }

    /// Whether it will run anew when it is its turn.
    pub fn will_rerun(&self) -> bool {
        self.stored.restart == RestartWish::Again
    }

    /// What follows the end of an attempt.
    fn after(&mut self, ending: Ending, now: Time, seed: u64) -> Option<Action> {
        if self.stored.kill != KillWish::None {
            self.event(TaskEvent::new(Kind::Killed, now));
            self.die(now);
            return None;
        }
        let mut tracker = RestartTracker { count: self.stored.restart_count, window: self.stored.restart_window };
        let verdict = tracker.decide(&self.rules.restart, self.rules.on_success, ending, now, seed);
        (self.stored.restart_count, self.stored.restart_window) = (tracker.count, tracker.window);
        match verdict {
            Verdict::Complete => {
                self.die(now);
                None
            }
            Verdict::Fail { reason } => {
                self.event(
                    TaskEvent::new(Kind::NotRestarting, now)
                        .with(detail::RESTART_REASON, reason)
                        .with(detail::FAILS_TASK, true),
                );
                self.die(now);
                None
            }
            Verdict::Restart { delay, reason } => {
                self.event(
                    TaskEvent::new(Kind::Restarting, now)
                        .with(detail::RESTART_REASON, reason)
                        .with(detail::START_DELAY, delay.as_nanos()),
                );
                self.stored.state.restarts += 1;
                self.stored.state.last_restart = now;
                self.stored.state.state = TaskStatus::Pending;
                if self.will_rerun() {
                    self.wait_for_turn();
                    return None;
                }
                self.stored.phase = Phase::Delaying;
                self.stored.until = now.plus(delay);
                (delay.0 <= 0).then(|| self.start())
            }
        }
    }

    fn kill(&mut self, reason: &str, wish: KillWish, now: Time) -> Option<Action> {
        if self.stored.kill != KillWish::None {
            // A second wish can only hurry.
            let hurry = self.stored.phase == Phase::ShuttingDown && wish == KillWish::AtOnce;
            return hurry.then(|| self.stop());
        }
        self.stored.kill = wish;
        if self.stored.phase == Phase::Waiting {
            self.die(now);
            return None;
        }
        let timeout = if reason.is_empty() { self.rules.kill_timeout.as_nanos() } else { 0 };
        let event = TaskEvent::new(Kind::Killing, now).with(detail::KILL_REASON, reason);
        self.event(if timeout == 0 { event } else { event.with(detail::KILL_TIMEOUT, timeout) });
        match self.stored.phase {
            Phase::Running => self.begin_to_end(wish, now),
            Phase::Delaying => {
                self.event(TaskEvent::new(Kind::Killed, now));
                self.die(now);
                None
            }
            // Starting: `started` goes on from here; stopping: `exited` does.
            _ => None,
        }
    }

    fn begin_to_end(&mut self, wish: KillWish, now: Time) -> Option<Action> {
        let delay = self.rules.shutdown_delay;
        if delay.0 <= 0 {
            return Some(self.stop());
        }
        let kind = if wish == KillWish::AtOnce { Kind::SkippedShutdownDelay } else { Kind::ShutdownDelay };
        self.event(TaskEvent::new(kind, now).with(detail::DELAY, delay.as_nanos()));
        if wish == KillWish::AtOnce {
            return Some(self.stop());
        }
        self.stored.phase = Phase::ShuttingDown;
        self.stored.until = now.plus(delay);
        None
    }

    fn adopted(&mut self, at: Time, now: Time) -> Option<Action> {
        match self.stored.phase {
            // The agent ended between the start and noting it.
            Phase::Starting | Phase::Delaying | Phase::Waiting => {
                self.stored.phase = Phase::Starting;
                self.started(at, &[], now)
            }
            Phase::Stopping => Some(Action::Stop),
            _ => None,
        }
    }

    fn vanished(&mut self, message: &str, now: Time) -> Option<Action> {
        match self.stored.phase {
            Phase::Waiting | Phase::Delaying => None,
            _ if self.stored.kill != KillWish::None => {
                self.event(TaskEvent::new(Kind::Killed, now));
                self.die(now);
                None
            }
            _ => {
                self.event(TaskEvent::new(Kind::RestoreFailed, now).with(detail::MESSAGE, message));
                Some(self.start())
            }
        }
    }

    fn die(&mut self, now: Time) {
        self.stored.phase = Phase::Dead;
        self.stored.state.state = TaskStatus::Dead;
        self.stored.state.finished_at = now;
    }
}

#[cfg(test)]
mod tests;
