//! Brings images into the store by way of the helper: how many at a time, for how long, and what came of it.
//!
//! A pull that nobody waits for any more (its task was stopped) is killed; when the daemon itself ends, the helper sees
//! its request's pipe close and ends, too.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::digest::Digest;
use crate::store::Store;
use crate::wire::{Again, Event, LONGEST, Progress, Request};

/// How many pulls run at a time.
const AT_A_TIME: usize = 6;
/// How much of a helper's last words is kept.
const MOST_WORDS: u64 = 4096;

/// Pulls images.
#[derive(Debug)]
pub struct Puller {
    helper: PathBuf,
    store: Store,
    slots: Semaphore,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The helper said why.
    #[error("{reason}")]
    Failed {
        /// A clause for people.
        reason: String,
        /// Whether trying again can help.
        again: Again,
    },
    /// It took too long.
    #[error("it did not end within {} s (image_pull_timeout)", .0.as_secs())]
    TooLong(Duration),
    /// The helper does not run.
    #[error("cannot run {}", helper.display())]
    Helper {
        /// Its program.
        helper: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The helper ended without an answer.
    #[error("the helper that unpacks images ended without an answer ({status}){words}")]
    Silent {
        /// How.
        status: String,
        /// What it wrote to its standard error.
        words: String,
    },
}

impl PullError {
    /// Whether trying again can help.
    pub fn again(&self) -> Again {
        match self {
            Self::Failed { again, .. } => *again,
            _ => Again::Worthwhile,
        }
    }
}

impl Puller {
    /// With the helper's program.
    pub fn new(helper: PathBuf, store: Store) -> Self {
        Self { helper, store, slots: Semaphore::new(AT_A_TIME) }
    }

    /// The helper's program.
    pub fn helper(&self) -> &std::path::Path {
        &self.helper
    }

    /// The store that it fills.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Pulls an image, or loads it from an archive; answers the digest of its manifest.
    ///
    /// # Errors
    /// What the registry, the image or the disk did not do.
    pub async fn bring(
        &self,
        request: &Request,
        archive: Option<File>,
        longest: Duration,
        progress: impl FnMut(Progress),
    ) -> Result<Digest, PullError> {
        let work = async {
            // Never closed.
            let _slot = self.slots.acquire().await.ok();
            self.run(request, archive, progress).await
        };
        let result = timeout(longest, work).await.unwrap_or(Err(PullError::TooLong(longest)));
        if result.is_err() {
            let store = self.store.clone();
            // It only saves room: what is left now goes with the next removal.
            drop(tokio::task::spawn_blocking(move || store.tidy()).await);
        }
        result
    }

    async fn run(
        &self,
        request: &Request,
        archive: Option<File>,
        mut progress: impl FnMut(Progress),
    ) -> Result<Digest, PullError> {
        let fail = |source| PullError::Helper { helper: self.helper.clone(), source };
        let text = serde_json::to_string(request).map_err(|error| fail(error.into()))?;
        let mut command = Command::new(&self.helper);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        match archive {
            // Nothing of it is secret.
            Some(archive) => command.arg("load").arg(&text).stdin(archive),
            None => command.arg("pull").stdin(Stdio::piped()),
        };
        let mut child = Guard(Some(command.spawn().map_err(fail)?));
        let Some(of_child) = &mut child.0 else { return Err(fail(std::io::ErrorKind::BrokenPipe.into())) };
        // Kept open as long as somebody waits.
        let mut waiting = of_child.stdin.take();
        let Some(stdout) = of_child.stdout.take() else { return Err(fail(std::io::ErrorKind::BrokenPipe.into())) };
        if let Some(stdin) = &mut waiting {
            stdin.write_all(format!("{text}\n").as_bytes()).await.map_err(fail)?;
        }
        let mut lines = BufReader::new(stdout);
        loop {
            let mut line = Vec::new();
            let read = (&mut lines).take(LONGEST as u64).read_until(b'\n', &mut line).await.map_err(fail)?;
            if read == 0 {
                return Err(match child.0.take() {
                    Some(child) => silent(child).await,
                    None => fail(std::io::ErrorKind::BrokenPipe.into()),
                });
            }
            match serde_json::from_slice(&line) {
                Ok(Event::Progress(so_far)) => progress(so_far),
                Ok(Event::Ready { manifest }) => {
                    // It still writes to the disk what it has unpacked; nobody waits for that.
                    drop(child.0.take());
                    return Ok(manifest);
                }
                Ok(Event::Failed { reason, again }) => return Err(PullError::Failed { reason, again }),
                Err(error) => return Err(fail(error.into())),
            }
        }
    }
}

/// Ends a helper that nobody waits for any more.
struct Guard(Option<Child>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // One that has ended needs no telling.
            drop(child.start_kill());
        }
    }
}

/// What to say of a helper that ended without an answer.
async fn silent(mut child: Child) -> PullError {
    let mut words = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        // What cannot be read is not said.
        drop(stderr.take(MOST_WORDS).read_to_end(&mut words).await);
    }
    let status = child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
    let words = String::from_utf8_lossy(&words);
    if words.contains("memory allocation of") {
        let reason = "what was sent does not fit into the memory that a pull may use (512 MB)".to_owned();
        return PullError::Failed { reason, again: Again::Pointless };
    }
    let words = words.trim().lines().last().map(|line| format!(": {line}")).unwrap_or_default();
    PullError::Silent { status, words }
}
