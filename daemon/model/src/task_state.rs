//! The state of a task and its events.
//!
//! An event is kept as kind, time and details; the many legacy fields and the sentence that people read are made when
//! the API writes it, so that a million allocations stay small.

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::field::{Field, NoText};
use crate::noun;
use crate::small_map::SmallMap;
use crate::value::{Duration, Text, Time};
use crate::word::{TaskEventKind, TaskStatus};

noun! {
    /// How a task is and what happened to it; the last ten events are kept.
    pub struct TaskState {
        pub events: Vec<TaskEvent> = "Events",
        pub failed: bool = "Failed",
        pub finished_at: Time = "FinishedAt",
        pub last_restart: Time = "LastRestart",
        /// Nomad Enterprise's pauses of tasks: there are none, and clients expect the name.
        pub paused: NoText = "Paused",
        pub restarts: u64 = "Restarts",
        pub started_at: Time = "StartedAt",
        pub state: TaskStatus = "State",
    }

    /// The stored form of an event.
    pub struct StoredTaskEvent {
        pub kind: TaskEventKind = "Type",
        pub time: Time = "Time",
        pub details: SmallMap<Text, Text> = "Details",
    }

    /// The API's form of an event, with the fields that old clients read.
    pub struct TaskEventView {
        pub details: SmallMap<Text, Text> = "Details" [empty],
        pub disk_limit: i64 = "DiskLimit",
        pub display_message: String = "DisplayMessage",
        pub download_error: Text = "DownloadError",
        pub driver_error: Text = "DriverError",
        pub driver_message: Text = "DriverMessage",
        pub exit_code: i64 = "ExitCode",
        pub failed_sibling: Text = "FailedSibling",
        pub fails_task: bool = "FailsTask",
        pub generic_source: Text = "GenericSource",
        pub kill_error: Text = "KillError",
        pub kill_reason: Text = "KillReason",
        pub kill_timeout: Duration = "KillTimeout",
        pub message: Text = "Message",
        pub restart_reason: Text = "RestartReason",
        pub setup_error: Text = "SetupError",
        pub signal: i64 = "Signal",
        pub start_delay: i64 = "StartDelay",
        pub task_signal: Text = "TaskSignal",
        pub task_signal_reason: Text = "TaskSignalReason",
        pub time: i64 = "Time",
        pub kind: TaskEventKind = "Type",
        pub validation_error: Text = "ValidationError",
        pub vault_error: Text = "VaultError",
    }
}

/// Something that happened to a task. `details` has Nomad's keys, such as `exit_code`, `restart_reason`, `start_delay`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskEvent {
    /// What happened.
    pub kind: TaskEventKind,
    /// When.
    pub time: Time,
    details: Option<Box<SmallMap<Text, Text>>>,
}

/// The keys of `TaskEvent::details`, as Nomad names them.
pub mod detail {
    /// The exit code of the task, a number.
    pub const EXIT_CODE: &str = "exit_code";
    /// The signal that ended the task, a number.
    pub const SIGNAL: &str = "signal";
    /// What the driver said of the exit.
    pub const EXIT_MESSAGE: &str = "exit_message";
    /// `true` or `false`.
    pub const OOM_KILLED: &str = "oom_killed";
    /// The span before a restart, in nanoseconds.
    pub const START_DELAY: &str = "start_delay";
    /// Why it restarts, or does not.
    pub const RESTART_REASON: &str = "restart_reason";
    /// `true` when the task fails by this event.
    pub const FAILS_TASK: &str = "fails_task";
    /// Why setting up failed.
    pub const SETUP_ERROR: &str = "setup_error";
    /// Why the driver could not start it.
    pub const DRIVER_ERROR: &str = "driver_error";
    /// What the driver has to say.
    pub const DRIVER_MESSAGE: &str = "driver_message";
    /// A sentence.
    pub const MESSAGE: &str = "message";
    /// Why it is killed.
    pub const KILL_REASON: &str = "kill_reason";
    /// The span before SIGKILL, in nanoseconds.
    pub const KILL_TIMEOUT: &str = "kill_timeout";
    /// Why killing failed.
    pub const KILL_ERROR: &str = "kill_error";
    /// What validation found.
    pub const VALIDATION_ERROR: &str = "validation_error";
    /// Why a download failed.
    pub const DOWNLOAD_ERROR: &str = "download_error";
    /// The sibling that failed.
    pub const FAILED_SIBLING: &str = "failed_sibling";
    /// The signal that is sent to the task, by name.
    pub const TASK_SIGNAL: &str = "task_signal";
    /// Why it is sent.
    pub const TASK_SIGNAL_REASON: &str = "task_signal_reason";
    /// A span to wait, in nanoseconds.
    pub const DELAY: &str = "delay";
}

impl TaskEvent {
    /// An event without details.
    pub fn new(kind: TaskEventKind, time: Time) -> Self {
        Self { kind, time, details: None }
    }
    /// Adds a detail; an empty value adds nothing.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        let value = value.to_string();
        if !value.is_empty() {
            self.details.get_or_insert_default().insert(Text::from(key), Text::from(value));
        }
        self
    }
    /// A detail, or "".
    pub fn detail(&self, key: &str) -> &str {
        self.details.as_ref().and_then(|details| details.get(key)).map_or("", Text::as_str)
    }
    /// All details.
    pub fn details(&self) -> impl Iterator<Item = (&Text, &Text)> {
        self.details.iter().flat_map(|details| details.iter())
    }
    fn number(&self, key: &str) -> i64 {
        self.detail(key).parse().unwrap_or_default()
    }

    /// The sentence that people read.
    pub fn display_message(&self) -> String {
        use TaskEventKind as Kind;
        let or = |key: &str, fallback: &str| match self.detail(key) {
            "" => fallback.to_owned(),
            text => text.to_owned(),
        };
        let span = |key: &str| Duration(self.number(key)).to_string();
        match self.kind {
            Kind::Received => "Task received by client".into(),
            Kind::Started => "Task started by client".into(),
            Kind::SetupFailure => or(detail::SETUP_ERROR, "Task setup failed"),
            Kind::FailedValidation => or(detail::VALIDATION_ERROR, "Validation of task failed"),
            Kind::DriverFailure => or(detail::DRIVER_ERROR, "Failed to start task"),
            Kind::DriverMessage => self.detail(detail::DRIVER_MESSAGE).to_owned(),
            Kind::DownloadingArtifacts => "Client is downloading artifacts".into(),
            Kind::ArtifactDownloadFailed => or(detail::DOWNLOAD_ERROR, "Failed to download artifacts"),
            Kind::Terminated => {
                let mut text = format!("Exit Code: {}", self.number(detail::EXIT_CODE));
                if self.number(detail::SIGNAL) != 0 {
                    text.push_str(&format!(", Signal: {}", self.number(detail::SIGNAL)));
                }
                if !self.detail(detail::EXIT_MESSAGE).is_empty() {
                    text.push_str(&format!(", Exit Message: {:?}", self.detail(detail::EXIT_MESSAGE)));
                }
                text
            }
            Kind::Restarting => {
                let restarting = format!("Task restarting in {}", span(detail::START_DELAY));
                match self.detail(detail::RESTART_REASON) {
                    "" | "Restart within policy" => restarting,
                    reason => format!("{reason} - {restarting}"),
                }
            }
            Kind::NotRestarting => or(detail::RESTART_REASON, "Task exceeded restart policy"),
            Kind::RestartSignal => or(detail::RESTART_REASON, "Task signaled to restart"),
            Kind::Signaling => match (self.detail(detail::TASK_SIGNAL), self.detail(detail::TASK_SIGNAL_REASON)) {
                ("", "") => "Task being sent a signal".into(),
                (signal, "") => format!("Task being sent signal {signal}"),
                ("", reason) => reason.to_owned(),
                (signal, reason) => format!("Task being sent signal {signal}: {reason}"),
            },
            Kind::Killing => match (self.detail(detail::KILL_REASON), self.number(detail::KILL_TIMEOUT)) {
                ("", 0) => "Sent interrupt".into(),
                ("", timeout) => format!("Sent interrupt. Waiting {} before force killing", Duration(timeout)),
                (reason, _) => reason.to_owned(),
            },
            Kind::Killed => or(detail::KILL_ERROR, "Task successfully killed"),
            Kind::SiblingFailed => match self.detail(detail::FAILED_SIBLING) {
                "" => "Task's sibling failed".into(),
                name => format!("Task's sibling {name:?} failed"),
            },
            Kind::LeaderDead => "Leader Task in Group dead".into(),
            Kind::MainDead => "Main tasks in the group died".into(),
            Kind::ShutdownDelay => {
                format!("Waiting for shutdown_delay of {} before killing the task.", span(detail::DELAY))
            }
            Kind::SkippedShutdownDelay => {
                format!("Skipping shutdown_delay of {} before killing the task.", span(detail::DELAY))
            }
            Kind::ClientReconnected => "Client reconnected".into(),
            _ => self.detail(detail::MESSAGE).to_owned(),
        }
    }

    fn view(&self) -> TaskEventView {
        let text = |key: &str| Text::from(self.detail(key));
        TaskEventView {
            details: self.details.as_deref().cloned().unwrap_or_default(),
            disk_limit: 0,
            display_message: self.display_message(),
            download_error: text(detail::DOWNLOAD_ERROR),
            driver_error: text(detail::DRIVER_ERROR),
            driver_message: text(detail::DRIVER_MESSAGE),
            exit_code: self.number(detail::EXIT_CODE),
            failed_sibling: text(detail::FAILED_SIBLING),
            fails_task: self.detail(detail::FAILS_TASK) == "true",
            generic_source: Text::default(),
            kill_error: text(detail::KILL_ERROR),
            kill_reason: text(detail::KILL_REASON),
            kill_timeout: Duration(self.number(detail::KILL_TIMEOUT)),
            message: text(detail::MESSAGE),
            restart_reason: text(detail::RESTART_REASON),
            setup_error: text(detail::SETUP_ERROR),
            signal: self.number(detail::SIGNAL),
            start_delay: self.number(detail::START_DELAY),
            task_signal: text(detail::TASK_SIGNAL),
            task_signal_reason: text(detail::TASK_SIGNAL_REASON),
            time: self.time.unix_nanos(),
            kind: self.kind,
            validation_error: text(detail::VALIDATION_ERROR),
            vault_error: Text::default(),
        }
    }
}

impl Serialize for TaskEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return self.view().serialize(serializer);
        }
        let mut map = serializer.serialize_map(Some(2 + usize::from(self.details.is_some())))?;
        map.serialize_entry("Type", &self.kind)?;
        map.serialize_entry("Time", &self.time)?;
        if let Some(details) = &self.details {
            map.serialize_entry("Details", details)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for TaskEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (kind, time, details) = if deserializer.is_human_readable() {
            let view = TaskEventView::deserialize(deserializer)?;
            (view.kind, Time(view.time), view.details)
        } else {
            let stored = StoredTaskEvent::deserialize(deserializer)?;
            (stored.kind, stored.time, stored.details)
        };
        Ok(Self { kind, time, details: (!details.is_empty()).then(|| Box::new(details)) })
    }
}

impl Field for TaskEvent {
    fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_small_when_stored_and_whole_in_the_api() {
        let event =
            TaskEvent::new(TaskEventKind::Terminated, Time(5)).with(detail::EXIT_CODE, 3).with(detail::SIGNAL, 0);
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(json["DisplayMessage"], "Exit Code: 3");
        assert_eq!(json["ExitCode"], 3);
        assert_eq!(json["Details"]["signal"], "0");
        assert_eq!(serde_json::from_value::<TaskEvent>(json).unwrap(), event);
        let stored = rmp_serde::to_vec(&event).unwrap();
        assert!(stored.len() < 70, "{} bytes", stored.len());
        assert_eq!(rmp_serde::from_slice::<TaskEvent>(&stored).unwrap(), event);
    }
}
