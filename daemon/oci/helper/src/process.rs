//! What all parts of the helper share: its limits, what it says to the daemon, and why something came to nothing.

use std::error::Error;
use std::io::{self, Write as _};

use nomadd_oci::wire::{Again, Event};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::Serialize;

/// How much memory a helper may use, in bytes: a registry or an archive that sends without end meets it.
pub const MOST_MEMORY: u64 = 512 << 20;

/// Why something came to nothing: a clause for people, and whether trying again can help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The clause.
    pub reason: String,
    /// Whether trying again can help.
    pub again: Again,
}

impl Failure {
    /// For ever.
    pub fn pointless(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), again: Again::Pointless }
    }

    /// For now.
    pub fn worthwhile(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), again: Again::Worthwhile }
    }

    /// Of this host: another try may find it better.
    pub fn host(error: impl Error) -> Self {
        Self::worthwhile(chain(&error))
    }
}

/// An error and its causes in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

/// Bounds what this process may use.
pub fn limit() -> io::Result<()> {
    let exactly = |most| Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(Resource::Data, exactly(MOST_MEMORY))?;
    // Copies hold a file open for each folder on the way down.
    let hard = rustix::process::getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit { current: hard.map_or(Some(4096), |hard| Some(hard.min(4096))), maximum: hard },
    )?;
    Ok(setrlimit(Resource::Core, exactly(0))?)
}

/// Says one line.
pub fn say(line: &impl Serialize) {
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    let mut stdout = io::stdout().lock();
    // Nobody listens any more: the work is not wanted.
    if stdout.write_all(&text).and_then(|()| stdout.flush()).is_err() {
        std::process::exit(1);
    }
}

/// Tells the daemon that nothing came of it.
pub fn fail(Failure { reason, again }: Failure) {
    // One line of bounded length, whatever a stranger wrote into it.
    let reason: String =
        reason.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(2000).collect();
    say(&Event::Failed { reason, again });
}
