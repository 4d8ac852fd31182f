//! The ways from this agent to others, for requests that it does not answer itself.
//!
//! A server knows the others from raft, the regions from gossip, the nodes by their control streams; an agent without a server
//! knows servers. Who goes where is decided by the HTTP room.

use async_trait::async_trait;
use nomadd_client::servers::Servers;
use nomadd_http::{NoWay, Place, Standing, Ways};
use nomadd_model::NodeId;
use nomadd_rpc::{Class, Network, RpcError, Tunnel, TunnelHello};
use nomadd_runtime::Runtime;
use nomadd_server::Server;
use nomadd_server::peers::Company;

/// The ways of a server.
pub struct ServerWays {
    pub server: Server,
    pub network: Network,
    pub runtime: Runtime,
    pub node: Option<NodeId>,
}

impl ServerWays {
    fn address_of(&self, address: String) -> Place {
        if address == *self.server.config().rpc_address { Place::Here } else { Place::Server(address) }
    }
}

#[async_trait]
impl Ways for ServerWays {
    fn standing(&self) -> Standing {
        match (self.server.leads(), self.server.company()) {
            (true, Company::Alone) => Standing::Alone,
            (true, Company::Others) => Standing::Leader,
            (false, _) => Standing::Follower,
        }
    }
    fn leader(&self) -> Result<Place, NoWay> {
        if self.server.leads() {
            return Ok(Place::Here);
        }
        self.server.leader().map(|other| Place::Server(other.address)).ok_or(NoWay::NoLeader)
    }
    fn any_server(&self) -> Result<Place, NoWay> {
        Ok(Place::Here)
    }
    fn server(&self, name: &str) -> Result<Place, NoWay> {
        if name == "leader" {
            return self.leader();
        }
        let config = self.server.config();
        if *name == *config.name || name == format!("{}.{}", config.name, config.region) || *name == *config.id {
            return Ok(Place::Here);
        }
        let full = format!("{name}.{}", config.region);
        let told = self.server.cluster().map(nomadd_server::cluster::Cluster::servers).unwrap_or_default();
        let found =
            told.into_iter().find(|told| *told.name == *name || *told.name == *full || told.id.to_string() == name);
        found.map(|told| self.address_of(told.rpc)).ok_or_else(|| NoWay::UnknownServer(name.to_owned()))
    }
    fn region(&self, name: &str) -> Result<Place, NoWay> {
        let mut there = self.server.cluster().map(|cluster| cluster.alive_in(name)).unwrap_or_default();
        if there.is_empty() {
            return Err(NoWay::NoRegion);
        }
        let chosen = there.swap_remove((self.runtime.seeds.seed() % there.len() as u64) as usize);
        Ok(Place::Region(name.to_owned(), chosen.rpc))
    }
    async fn node(&self, id: NodeId) -> Result<Place, NoWay> {
        if self.node == Some(id) {
            return Ok(Place::Here);
        }
        if self.server.streams().holds(id) {
            return Ok(Place::Node(id));
        }
        if self.server.state().node(id).is_none() {
            return Err(NoWay::NoNode(format!("Unknown node {id}")));
        }
        match self.server.who_holds(id).await {
            Some(other) => Ok(Place::Server(other.address)),
            None => Err(NoWay::NoNode(format!("no server has a connection with node {id}; is its agent running?"))),
        }
    }
    async fn open(&self, place: &Place) -> Result<Tunnel, NoWay> {
        let unreachable = |error: RpcError| NoWay::Unreachable(error.to_string());
        match place {
            Place::Here => Err(NoWay::Unreachable("this agent itself".to_owned())),
            Place::Server(address) => {
                self.network.to(address, Class::Bulk).tunnel(TunnelHello::Http).await.map_err(unreachable)
            }
            Place::Region(name, address) => {
                let connection = self.network.to_region(address, Class::Bulk, &name.as_str().into());
                connection.tunnel(TunnelHello::Http).await.map_err(unreachable)
            }
            Place::Node(id) => {
                let order = self.server.streams().order(*id, self.runtime.seeds.id());
                order.await.map_err(|error| NoWay::NoNode(format!("node {id}: {error}")))
            }
        }
    }
    async fn catch_up(&self) -> Result<(), NoWay> {
        self.server.catch_up().await.map_err(|_| NoWay::NoLeader)
    }
}

/// The ways of an agent without a server.
pub struct ClientWays {
    pub servers: Servers,
    pub network: Network,
}

#[async_trait]
impl Ways for ClientWays {
    fn standing(&self) -> Standing {
        Standing::Client
    }
    fn leader(&self) -> Result<Place, NoWay> {
        self.any_server()
    }
    fn any_server(&self) -> Result<Place, NoWay> {
        let none =
            || NoWay::NoServer("this agent knows no server; see client.servers and client.server_join".to_owned());
        self.servers.current().map(Place::Server).ok_or_else(none)
    }
    fn server(&self, _: &str) -> Result<Place, NoWay> {
        self.any_server()
    }
    fn region(&self, _: &str) -> Result<Place, NoWay> {
        self.any_server()
    }
    async fn node(&self, _: NodeId) -> Result<Place, NoWay> {
        self.any_server()
    }
    async fn open(&self, place: &Place) -> Result<Tunnel, NoWay> {
        let Place::Server(address) = place else { return Err(NoWay::NoServer(format!("{place:?} is no server"))) };
        let opened = self.network.to(address, Class::Bulk).tunnel(TunnelHello::Http).await;
        opened.map_err(|error| {
            self.servers.failed(address);
            NoWay::Unreachable(error.to_string())
        })
    }
    async fn catch_up(&self) -> Result<(), NoWay> {
        Ok(())
    }
}
