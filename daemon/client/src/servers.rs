//! The servers that a node knows: one is used until it fails, then the next; the list follows the cluster.
//!
//! A `Connection` like any other, so nothing above knows how many servers there are. Learns the servers of the cluster by
//! asking one of them, keeps those of the configuration for when all others are gone, and changes to another now and then,
//! so that nodes are spread over servers. Tunnels that a server ordered go to that server.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use nomadd_rpc::connection::call;
use nomadd_rpc::{
    Connection, Dial, Method, Reach, RpcError, ServerHelloRequest, ServerHelloResponse, Tunnel, TunnelHello, Updates,
};
use nomadd_runtime::{Runtime, TaskKind};
use tokio::sync::{mpsc, watch};

/// How often the cluster's servers are asked for.
const REFRESH: Duration = Duration::from_secs(30);
/// How often a node changes its server, at least; with as much jitter again.
const REBALANCE: Duration = Duration::from_secs(180);
/// The pause before the list is asked for again when nobody answered.
const UNKNOWN: Duration = Duration::from_millis(500);
/// How long a server may take to introduce itself.
const HELLO: Duration = Duration::from_secs(3);
/// A server that knows no leader for so many calls in a row is left.
const LEADERLESS: u32 = 3;
/// More servers than any cluster has.
const MOST: usize = 64;
/// How many pushed messages may wait.
const WAITING: usize = 16;

/// The servers; a clone shares them.
#[derive(Clone, Debug)]
pub struct Servers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dial: Arc<dyn Dial>,
    runtime: Runtime,
    region: String,
    list: Mutex<List>,
    /// Counts changes of the server in use.
    changes: watch::Sender<u64>,
    /// Asks for the list at once.
    refresh: tokio::sync::Notify,
}

#[derive(Debug, Default)]
struct List {
    /// As the configuration or an operator says.
    configured: Vec<String>,
    /// As the cluster says; the first is in use.
    known: Vec<String>,
    /// Where the control stream is.
    control: Option<String>,
    /// How often in a row the server in use knew no leader.
    leaderless: u32,
}

impl Servers {
    /// Begins with the servers of the configuration, `HOST:PORT` each, and follows the cluster from then on.
    pub fn start(configured: Vec<String>, region: &str, dial: Arc<dyn Dial>, runtime: Runtime) -> Self {
        let mut known = configured.clone();
        shuffle(&mut known, &runtime);
        let list = Mutex::new(List { configured, known, ..List::default() });
        let region = region.to_owned();
        let tasks = runtime.tasks.clone();
        let changes = watch::Sender::new(0);
        let inner = Inner { dial, runtime, region, list, changes, refresh: tokio::sync::Notify::new() };
        let servers = Self(Arc::new(inner));
        tasks.spawn(TaskKind::ClientLoop, servers.clone().follow());
        servers
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.0.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The servers, the one in use first.
    pub fn addresses(&self) -> Vec<String> {
        self.list().known.clone()
    }

    /// Puts other servers in the place of those that are known.
    pub fn set(&self, servers: Vec<String>) {
        {
            let mut list = self.list();
            list.configured.clone_from(&servers);
            list.known = servers;
        }
        self.changed();
        self.0.refresh.notify_one();
    }

    /// The server in use.
    pub fn current(&self) -> Option<String> {
        self.list().known.first().cloned()
    }

    /// Notes that a server failed: the next is used.
    pub fn failed(&self, address: &str) {
        {
            let mut list = self.list();
            list.leaderless = 0;
            if list.known.first().map(String::as_str) != Some(address) {
                return;
            }
            list.known.rotate_left(1);
            // Servers of the configuration may have come back under other addresses.
            let missing: Vec<String> =
                list.configured.iter().filter(|own| !list.known.contains(own)).cloned().collect();
            list.known.extend(missing);
        }
        tracing::debug!(%address, "a server failed; the next is used");
        self.changed();
        self.0.refresh.notify_one();
    }

    fn changed(&self) {
        self.0.changes.send_modify(|count| *count += 1);
    }

    fn connection(&self) -> Result<(String, Arc<dyn Connection>), RpcError> {
        let address = self.current().ok_or(RpcError::Unreachable)?;
        let connection = self.0.dial.dial(&address);
        Ok((address, connection))
    }

    /// Draws conclusions from what a server answered.
    fn judge<T>(&self, address: &str, answer: &Result<T, RpcError>) {
        match answer {
            Ok(_) => self.list().leaderless = 0,
            Err(RpcError::NoLeader) => {
                let mut list = self.list();
                list.leaderless += 1;
                if list.leaderless >= LEADERLESS {
                    drop(list);
                    self.failed(address);
                }
            }
            Err(RpcError::Busy | RpcError::Refused(_) | RpcError::Codec(_)) => {}
            Err(error) if matches!(error.reach(), Reach::Answers | Reach::Refuses | Reach::Silent | Reach::Unknown) => {
                self.failed(address);
            }
            Err(_) => {}
        }
    }

    /// Keeps the list as the cluster is, for ever.
    async fn follow(self) {
        let mut rebalance = self.rebalance_at();
        loop {
            let pause = match self.learn().await {
                Ok(()) => REFRESH,
                Err(_) => UNKNOWN,
            };
            if tokio::time::Instant::now() >= rebalance {
                rebalance = self.rebalance_at();
                let moved = {
                    let mut list = self.list();
                    let before = list.known.first().cloned();
                    shuffle(&mut list.known, &self.0.runtime);
                    list.known.first() != before.as_ref()
                };
                if moved {
                    self.changed();
                }
            }
            let pause = pause + self.0.runtime.seeds.jitter(pause / 4);
            let asked = self.0.refresh.notified();
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // Not more often than it helps.
                () = asked => tokio::time::sleep(UNKNOWN).await,
            }
        }
    }

    fn rebalance_at(&self) -> tokio::time::Instant {
        tokio::time::Instant::now() + REBALANCE + self.0.runtime.seeds.jitter(REBALANCE)
    }

    /// Asks the server in use who the others are.
    async fn learn(&self) -> Result<(), RpcError> {
        let (address, connection) = self.connection()?;
        let request = ServerHelloRequest { region: self.0.region.as_str().into(), ..ServerHelloRequest::default() };
        let asked = call::<_, ServerHelloResponse>(&*connection, Method::ServerHello, &request);
        let answer = tokio::time::timeout(HELLO, asked).await.unwrap_or(Err(RpcError::Unreachable));
        self.judge(&address, &answer);
        let answer = answer.inspect_err(|error| {
            tracing::debug!(%address, %error, "a server does not say who the others are");
        })?;
        let told: Vec<String> =
            answer.members.iter().map(|member| member.rpc.to_string()).filter(|rpc| !rpc.is_empty()).collect();
        if told.is_empty() {
            return Err(RpcError::NoLeader);
        }
        let mut list = self.list();
        let current = list.known.first().cloned();
        // The one in use may be known by another name; it stays as long as it answers.
        let mut known: Vec<String> = current.into_iter().collect();
        let mut others: Vec<String> = told.into_iter().filter(|rpc| !known.contains(rpc)).collect();
        shuffle(&mut others, &self.0.runtime);
        known.extend(others);
        known.truncate(MOST);
        list.known = known;
        Ok(())
    }
}

fn shuffle(addresses: &mut [String], runtime: &Runtime) {
    for at in (1..addresses.len()).rev() {
        addresses.swap(at, (runtime.seeds.seed() % (at as u64 + 1)) as usize);
    }
}

#[async_trait]
impl Connection for Servers {
    async fn call(&self, method: Method, request: Vec<u8>) -> Result<Vec<u8>, RpcError> {
        let mut tries = self.list().known.len().clamp(1, 3);
        loop {
            let (address, connection) = self.connection()?;
            let answer = connection.call(method, request.clone()).await;
            self.judge(&address, &answer);
            tries -= 1;
            // What did not happen may be asked of the next at once.
            let next =
                matches!(&answer, Err(error) if error.reach() == Reach::Refuses || error.reach() == Reach::Silent);
            if tries == 0 || !next {
                return answer;
            }
        }
    }

    /// The subscription ends when another server is used, so that whoever holds it subscribes there.
    async fn subscribe(&self, method: Method, request: Vec<u8>) -> Result<Updates, RpcError> {
        let mut changes = self.0.changes.subscribe();
        changes.mark_unchanged();
        let (address, connection) = self.connection()?;
        let opened = connection.subscribe(method, request).await;
        self.judge(&address, &opened);
        let mut messages = opened?;
        if method == Method::NodeControl {
            self.list().control = Some(address.clone());
        }
        let (sender, receiver) = mpsc::channel(WAITING);
        let servers = self.clone();
        self.0.runtime.tasks.spawn(TaskKind::ClientStream, async move {
            loop {
                tokio::select! {
                    message = messages.next_encoded() => match message {
                        Some(message) => {
                            if sender.send(message).await.is_err() {
                                return;
                            }
                        }
                        None => break,
                    },
                    _ = changes.changed() => return,
                    () = sender.closed() => return,
                }
            }
            // The server ended it, or is gone.
            servers.failed(&address);
        });
        Ok(Updates::new(receiver))
    }

    async fn tunnel(&self, hello: TunnelHello) -> Result<Tunnel, RpcError> {
        if let TunnelHello::Reverse { .. } = hello {
            let address = self.list().control.clone().ok_or(RpcError::Unreachable)?;
            return self.0.dial.dial(&address).tunnel(hello).await;
        }
        let (address, connection) = self.connection()?;
        let opened = connection.tunnel(hello).await;
        self.judge(&address, &opened);
        opened
    }
}

#[cfg(test)]
mod tests {
    use nomadd_rpc::ServerAddress;

    use super::*;

    /// Servers by address; those in `down` refuse.
    #[derive(Debug, Default)]
    struct Fake {
        down: Mutex<Vec<String>>,
    }
    #[derive(Debug)]
    struct To(Arc<Fake>, String);

    #[derive(Debug)]
    struct FakeDial(Arc<Fake>);

    #[async_trait]
    impl Dial for FakeDial {
        fn dial(&self, address: &str) -> Arc<dyn Connection> {
            Arc::new(To(Arc::clone(&self.0), address.to_owned()))
        }
    }
    #[async_trait]
    impl Connection for To {
        async fn call(&self, method: Method, _: Vec<u8>) -> Result<Vec<u8>, RpcError> {
            if self.0.down.lock().unwrap().contains(&self.1) {
                return Err(RpcError::ConnectionRefused { address: self.1.clone() });
            }
            let member = |rpc: &str| ServerAddress { rpc: rpc.into(), ..ServerAddress::default() };
            Ok(match method {
                Method::ServerHello => nomadd_rpc::encode(&ServerHelloResponse {
                    members: vec![member("a:1"), member("b:1"), member("c:1")],
                    ..ServerHelloResponse::default()
                })?,
                _ => self.1.clone().into_bytes(),
            })
        }
        async fn subscribe(&self, _: Method, _: Vec<u8>) -> Result<Updates, RpcError> {
            let (sender, receiver) = mpsc::channel(1);
            std::mem::forget(sender);
            Ok(Updates::new(receiver))
        }
        async fn tunnel(&self, _: TunnelHello) -> Result<Tunnel, RpcError> {
            Err(RpcError::Unreachable)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_learns_the_servers_and_goes_on_with_the_next_when_one_is_gone() {
        let fake = Arc::new(Fake::default());
        let servers =
            Servers::start(vec!["a:1".into()], "global", Arc::new(FakeDial(Arc::clone(&fake))), Runtime::simulated(7));
        while servers.addresses().len() < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(servers.call(Method::NodeHeartbeat, Vec::new()).await.unwrap(), b"a:1");
        let mut updates = servers.subscribe(Method::NodeAllocations, Vec::new()).await.unwrap();
        fake.down.lock().unwrap().push("a:1".into());
        let other = String::from_utf8(servers.call(Method::NodeHeartbeat, Vec::new()).await.unwrap()).unwrap();
        assert!(other == "b:1" || other == "c:1", "{other}");
        let ended = updates.next::<ServerHelloResponse>().await;
        assert!(ended.is_none(), "the subscription with the dead server ends");
    }
}
