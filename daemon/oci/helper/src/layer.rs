//! One layer on its way: the blob's bytes go through the digest into a process that unpacks them beside the store; only
//! when both are well does the layer become one of the store. Nothing is kept of one that is not.

use std::path::Path;
use std::process::Stdio;

use nomadd_oci::wire::{Again, Limits, Unpack, Unpacked};
use nomadd_oci::{Digest, Store};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};

use crate::process::Failure;

/// The longest answer of an unpacking process, in bytes.
const MOST_ANSWER: u64 = 16 << 10;
/// How much may be on the way to it, in bytes.
const PIPE: usize = 1 << 20;

/// A layer that is being unpacked.
pub struct Incoming<'a> {
    store: &'a Store,
    digest: Digest,
    size: Option<u64>,
    child: Child,
    pipe: Option<ChildStdin>,
    hash: Sha256,
    /// Bytes that came.
    pub taken: u64,
    done: bool,
}

impl<'a> Incoming<'a> {
    /// Begins a layer, with its lock held; `size` is what its manifest says.
    pub fn begin(store: &'a Store, digest: Digest, size: Option<u64>, limits: Limits) -> Result<Self, Failure> {
        let directory = store.begin_layer(&digest).map_err(Failure::host)?;
        let started = start(&directory, limits).map_err(Failure::host);
        let (child, pipe) = started.inspect_err(|_| store.abandon_layer(&digest))?;
        Ok(Self { store, digest, size, child, pipe, hash: Sha256::new(), taken: 0, done: false })
    }

    /// Takes some bytes of the blob.
    pub async fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.taken += bytes.len() as u64;
        if let Some(size) = self.size.filter(|size| self.taken > *size) {
            return Err(Failure::pointless(format!("it is longer than the {size} bytes that its manifest says")));
        }
        self.hash.update(bytes);
        let Some(pipe) = &mut self.pipe else { return Ok(()) };
        match pipe.write_all(bytes).await {
            Ok(()) => Ok(()),
            // It has given up, and says why.
            Err(_) => {
                self.pipe = None;
                Err(self.answer().await.err().unwrap_or_else(|| Failure::worthwhile("its unpacking ended too early")))
            }
        }
    }

    /// All bytes have come.
    pub async fn finish(mut self) -> Result<(), Failure> {
        if let Some(size) = self.size.filter(|size| self.taken < *size) {
            let taken = self.taken;
            return Err(Failure::worthwhile(format!("it ends after {taken} of {size} bytes")));
        }
        let is: [u8; 32] = self.hash.finalize_reset().into();
        let is = Digest::from(is);
        if is != self.digest {
            return Err(Failure::pointless(format!(
                "its content has the digest {is}: the registry or the way to it is not to be trusted"
            )));
        }
        if let Some(mut pipe) = self.pipe.take() {
            // What it has not read it tells below.
            drop(pipe.shutdown().await);
        }
        let (bytes, entries) = self.answer().await?;
        self.store.finish_layer(&self.digest, bytes, entries).map_err(Failure::host)?;
        self.done = true;
        Ok(())
    }

    async fn answer(&mut self) -> Result<(u64, u64), Failure> {
        let mut text = Vec::new();
        if let Some(stdout) = &mut self.child.stdout {
            stdout.take(MOST_ANSWER).read_to_end(&mut text).await.map_err(Failure::host)?;
        }
        let status = self.child.wait().await.map_err(Failure::host)?;
        match serde_json::from_slice(&text) {
            Ok(Unpacked::Done { bytes, entries }) => Ok((bytes, entries)),
            Ok(Unpacked::Failed { reason, again }) => Err(Failure { reason, again }),
            Err(_) => Err(Failure {
                reason: format!(
                    "the process that unpacks it ended without an answer ({status}); it may use 512 MB of memory"
                ),
                again: Again::Pointless,
            }),
        }
    }
}

impl Drop for Incoming<'_> {
    fn drop(&mut self) {
        if !self.done {
            // Already ended, or it ends now; either way nothing of the layer stays.
            drop(self.child.start_kill());
            while matches!(self.child.try_wait(), Ok(None)) {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            self.store.abandon_layer(&self.digest);
        }
    }
}

fn start(directory: &Path, limits: Limits) -> std::io::Result<(Child, Option<ChildStdin>)> {
    let order = serde_json::to_string(&Unpack { directory: directory.to_owned(), limits })?;
    let mut command = Command::new("/proc/self/exe");
    command.arg("unpack").arg(order).stdin(Stdio::piped()).stdout(Stdio::piped()).env_clear().kill_on_drop(true);
    let mut child = command.spawn()?;
    let pipe = child.stdin.take();
    if let Some(pipe) = &pipe {
        // Larger is quicker; the host may not allow it.
        rustix::pipe::fcntl_setpipe_size(pipe, PIPE).unwrap_or_default();
    }
    Ok((child, pipe))
}
