//! docker (and `oci`, the same; `podman` jobs run on it, too): a container of an image, run by this agent itself. There is
//! no Docker here: images are `nomadd_oci`'s, containers the executor's.
//!
//! `image` brings the image of a task (asynchronously, with what is to be told of it), `prepare` makes its root and says
//! what runs in it. What a key of Nomad's driver asks for and this one cannot do is refused in words (`keys`).

mod capability;
mod files;
pub mod keys;
mod mounts;
mod settings;
mod spec;
mod user;
mod volume;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nomadd_oci::wire::{Again, Request};
use nomadd_oci::{Credentials, Digest, Image, Limits, Platform, Progress, Puller, Reference, Secret, Store, root};
use nomadd_supervisor::{ProcessSpec, TaskHandleId};
use serde_json::Value;

use crate::registry::PrepareError;
use crate::schema::{self, ConfigError, Reader};
use crate::task::TaskContext;

pub use settings::DockerConfig;

/// The driver's name.
pub const NAME: &str = "docker";
/// All names that mean it.
pub const NAMES: [&str; 3] = [NAME, "oci", "podman"];
/// The version of Docker whose jobs are understood: constraints of jobs compare it.
pub const VERSION: &str = "28.0.0";

/// The driver with its configuration checked.
#[derive(Debug)]
pub struct Docker {
    config: DockerConfig,
    puller: Result<Arc<Puller>, String>,
}

/// What is told while an image comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// A sentence.
    pub message: String,
    /// The image, as people write it.
    pub image: String,
}

/// Where the image of a task comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wish {
    reference: Reference,
    credentials: Credentials,
    /// Whether the registry is asked even when the image is here.
    fresh: bool,
    /// An archive in the task's directory that it is taken from instead.
    load: Option<String>,
    timeout: Duration,
}

impl Docker {
    /// Opens the store of images in a directory. Without one, or without the helper, there is no driver, which says why.
    pub fn new(config: &DockerConfig, images: Option<&Path>) -> Self {
        let open = || -> Result<Arc<Puller>, String> {
            if !config.enabled {
                return Err("disabled".to_owned());
            }
            let Some(images) = images else { return Err(String::new()) };
            if !rustix::process::geteuid().is_root() {
                return Err("Driver must run as root".to_owned());
            }
            let helper = nomadd_oci::locate::find().map_err(|places| {
                let places: Vec<_> = places.iter().map(|path| path.display().to_string()).collect();
                format!("The helper nomadd-image is not installed: looked for {}", places.join(", "))
            })?;
            let store = Store::open(images).map_err(|error| chain(&error))?;
            Ok(Arc::new(Puller::new(helper, store)))
        };
        Self { config: config.clone(), puller: open() }
    }

    /// Takes it away for a reason of the host.
    pub fn withhold(&mut self, reason: &str) {
        if self.puller.is_ok() {
            self.puller = Err(reason.to_owned());
        }
    }

    /// Why tasks cannot use it; none if they can.
    pub fn absent(&self) -> Option<&str> {
        self.puller.as_ref().err().map(String::as_str)
    }

    /// What a node says of it besides its name.
    pub fn attributes(&self) -> [(&'static str, String); 5] {
        [
            ("version", VERSION.to_owned()),
            ("os_type", "linux".to_owned()),
            ("privileged.enabled", self.config.allow_privileged.to_string()),
            ("volumes.enabled", self.config.volumes.to_string()),
            ("runtimes", "runc".to_owned()),
        ]
    }

    /// Brings the image of a task, unless it is here and need not be looked for; tells how it goes.
    ///
    /// # Errors
    /// What is wrong with the configuration, the registry or the image.
    pub async fn image(
        &self,
        driver: &str,
        config: &Value,
        task_directory: &Path,
        mut tell: impl FnMut(Notice),
    ) -> Result<Digest, PrepareError> {
        let puller = self.puller(driver)?;
        let wish = self.wish(driver, config)?;
        let (platform, store) = (Platform::here(), puller.store().clone());
        let image = wish.reference.familiar();
        if !wish.fresh {
            let (reference, of) = (wish.reference.clone(), platform.clone());
            let found = tokio::task::spawn_blocking(move || store.find(&reference, &of)).await;
            if let Ok(Ok(Some(found))) = found {
                return Ok(found.manifest);
            }
        }
        let (store, reference) = (puller.store().root().to_owned(), wish.reference.to_string());
        let limits = Limits::default();
        let (request, archive, what) = match &wish.load {
            Some(path) => {
                tell(Notice { message: "Loading image".to_owned(), image: image.clone() });
                let archive = archive(task_directory, path)
                    .map_err(|error| image_error("load", &image, format!("{path:?}: {error}"), Again::Pointless))?;
                (Request::Load { store, reference, platform, limits }, Some(archive), "load")
            }
            None => {
                tell(Notice { message: "Downloading image".to_owned(), image: image.clone() });
                let credentials = wish.credentials;
                let insecure = self.config.insecure_registries.clone();
                let patience = self.config.pull_activity_timeout.as_millis();
                let patience_ms = u64::try_from(patience).unwrap_or(u64::MAX);
                (Request::Pull { store, reference, platform, credentials, insecure, patience_ms, limits }, None, "pull")
            }
        };
        let mut progress = Teller::new(image.clone());
        let brought = puller.bring(&request, archive, wish.timeout, |so_far| {
            if let Some(notice) = progress.next(so_far) {
                tell(notice);
            }
        });
        brought.await.map_err(|error| image_error(what, &image, chain(&error), error.again()))
    }

    /// The process of a task whose image is here, with a root made anew. Blocks.
    pub fn prepare(&self, driver: &str, mut task: TaskContext) -> Result<ProcessSpec, PrepareError> {
        let puller = self.puller(driver)?;
        let store = puller.store();
        let config = std::mem::take(&mut task.config);
        let config = Reader::of(driver, &keys::KEYS, &config)?;
        keys::refuse_absent(&config)?;
        let name = config.text("image");
        let gone = || image_error("find", &name, "it has just been removed".to_owned(), Again::Worthwhile);
        let host = |error: &dyn std::error::Error| image_error("use", &name, chain(error), Again::Worthwhile);
        let hold = store.hold().map_err(|error| host(&error))?;
        let digest = task.image.take().ok_or_else(gone)?;
        let image: Image = store.image(&digest, &Platform::here()).map_err(|error| host(&error))?.ok_or_else(gone)?;
        let id = task.id.cgroup_name();
        let made = root::make(store, &id, &image, puller.helper(), root::Layering::Overlay);
        let made = made.map_err(|error| host(&error))?;
        drop(hold);
        let (settings, helper, root) = (&self.config, puller.helper(), made.path.as_path());
        let spec = spec::Making { settings, store, helper, config: &config, image: &image.config, root };
        spec.process(task).inspect_err(|_| self.release(&id))
    }

    /// A task has ended: its root goes. Blocks.
    pub fn ended(&self, id: &TaskHandleId) {
        self.release(&id.cgroup_name());
    }

    fn release(&self, id: &str) {
        if let Ok(puller) = &self.puller
            && let Err(error) = root::release(puller.store(), id)
        {
            tracing::warn!(error = chain(&error), id, "cannot remove the root of a container");
        }
    }

    /// Removes the roots that no task of the list has, and images that may go. Blocks.
    pub fn sweep(&self, tasks: Option<&[TaskHandleId]>) {
        let Ok(puller) = &self.puller else { return };
        if let Some(tasks) = tasks {
            let known: std::collections::BTreeSet<String> = tasks.iter().map(TaskHandleId::cgroup_name).collect();
            for id in root::list(puller.store()).into_iter().filter(|id| !known.contains(id)) {
                self.release(&id);
            }
        }
        self.collect(self.config.image_delay);
    }

    /// Removes all images that no task uses, whenever that was. Blocks.
    pub fn collect_all(&self) {
        self.collect(Duration::ZERO);
    }

    fn collect(&self, delay: Duration) {
        let Ok(puller) = &self.puller else { return };
        let delay = self.config.remove_images.then_some(delay);
        let policy = nomadd_oci::store::Policy { delay, most_bytes: self.config.image_disk_limit };
        match puller.store().collect(&policy, SystemTime::now()) {
            Ok(Some(collected)) if collected.images + collected.layers > 0 => {
                tracing::info!(
                    images = collected.images,
                    layers = collected.layers,
                    "removed images that nothing uses"
                );
            }
            // Somebody pulls just now: the next time will do.
            Ok(_) => {}
            Err(error) => tracing::warn!(error = chain(&error), "cannot remove images"),
        }
    }

    fn puller(&self, driver: &str) -> Result<&Arc<Puller>, PrepareError> {
        self.puller.as_ref().map_err(|_| PrepareError::NoDriver { driver: driver.to_owned(), hint: None })
    }

    fn wish(&self, driver: &str, config: &Value) -> Result<Wish, PrepareError> {
        let config = Reader::of(driver, &keys::KEYS, config)?;
        keys::refuse_absent(&config)?;
        let name = config.text("image");
        let reference =
            Reference::parse(&name).map_err(|error| config.error("image", &format!("is wrong: {error}")))?;
        let mut own = None;
        for auth in config.blocks("auth", &keys::AUTH)? {
            let (user, server) = (auth.text("username"), auth.text("server_address"));
            if !server.is_empty() && !is_server(&server, reference.registry()) {
                let reason = format!("is for {server:?}, and the image is of {:?}", reference.registry());
                return Err(config.error("auth.server_address", &reason).into());
            }
            own = (!user.is_empty()).then(|| (user, Secret(auth.text("password"))));
        }
        let policy = config.text("image_pull_policy");
        let fresh = match policy.as_str() {
            "" | "missing" => false,
            "always" | "newer" => true,
            other => {
                let reason = format!("is {other:?}; missing, always and newer are known");
                return Err(config.error("image_pull_policy", &reason).into());
            }
        };
        let load = Some(config.text("load")).filter(|path| !path.is_empty());
        let usual = policy.is_empty() && reference.is_moving();
        Ok(Wish {
            credentials: Credentials {
                own,
                file: self.config.auth_file.clone(),
                helper: self.config.auth_helper.clone(),
                soft_fail: config.is_true("auth_soft_fail"),
            },
            fresh: fresh || usual || config.is_true("force_pull"),
            load,
            timeout: config.time("image_pull_timeout").unwrap_or(self.config.image_pull_timeout),
            reference,
        })
    }
}

/// Checks a task's configuration as it was written.
pub fn check(driver: &str, config: &Value) -> Result<(), ConfigError> {
    schema::check(driver, &keys::KEYS, config)?;
    let as_written = Reader::as_written(driver, &keys::KEYS, config)?;
    keys::refuse_absent(&as_written)
}

/// Whether a server's address in `auth` is the registry of an image.
fn is_server(server: &str, registry: &str) -> bool {
    let bare = server.strip_prefix("https://").or_else(|| server.strip_prefix("http://")).unwrap_or(server);
    let host = bare.split('/').next().unwrap_or(bare);
    let hub = ["docker.io", "index.docker.io", "registry-1.docker.io", "hub.docker.com"];
    host.eq_ignore_ascii_case(registry) || (hub.contains(&host) && hub.contains(&registry))
}

/// Opens an archive that a job names, found by the kernel beneath the task's directory; as Nomad, below `local` first.
fn archive(task_directory: &Path, path: &str) -> std::io::Result<File> {
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
    let root =
        rustix::fs::openat(CWD, task_directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let open = |path: &Path| rustix::fs::openat2(&root, path, flags, Mode::empty(), resolve);
    let file = match open(&PathBuf::from("local").join(path)) {
        Ok(file) => file,
        Err(_) => open(Path::new(path))?,
    };
    let file = File::from(file);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(std::io::Error::other("it is no file")),
    }
}

fn image_error(what: &'static str, image: &str, reason: String, again: Again) -> PrepareError {
    PrepareError::Image { what, image: image.to_owned(), reason, again: again == Again::Worthwhile }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// Says now and then how far a pull is: only long ones are told of, each time a good part has come.
struct Teller {
    image: String,
    begun: std::time::Instant,
    told: std::time::Instant,
}

/// How long a pull takes before it is told of, and again.
const TELL_AFTER: Duration = Duration::from_secs(10);

impl Teller {
    fn new(image: String) -> Self {
        let now = std::time::Instant::now();
        Self { image, begun: now, told: now }
    }

    fn next(&mut self, so_far: Progress) -> Option<Notice> {
        // As long as it took so far, so that a long pull does not push all other events out.
        let due = self.told.elapsed() >= TELL_AFTER.max((self.told - self.begun) / 2);
        if !due {
            return None;
        }
        self.told = std::time::Instant::now();
        let Progress { layers, layers_done, bytes, bytes_done } = so_far;
        let (done, all) = (bytes_done >> 20, bytes >> 20);
        let message = format!("Image pull progress: {layers_done} of {layers} layers ({done} of {all} MiB)");
        Some(Notice { message, image: self.image.clone() })
    }
}
