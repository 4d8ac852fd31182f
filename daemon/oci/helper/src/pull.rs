//! Pulls one image: manifest, configuration, and the layers that the store does not have yet, a few at a time. A layer
//! that another helper pulls just now is waited for; a connection that breaks is taken up where it broke.

use std::cell::RefCell;
use std::io::{BufRead as _, Read as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use nomadd_oci::image::{Descriptor, MOST_BYTES, Manifest, read_config};
use nomadd_oci::wire::{Again, Credentials, Event, LONGEST, Limits, Platform, Progress, Request};
use nomadd_oci::{Digest, Reference, Store};
use tokio::time::{Instant, sleep, timeout};

use crate::credentials;
use crate::layer::Incoming;
use crate::process::{self, Failure};
use crate::registry::Registry;

/// How many layers come at a time.
const AT_A_TIME: usize = 3;
/// How often a broken connection is taken up again without anything having come by it.
const TRIES: u32 = 4;
/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// Reads a request from standard input and pulls; ends at once when the other end of standard input goes.
pub fn main() -> ExitCode {
    let finished = Arc::new(AtomicBool::new(false));
    let done = run(&finished);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            process::fail(failure);
            ExitCode::FAILURE
        }
    }
}

fn run(finished: &Arc<AtomicBool>) -> Result<(), Failure> {
    process::limit().map_err(Failure::host)?;
    let mut line = String::new();
    std::io::stdin().lock().take(LONGEST as u64).read_line(&mut line).map_err(Failure::host)?;
    let Request::Pull { store, reference, platform, credentials, insecure, patience_ms, limits } =
        serde_json::from_str(&line).map_err(Failure::host)?
    else {
        return Err(Failure::pointless("the request is not one to pull"));
    };
    drop(line);
    watch(Arc::clone(finished));
    let store = Store::at(store);
    let reference = Reference::parse(&reference).map_err(|error| Failure::pointless(error.to_string()))?;
    let patience = Duration::from_millis(patience_ms.max(1));
    let _hold = store.hold().map_err(Failure::host)?;
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().map_err(Failure::host)?;
    let pull = Pull { store: &store, reference: &reference, platform, patience, limits, told: RefCell::default() };
    let (manifest, fetched) = runtime.block_on(pull.all(&credentials, &insecure))?;
    process::say(&Event::Ready { manifest });
    // From here on it is nobody's loss.
    finished.store(true, Ordering::SeqCst);
    if !fetched.is_empty()
        && let Err(error) = store.sync(&fetched)
    {
        eprintln!("{}", process::chain(&error));
    }
    Ok(())
}

/// Ends this process when nobody waits for it any more.
fn watch(finished: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        let mut byte = [0];
        while std::io::stdin().read(&mut byte).is_ok_and(|read| read > 0) {}
        if !finished.load(Ordering::SeqCst) {
            std::process::exit(1);
        }
    });
}

struct Pull<'a> {
    store: &'a Store,
    reference: &'a Reference,
    platform: Platform,
    patience: Duration,
    limits: Limits,
    told: RefCell<Told>,
}

#[derive(Default)]
struct Told {
    progress: Progress,
    at: Option<Instant>,
}

impl Pull<'_> {
    /// The digest of the manifest, and the layers that came.
    async fn all(&self, credentials: &Credentials, insecure: &[String]) -> Result<(Digest, Vec<Digest>), Failure> {
        let auth = credentials::find(credentials, self.reference)?;
        let registry = Registry::connect(self.reference, auth, insecure, self.patience).await?;
        let (bytes, manifest) = self.manifest(&registry).await?;
        let refuse = |error: nomadd_oci::image::ImageError| Failure::pointless(error.to_string());
        manifest.check_layers(self.limits.layers).map_err(refuse)?;
        let Some(config) = &manifest.config else {
            return Err(Failure::pointless("its manifest names no configuration"));
        };
        let config = self.small(&registry, config).await?;
        read_config(&config, &self.platform).map_err(refuse)?;

        let mut layers: Vec<&Descriptor> = Vec::new();
        for layer in &manifest.layers {
            if !layers.iter().any(|known| known.digest == layer.digest) {
                layers.push(layer);
            }
        }
        self.tell(|progress| progress.layers = layers.len());
        let missing: Vec<_> = layers.iter().filter(|layer| self.store.about(&layer.digest).is_none()).collect();
        self.tell(|progress| {
            progress.layers_done = layers.len() - missing.len();
            progress.bytes = missing.iter().map(|layer| layer.size).fold(0, u64::saturating_add);
        });
        let coming = missing.into_iter().map(|layer| self.layer(&registry, layer));
        let fetched: Vec<Option<Digest>> =
            futures_util::stream::iter(coming).buffer_unordered(AT_A_TIME).try_collect().await?;
        self.store.put_blob(&config).map_err(Failure::host)?;
        let manifest = self.store.put_blob(&bytes).map_err(Failure::host)?;
        self.store.put_name(self.reference, manifest).map_err(Failure::host)?;
        Ok((manifest, fetched.into_iter().flatten().collect()))
    }

    /// The manifest for this platform, as bytes and read.
    async fn manifest(&self, registry: &Registry) -> Result<(Vec<u8>, Manifest), Failure> {
        let mut wanted = self.reference.digest().copied();
        // An index may name another one, but not without end.
        for _ in 0..3 {
            let bytes = registry.manifest(wanted.as_ref()).await?;
            let refuse = |error: nomadd_oci::image::ImageError| Failure::pointless(error.to_string());
            let manifest = Manifest::read(&bytes).map_err(refuse)?;
            if manifest.manifests.is_empty() {
                return Ok((bytes, manifest));
            }
            wanted = Some(manifest.choose(&self.platform).map_err(refuse)?.digest);
        }
        Err(Failure::pointless("its index names one index after the other"))
    }

    /// A blob that is kept in memory.
    async fn small(&self, registry: &Registry, of: &Descriptor) -> Result<Vec<u8>, Failure> {
        if of.size > MOST_BYTES {
            return Err(Failure::pointless(format!("its configuration of {} bytes is longer than 8 MB", of.size)));
        }
        let (mut stream, _) = registry.blob(&of.digest, 0).await?;
        let mut bytes = Vec::new();
        while let Some(more) = self.patiently(stream.next()).await? {
            bytes.extend_from_slice(&more.map_err(Failure::host)?);
            if bytes.len() as u64 > of.size {
                return Err(Failure::pointless("its configuration is longer than its manifest says"));
            }
        }
        match Digest::of(&bytes) == of.digest {
            true => Ok(bytes),
            false => Err(Failure::pointless(format!("its configuration has not the digest {}", of.digest))),
        }
    }

    /// One layer; none if it was there by the time it was its turn.
    async fn layer(&self, registry: &Registry, layer: &Descriptor) -> Result<Option<Digest>, Failure> {
        let Descriptor { digest, size, .. } = layer;
        let (store, of) = (self.store.clone(), *digest);
        let locked = tokio::task::spawn_blocking(move || store.lock_layer(&of)).await.map_err(Failure::host)?;
        let _lock = locked.map_err(Failure::host)?;
        if self.store.about(digest).is_some() {
            self.tell(|progress| {
                progress.layers_done += 1;
                progress.bytes_done = progress.bytes_done.saturating_add(*size);
            });
            return Ok(None);
        }
        let named = |failure: Failure| Failure { reason: format!("its layer {digest}: {}", failure.reason), ..failure };
        let mut incoming = Incoming::begin(self.store, *digest, Some(*size), self.limits).map_err(named)?;
        let mut tries = 0;
        while let Err(broken) = self.stream(registry, layer, &mut incoming, &mut tries).await {
            tries += 1;
            if broken.again == Again::Pointless || tries > TRIES {
                return Err(named(broken));
            }
            sleep(Duration::from_millis(200) * 2_u32.pow(tries)).await;
        }
        incoming.finish().await.map_err(named)?;
        self.tell(|progress| progress.layers_done += 1);
        Ok(Some(*digest))
    }

    /// Takes what a connection brings until the layer is whole.
    async fn stream(
        &self,
        registry: &Registry,
        layer: &Descriptor,
        incoming: &mut Incoming<'_>,
        tries: &mut u32,
    ) -> Result<(), Failure> {
        let (mut stream, continues) = registry.blob(&layer.digest, incoming.taken).await?;
        let mut known = if continues { 0 } else { incoming.taken };
        while let Some(bytes) = self.patiently(stream.next()).await? {
            let broken =
                |error| Failure::worthwhile(format!("the registry's connection broke: {}", process::chain(&error)));
            let bytes = match bytes {
                Ok(bytes) => bytes,
                // The client's own check of the digest: it is told in our words when all is there.
                Err(_) if incoming.taken >= layer.size => break,
                Err(error) => return Err(broken(error)),
            };
            let skip = usize::try_from(known).unwrap_or(usize::MAX).min(bytes.len());
            known -= skip as u64;
            if skip < bytes.len() {
                incoming.take(&bytes[skip..]).await?;
                *tries = 0;
            }
            let came = (bytes.len() - skip) as u64;
            self.tell(|progress| progress.bytes_done = progress.bytes_done.saturating_add(came));
        }
        match incoming.taken < layer.size {
            true => Err(Failure::worthwhile(format!("it ends after {} of {} bytes", incoming.taken, layer.size))),
            false => Ok(()),
        }
    }

    /// Waits for what a registry does next, but not for ever.
    async fn patiently<T>(&self, next: impl Future<Output = T>) -> Result<T, Failure> {
        let late = |_| {
            let seconds = self.patience.as_secs_f64();
            Failure::worthwhile(format!("the registry {} has sent nothing for {seconds} s", self.reference.registry()))
        };
        timeout(self.patience, next).await.map_err(late)
    }

    fn tell(&self, change: impl FnOnce(&mut Progress)) {
        let mut told = self.told.borrow_mut();
        let before = told.progress;
        change(&mut told.progress);
        let due = told.at.is_none_or(|at| at.elapsed() >= TELL_EVERY);
        if due || told.progress.layers_done != before.layers_done || told.progress.layers != before.layers {
            told.at = Some(Instant::now());
            process::say(&Event::Progress(told.progress));
        }
    }
}
