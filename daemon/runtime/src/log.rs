//! Logs: one line per event to standard error in the shape people know, and a bounded broadcast for `monitor`.
//!
//! Rotated log files are `log/file.rs`'s. Levels are the five of the agent's configuration; the level can be changed while
//! the agent runs (SIGHUP).

mod file;

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nomadd_model::{Time, words};
use tokio::sync::broadcast;
use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

pub use file::{FileError, RotatedFile};

use crate::Clock;

words! {
    /// How much is logged; each level includes those above it.
    pub enum Level { Error = "ERROR", Warn = "WARN", #[default] Info = "INFO", Debug = "DEBUG", Trace = "TRACE" }
}

impl Level {
    /// Reads a level in any letter case; `warning` and `err` are understood.
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_uppercase().as_str() {
            "ERROR" | "ERR" => Some(Self::Error),
            "WARN" | "WARNING" => Some(Self::Warn),
            "INFO" => Some(Self::Info),
            "DEBUG" => Some(Self::Debug),
            "TRACE" => Some(Self::Trace),
            _ => None,
        }
    }
    fn of(level: tracing::Level) -> Self {
        match level {
            tracing::Level::ERROR => Self::Error,
            tracing::Level::WARN => Self::Warn,
            tracing::Level::INFO => Self::Info,
            tracing::Level::DEBUG => Self::Debug,
            tracing::Level::TRACE => Self::Trace,
        }
    }
}

/// Whether a line is text or a JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `2026-11-21T03:11:00.807Z [INFO]  client: node registered: node_id=…`
    Text,
    /// `{"@level":"info","@message":…,"@module":…,"@timestamp":…, …}`
    Json,
}

/// One line of the log, in both forms.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its level.
    pub level: Level,
    /// The text form, without a line end.
    pub text: Arc<str>,
    /// The JSON form, without a line end.
    pub json: Arc<str>,
}

/// The handle of the process's log.
#[derive(Clone, Debug)]
pub struct Log {
    level: Arc<AtomicU8>,
    lines: broadcast::Sender<Line>,
}

/// Where the log goes, besides `monitor`.
#[derive(Debug)]
pub struct Options {
    /// The least important level that is written.
    pub level: Level,
    /// The form of standard error and the file.
    pub format: Format,
    /// Whether standard error gets it.
    pub stderr: bool,
    /// A file that gets it too.
    pub file: Option<RotatedFile>,
}

impl Log {
    /// Installs the log of this process; a second call leaves the first in place.
    pub fn install(options: Options, clock: Clock) -> Self {
        let (lines, _) = broadcast::channel(512);
        let log = Self { level: Arc::new(AtomicU8::new(options.level as u8)), lines };
        let layer = Lines {
            log: log.clone(),
            clock,
            format: options.format,
            stderr: options.stderr,
            file: options.file.map(Mutex::new),
        };
        // A second subscriber (tests in one process) is refused by tracing; the first one goes on.
        let _already = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer));
        log
    }
    /// Changes the level.
    pub fn set_level(&self, level: Level) {
        self.level.store(level as u8, Ordering::Relaxed);
    }
    /// The lines from now on; a reader that is too slow is told how many it missed. More detailed levels than the log's own
    /// are seen by subscribers too.
    pub fn subscribe(&self) -> broadcast::Receiver<Line> {
        self.lines.subscribe()
    }
}

struct Lines {
    log: Log,
    clock: Clock,
    format: Format,
    stderr: bool,
    file: Option<Mutex<RotatedFile>>,
}

impl Lines {
    /// Whether anything of this place in the code could ever be a line: spans are none, and libraries speak only when
    /// something is wrong. What could not costs its callers nothing (the consensus tells of every message it handles).
    fn could_be_a_line(metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && (is_ours(metadata) || Level::of(*metadata.level()) <= foreign(metadata))
    }
}

/// What is logged of crates that are not ours. The consensus warns of each of its heartbeats that a dead server did not take,
/// twenty times a second; the rooms say once that it is gone.
fn foreign(metadata: &Metadata<'_>) -> Level {
    if metadata.target().starts_with("openraft") { Level::Error } else { Level::Warn }
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("nomadd")
}

impl<S: Subscriber> Layer<S> for Lines {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if Self::could_be_a_line(metadata) { Interest::always() } else { Interest::never() }
    }
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        Self::could_be_a_line(metadata)
    }
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = Level::of(*event.metadata().level());
        let wanted = level as u8 <= self.log.level.load(Ordering::Relaxed);
        let target = event.metadata().target();
        if !wanted && self.log.lines.receiver_count() == 0 {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let module = target.strip_prefix("nomadd_").unwrap_or(target).replace("::", ".");
        let now = self.clock.now();
        let mut text = format!("{} {:<7} {module}: {}", stamp(now, 3), format!("[{level}]"), fields.message);
        let mut json = serde_json::Map::new();
        json.insert("@level".into(), level.as_str().to_ascii_lowercase().into());
        json.insert("@message".into(), fields.message.into());
        json.insert("@module".into(), module.into());
        json.insert("@timestamp".into(), stamp(now, 6).into());
        for (index, (name, value)) in fields.rest.into_iter().enumerate() {
            let quoted = value.is_empty() || value.contains([' ', '"', '\n', '=']);
            let colon = if index == 0 { ":" } else { "" };
            let _infallible =
                if quoted { write!(text, "{colon} {name}={value:?}") } else { write!(text, "{colon} {name}={value}") };
            json.insert(name.into(), value.into());
        }
        let line = Line { level, text: text.into(), json: serde_json::Value::Object(json).to_string().into() };
        if wanted {
            let out = match self.format {
                Format::Text => &line.text,
                Format::Json => &line.json,
            };
            if self.stderr {
                // Nobody to tell when standard error is gone.
                let _gone = writeln!(std::io::stderr().lock(), "{out}");
            }
            if let Some(file) = &self.file {
                file.lock().unwrap_or_else(PoisonError::into_inner).write_line(out, self.clock.now());
            }
        }
        let _nobody_listens = self.log.lines.send(line);
    }
}

/// A time of one width, so that the lines of a log stand in columns: digits after the second are as many as are asked for.
fn stamp(time: Time, digits: usize) -> String {
    let nanos = time.0.rem_euclid(1_000_000_000);
    let whole = Time(time.0 - nanos).to_rfc3339();
    let fraction = format!("{nanos:09}");
    format!("{}.{}Z", whole.trim_end_matches('Z'), &fraction[..digits.min(9)])
}

#[derive(Default)]
struct Fields {
    message: String,
    rest: Vec<(&'static str, String)>,
}
impl Fields {
    fn put(&mut self, field: &Field, value: String) {
        if field.name() == "message" { self.message = value } else { self.rest.push((field.name(), value)) }
    }
}
impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            let _infallible = write!(text, ": {cause}");
            source = cause.source();
        }
        self.put(field, text);
    }
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_lines_are_of_one_width() {
        let noon = Time(1_795_262_400_000_000_000);
        assert_eq!(stamp(noon, 3), "2026-11-21T12:00:00.000Z");
        assert_eq!(stamp(Time(noon.0 + 7_000_999), 3), "2026-11-21T12:00:00.007Z");
        assert_eq!(stamp(Time(noon.0 + 120_456_789), 6), "2026-11-21T12:00:00.120456Z");
    }
}
