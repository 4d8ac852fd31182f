//! Sets networks of allocations up and takes them down; finds again what an earlier agent set up.
//!
//! Each has a folder: its namespace, a record of what was set up, and the files that its tasks see. The folder goes only when
//! everything was taken down, so that what failed once is tried again.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use nomadd_model::spec::DNSConfig;
use nomadd_runtime::Runtime;
use tokio::sync::{Mutex, Semaphore};

use crate::chain::{Plugins, Wish};
use crate::configuration::{self, Bridge, Configuration, ConfigurationError};
use crate::files::{self, OwnNamespace};
use crate::namespace::{self, NamespaceError};
use crate::plugin::{self, PluginError, PortMapping};
use crate::record::Record;
use crate::{outcome, rules};

/// How many networks are set up or taken down at a time: plugins mostly wait for the one lock of iptables.
const AT_A_TIME: usize = 4;
/// How often setting up is tried: plugins that run beside each other make the same chains.
const TRIES: u32 = 3;
/// The pause before the second try; doubled before the third.
const PAUSE: Duration = Duration::from_millis(100);
/// The namespace in its folder.
const NAMESPACE: &str = "namespace";

/// How the host's networks are set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where networks are kept.
    pub folder: PathBuf,
    /// The program that makes namespaces, `nomadd-executor`.
    pub helper: PathBuf,
    /// Where plugins are (`client.cni_path`).
    pub plugins: Vec<PathBuf>,
    /// Where the operator's networks are (`client.cni_config_dir`).
    pub configurations: PathBuf,
    /// The bridge that allocations share.
    pub bridge: Bridge,
    /// How long a plugin may work.
    pub limit: Duration,
}

impl Config {
    /// Nomad's defaults, and where distributions have the plugins.
    pub fn new(folder: PathBuf, helper: PathBuf) -> Self {
        Self {
            folder,
            helper,
            plugins: ["/opt/cni/bin", "/usr/libexec/cni", "/usr/lib/cni"].map(PathBuf::from).into(),
            configurations: "/opt/cni/config".into(),
            bridge: Bridge::default(),
            limit: plugin::LIMIT,
        }
    }
}

/// What kind of network is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The host's own: only the files are made.
    #[default]
    Host,
    /// A namespace with nothing but a loopback device.
    None,
    /// On the bridge.
    Bridge,
    /// One of the operator's.
    Cni(String),
}

/// A network to set up.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Whose it is: a name that CNI takes, letters, digits, `-`, `_` and `.`.
    pub id: String,
    /// Which kind.
    pub mode: Mode,
    /// The ports that lead into it.
    pub ports: Vec<PortMapping>,
    /// What plugins are told besides, `KEY=VALUE;…`.
    pub arguments: String,
    /// Its host name, or "".
    pub hostname: String,
    /// Name servers, if not the host's.
    pub dns: Option<DNSConfig>,
}

/// A network that is set up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attachment {
    /// The namespace; `None` is the host's.
    pub namespace: Option<PathBuf>,
    /// The device inside, or "".
    pub interface: String,
    /// Its IPv4 address, or "".
    pub address: String,
    /// Its IPv6 address, or "".
    pub address6: String,
    /// The name servers, where they are not the host's.
    pub dns: Option<DNSConfig>,
    /// Its host name.
    pub hostname: Option<String>,
    /// Files that tasks with a root of their own see: where they are, and as what.
    pub files: Vec<(PathBuf, PathBuf)>,
}

/// What an earlier agent left of a network.
#[derive(Clone, Debug, PartialEq)]
pub enum Kept {
    /// It is as it was.
    Whole(Arc<Attachment>),
    /// It is incomplete or was lost with a boot of the host: take it down before it is set up anew.
    Broken,
    /// There was none.
    Nothing,
}

/// Why a network is not set up. Nothing of it is left, unless that is said.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The files of it.
    #[error("cannot write {}", path.display())]
    Files {
        /// Where.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The namespace.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// The operator's network.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// A plugin.
    #[error("failed to configure network{}", left.as_ref().map(|left| format!(" (something of it is left and is taken down later: {left})")).unwrap_or_default())]
    Plugin {
        /// What failed.
        #[source]
        source: PluginError,
        /// Why something of it is left.
        left: Option<String>,
    },
    /// The wish itself.
    #[error("{0:?} cannot stand in a resolv.conf")]
    Unfit(String),
    /// The agent is shutting down.
    #[error("the agent is shutting down")]
    ShuttingDown,
}

/// The networks of this host.
#[derive(Debug)]
pub struct Networks {
    config: Config,
    plugins: Plugins,
    runtime: Runtime,
    permits: Semaphore,
    /// Whether the bridge's traffic was let through since this agent began.
    admitted: Mutex<bool>,
    /// Those that are set up, as far as this agent has asked.
    current: std::sync::Mutex<BTreeMap<String, Arc<Attachment>>>,
}

impl Networks {
    /// Those of a host; sets nothing up.
    pub fn new(config: Config, runtime: Runtime) -> Self {
        let plugins = Plugins { folders: config.plugins.clone(), limit: config.limit };
        let (permits, admitted, current) = (Semaphore::new(AT_A_TIME), Mutex::new(false), Default::default());
        Self { config, plugins, runtime, permits, admitted, current }
    }

    /// A network that is set up.
    pub fn current(&self, id: &str) -> Option<Arc<Attachment>> {
        self.lock().get(id).cloned()
    }
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Attachment>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn remember(&self, id: &str, attachment: Attachment) -> Arc<Attachment> {
        let attachment = Arc::new(attachment);
        self.lock().insert(id.to_owned(), Arc::clone(&attachment));
        attachment
    }

    /// How they are set up.
    pub fn config(&self) -> &Config {
        &self.config
    }

    fn folder(&self, id: &str) -> PathBuf {
        self.config.folder.join(id)
    }

    /// Sets a network up. What an earlier agent left of it has to be taken down before.
    pub async fn attach(&self, request: &Request) -> Result<Arc<Attachment>, AttachError> {
        if let Some(unfit) = request.dns.as_ref().and_then(files::unfit) {
            return Err(AttachError::Unfit(unfit.to_owned()));
        }
        let folder = self.folder(&request.id);
        let configuration = match &request.mode {
            Mode::Host | Mode::None => None,
            Mode::Bridge => Some(Configuration::bridge(&self.config.bridge)),
            Mode::Cni(name) => Some(configuration::find(&self.config.configurations, name)?),
        };
        let wish = Wish {
            id: request.id.clone(),
            namespace: if request.mode == Mode::Host { PathBuf::new() } else { folder.join(NAMESPACE) },
            ports: request.ports.clone(),
            arguments: request.arguments.clone(),
        };
        let mut record = Record::new(configuration, wish);
        record.hostname.clone_from(&request.hostname);
        record.dns.clone_from(&request.dns);
        let _permit = self.permits.acquire().await.map_err(|_| AttachError::ShuttingDown)?;
        self.write(&folder, record.clone()).await?;
        match self.set_up(&mut record, request).await {
            Ok(()) => {
                record.complete = true;
                let written = self.write(&folder, record.clone()).await;
                if let Err(error) = written {
                    self.take_down(&record, &folder).await;
                    return Err(error);
                }
                Ok(self.remember(&request.id, attachment(&record, &folder)))
            }
            Err(mut error) => {
                let remains = self.take_down(&record, &folder).await;
                if let AttachError::Plugin { left, .. } = &mut error {
                    *left = remains;
                }
                Err(error)
            }
        }
    }

    async fn set_up(&self, record: &mut Record, request: &Request) -> Result<(), AttachError> {
        if request.mode == Mode::Host {
            return Ok(());
        }
        if let Some(configuration) = &record.configuration
            && let Err(source) = self.plugins.check(configuration)
        {
            // Nothing was called, so nothing has to be taken down.
            record.configuration = None;
            return Err(AttachError::Plugin { source, left: None });
        }
        namespace::make(&self.config.helper, &record.wish.namespace).await?;
        if request.mode == Mode::Bridge {
            self.admit().await;
        }
        let Some(configuration) = record.configuration.clone() else { return Ok(()) };
        let mut pause = PAUSE;
        for attempt in 1.. {
            let error = match self.add(record, &configuration).await {
                Ok(result) => match outcome::read(&result) {
                    Ok(outcome) => {
                        record.came_to(outcome);
                        return Ok(());
                    }
                    Err(reason) => {
                        let name = configuration.plugins.last().map(configuration::type_of).unwrap_or_default();
                        PluginError::Nonsense { name: name.to_owned(), reason }
                    }
                },
                Err(AttachError::Plugin { source, .. }) => source,
                Err(error) => return Err(error),
            };
            // One that was missing or slow is so the next time.
            let hopeless = !matches!(error, PluginError::Failed { .. });
            if hopeless || attempt >= TRIES {
                return Err(AttachError::Plugin { source: error, left: None });
            }
            tracing::warn!(id = request.id, %error, attempt, "a network is not set up yet; trying again");
            // A plugin that does not find what it has not made says so: the next try tells.
            drop(self.plugins.del(&configuration, &record.wish, &record.result).await);
            record.result = serde_json::Value::Null;
            tokio::time::sleep(pause + self.runtime.seeds.jitter(pause)).await;
            pause *= 2;
        }
        Ok(())
    }

    /// One plugin after the other; the result of the last. After each the newest that names addresses is kept: the plugins before
    /// need it to take down what they did.
    async fn add(&self, record: &mut Record, configuration: &Configuration) -> Result<serde_json::Value, AttachError> {
        let mut result = serde_json::Value::Null;
        for plugin in &configuration.plugins {
            let added = self.plugins.add(configuration, plugin, &record.wish, &result).await;
            result = added.map_err(|source| AttachError::Plugin { source, left: None })?;
            if outcome::read(&result).is_err() {
                continue;
            }
            record.result.clone_from(&result);
            let (record, folder) = (record.clone(), self.folder(&record.wish.id));
            let written = self
                .runtime
                .pool
                .run(move || record.write(&folder).map_err(|source| AttachError::Files { path: folder, source }));
            written.await.unwrap_or(Err(AttachError::ShuttingDown))?;
        }
        Ok(result)
    }

    /// Lets the bridge's traffic through, once.
    async fn admit(&self) {
        let mut admitted = self.admitted.lock().await;
        if *admitted {
            return;
        }
        match rules::admit(&self.config.bridge).await {
            Ok(()) => *admitted = true,
            // The plugins tell what is missing; on hosts that forward by themselves it works without.
            Err(error) => tracing::warn!(%error, "traffic to the bridge is not explicitly let through"),
        }
    }

    /// Takes a network down, whoever set it up and however far. Says why something is left; then it is tried again when the agent
    /// next starts, or by another call.
    pub async fn detach(&self, id: &str) -> Result<(), String> {
        let folder = self.folder(id);
        self.lock().remove(id);
        if !folder.exists() {
            return Ok(());
        }
        let _permit = self.permits.acquire().await.map_err(|_| "the agent is shutting down".to_owned())?;
        let record = Record::read(&folder).map_err(|error| error.to_string())?;
        // Without a record nothing but the namespace can be there: it is written first.
        let wish = Wish { id: id.to_owned(), namespace: folder.join(NAMESPACE), ..Wish::default() };
        let record = record.unwrap_or_else(|| Record::new(None, wish));
        self.take_down(&record, &folder).await.map_or(Ok(()), Err)
    }

    /// Why something is left.
    async fn take_down(&self, record: &Record, folder: &Path) -> Option<String> {
        let mut problem = None;
        if let Some(configuration) = &record.configuration
            && let Err(error) = self.plugins.del(configuration, &record.wish, &record.result).await
        {
            // Once more: another program may have held the lock of iptables for too long.
            let again = self.plugins.del(configuration, &record.wish, &record.result).await;
            problem = again.err().map(|_| error.to_string());
        }
        let (path, folder, complete) = (folder.join(NAMESPACE), folder.to_owned(), problem.is_none());
        let removed = self.runtime.pool.run(move || {
            // With the namespace its devices go, whatever the plugins did.
            namespace::remove(&path).map_err(|error| error.to_string())?;
            if !complete {
                return Ok(());
            }
            match fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.to_string()),
                _ => Ok(()),
            }
        });
        let removed = removed.await.unwrap_or_else(|_| Err("the agent is shutting down".to_owned()));
        problem.or(removed.err())
    }

    /// What an earlier agent left of a network.
    pub fn kept(&self, id: &str) -> Kept {
        let folder = self.folder(id);
        match Record::read(&folder) {
            Ok(Some(record)) => {
                let own = record.wish.namespace.as_os_str();
                let alive = own.is_empty() || namespace::is_one(&record.wish.namespace);
                if !record.complete || !alive {
                    return Kept::Broken;
                }
                Kept::Whole(self.remember(id, attachment(&record, &folder)))
            }
            Ok(None) if !folder.exists() => Kept::Nothing,
            Ok(None) | Err(_) => Kept::Broken,
        }
    }

    /// The networks whose ids begin so; all for "".
    pub fn beginning_with(&self, prefix: &str) -> Vec<String> {
        let entries = fs::read_dir(&self.config.folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name.starts_with(prefix)).collect()
    }

    /// Takes these networks down, which an earlier agent left.
    pub async fn sweep(&self, ids: Vec<String>) {
        for id in ids {
            match self.detach(&id).await {
                Ok(()) => tracing::info!(id, "a network that nobody uses was taken down"),
                Err(reason) => tracing::error!(id, reason, "a network that nobody uses cannot be taken down"),
            }
        }
    }

    /// Writes the record and the files that tasks see.
    async fn write(&self, folder: &Path, record: Record) -> Result<(), AttachError> {
        let folder = folder.to_owned();
        let written = self.runtime.pool.run(move || {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            let written = made.and_then(|()| record.write(&folder)).and_then(|()| {
                let texts = texts(&record);
                texts.iter().try_for_each(|(name, text)| fs::write(folder.join(name), text))
            });
            written.map_err(|source| AttachError::Files { path: folder, source })
        });
        written.await.unwrap_or(Err(AttachError::ShuttingDown))
    }
}

/// The files that tasks see, by name, with their content.
fn texts(record: &Record) -> BTreeMap<&'static str, String> {
    let host = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let behind = fs::read_to_string(files::BEHIND_STUB).unwrap_or_default();
    let own = if record.wish.namespace.as_os_str().is_empty() { OwnNamespace::No } else { OwnNamespace::Yes };
    let mut texts = BTreeMap::new();
    if own == OwnNamespace::Yes || record.dns.is_some() {
        texts.insert("resolv.conf", files::resolv_conf(record.dns.as_ref(), &host, &behind, own));
    }
    if own == OwnNamespace::Yes {
        // Without a device its name still leads to itself.
        let none = record.address.is_empty() && record.address6.is_empty();
        let first = if none { "127.0.0.1" } else { &record.address };
        texts.insert("hosts", files::hosts(&[first, &record.address6], &record.hostname));
    }
    if !record.hostname.is_empty() {
        texts.insert("hostname", format!("{}\n", record.hostname));
    }
    texts
}

fn attachment(record: &Record, folder: &Path) -> Attachment {
    let Record {
        version: _,
        configuration: _,
        wish,
        result: _,
        complete: _,
        interface,
        address,
        address6,
        dns,
        hostname,
    } = record;
    let files =
        ["hosts", "resolv.conf", "hostname"].into_iter().map(|name| (folder.join(name), Path::new("/etc").join(name)));
    Attachment {
        namespace: (!wish.namespace.as_os_str().is_empty()).then(|| wish.namespace.clone()),
        interface: interface.clone(),
        address: address.clone(),
        address6: address6.clone(),
        dns: dns.clone(),
        hostname: (!hostname.is_empty()).then(|| hostname.clone()),
        files: files.filter(|(path, _)| path.exists()).collect(),
    }
}
