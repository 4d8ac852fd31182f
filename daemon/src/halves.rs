//! The halves of an agent and how they are started: the server with its log, RPC and gossip; the client with its servers.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use nomadd_client::Client;
use nomadd_client::servers::Servers;
use nomadd_config::{Config, Mode};
use nomadd_gossip::{Gossip, Keyring, Pace};
use nomadd_raft::{Bootstrap, Durability, Raft, Recovered};
use nomadd_rpc::{Connection, InProcess, Network, RpcListener};
use nomadd_runtime::Runtime;
use nomadd_server::cluster::Cluster;
use nomadd_server::{Server, Surface};
use nomadd_state::CommandSet;

use crate::folders::Folders;
use crate::network::Dialer;
use crate::{describe, join};

/// With this in its environment an agent acts as the next release: it can apply one more set of commands. For tests of rolling
/// upgrades only; a data folder that was used so is refused without it.
const REHEARSE: &str = "NOMADD_REHEARSE_NEXT_RELEASE";

/// How long a leader may take to hand over before it goes.
const HAND_OVER: Duration = Duration::from_secs(2);

/// The server of this agent.
pub struct ServerHalf {
    pub server: Server,
    pub raft: Raft,
    pub recovered: Recovered,
    /// What it answers to other agents.
    pub surface: Surface,
    pub gossip: Option<Gossip>,
    pub encrypted: bool,
}

impl ServerHalf {
    /// Opens the log, listens for RPC, joins gossip.
    pub async fn start(
        config: &Config,
        name: &str,
        folders: &Folders,
        network: &Network,
        runtime: &Runtime,
    ) -> anyhow::Result<Self> {
        let dialer = Arc::new(Dialer(network.clone()));
        let member =
            nomadd_raft::Server { name: format!("{name}.{}", config.region), address: config.advertise_rpc.clone() };
        let durability = if folders.is_temporary() { Durability::NoSync } else { Durability::Sync };
        let mut raft_config =
            nomadd_raft::Config::new(folders.server.join("raft"), member, durability, runtime.clone());
        raft_config.peers = Some(Arc::clone(&dialer) as _);
        raft_config.bootstrap = if config.server.bootstrap_expect == 1 { Bootstrap::Alone } else { Bootstrap::Wait };
        raft_config.commands = commands();
        describe::raft_limits(config, &mut raft_config.limits);
        let (raft, recovered) = Raft::open(raft_config).await.context("cannot open the server's log")?;
        // After the log: a second agent over the same folder is told about the folder.
        let listeners = listen(config).await?;
        let id = raft.id().to_string();
        let mut server_config = describe::server(config, name, &id, folders.server.clone());
        server_config.dial = Some(dialer);
        let server = Server::start(server_config, raft.clone(), runtime.clone()).context("cannot start the server")?;
        let surface = Surface::new(server.clone());
        for listener in listeners {
            listener.serve(network, Arc::new(surface.clone()), runtime);
        }
        let keyring = keyring(config, &folders.server)?;
        let encrypted = keyring.is_some();
        let gossip = if config.mode == Mode::Development {
            None
        } else {
            Some(gossip(config, name, &id, folders, keyring, runtime).await?)
        };
        if let Some(gossip) = &gossip {
            Cluster::start(server.clone(), gossip.clone());
            join::start(gossip, &config.server.join, config.ports.serf).await?;
            join::retry(gossip.clone(), config.server.join.clone(), config.ports.serf, runtime);
        }
        Ok(Self { server, raft, recovered, surface, gossip, encrypted })
    }

    /// Goes in order: another server leads, and the others know that this one left.
    pub async fn leave(&self) {
        if self.server.leads() && !self.server.others().is_empty() {
            match tokio::time::timeout(HAND_OVER, self.raft.transfer(None)).await {
                Ok(Ok(())) => tracing::info!("handed the leadership over"),
                Ok(Err(error)) => tracing::warn!(%error, "the leadership was not handed over"),
                Err(_) => tracing::warn!("the leadership was not handed over in time"),
            }
        }
        if let Some(gossip) = &self.gossip {
            gossip.leave().await;
        }
    }

    /// Stops without leaving; a leader hands over, so that nobody waits for an election.
    pub async fn stop(&self) {
        if self.server.leads() && !self.server.others().is_empty() {
            // Whether or not it succeeds, the agent goes: the others elect one.
            let _either = tokio::time::timeout(HAND_OVER, self.raft.transfer(None)).await;
        }
        if let Some(gossip) = &self.gossip {
            gossip.stop().await;
        }
        self.raft.shutdown().await;
    }
}

/// The commands that this agent's server can apply.
fn commands() -> CommandSet {
    match std::env::var_os(REHEARSE) {
        None => CommandSet::CURRENT,
        Some(_) => {
            tracing::warn!("{REHEARSE} is set: this agent acts as a release that does not exist yet, for tests only");
            CommandSet::NEXT
        }
    }
}

async fn listen(config: &Config) -> anyhow::Result<Vec<RpcListener>> {
    let mut listeners = Vec::new();
    for address in &config.rpc {
        match RpcListener::bind(*address).await {
            Ok(listener) => listeners.push(listener),
            // A development agent is complete without others.
            Err(error) if config.mode == Mode::Development => {
                tracing::warn!(%error, "other agents cannot reach this one");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(listeners)
}

fn keyring(config: &Config, folder: &Path) -> anyhow::Result<Option<Keyring>> {
    let first = Some(config.server.encrypt.0.as_str()).filter(|key| !key.is_empty());
    Keyring::load(&folder.join("serf.keyring"), first).context("cannot use the keys of gossip (server.encrypt)")
}

async fn gossip(
    config: &Config,
    name: &str,
    id: &str,
    folders: &Folders,
    keyring: Option<Keyring>,
    runtime: &Runtime,
) -> anyhow::Result<Gossip> {
    let bind = config.serf.first().copied().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], config.ports.serf)));
    let mut found = tokio::net::lookup_host(&config.advertise_serf)
        .await
        .with_context(|| format!("advertise.serf {:?} cannot be resolved", config.advertise_serf))?;
    let advertise =
        found.next().with_context(|| format!("advertise.serf {:?} has no address", config.advertise_serf))?;
    let settings = nomadd_gossip::Config {
        name: format!("{name}.{}", config.region).into(),
        bind,
        advertise,
        tags: describe::tags(config, id),
        keyring,
        folder: Some(folders.server.join("serf")),
        pace: Pace::default(),
        runtime: runtime.clone(),
    };
    Gossip::start(settings).await.context("cannot start gossip")
}

/// The client of this agent.
pub struct ClientHalf {
    pub client: Client,
    /// Its way to servers.
    pub connection: Arc<dyn Connection>,
    /// The servers it knows, when this agent is none itself.
    pub servers: Option<Servers>,
}

impl ClientHalf {
    /// Starts the node, over the server of this process or over the servers of the configuration.
    pub async fn start(
        config: &Config,
        name: &str,
        http_address: &str,
        folders: &Folders,
        server: Option<&ServerHalf>,
        network: &Network,
        runtime: &Runtime,
    ) -> anyhow::Result<Self> {
        let client_config = describe::client(config, folders, name, http_address)?;
        let (connection, servers): (Arc<dyn Connection>, _) = match server {
            Some(half) => (Arc::new(InProcess::new(Arc::new(half.surface.clone()))), None),
            None => {
                let of = &config.client;
                let written: Vec<String> =
                    of.servers.iter().chain(&of.join.start).chain(&of.join.retry).cloned().collect();
                let known = join::addresses(&written, config.ports.rpc).await?;
                if known.is_empty() {
                    tracing::warn!(
                        "this agent knows no server: name some in client.servers, or set them with nomadctl node config -update-servers"
                    );
                }
                let dialer = Arc::new(Dialer(network.clone()));
                let servers = Servers::start(known, &config.region, dialer, runtime.clone());
                (Arc::new(servers.clone()), Some(servers))
            }
        };
        let client = Client::start(client_config, Arc::clone(&connection), runtime.clone()).await;
        Ok(Self { client: client.context("cannot start the client")?, connection, servers })
    }
}
