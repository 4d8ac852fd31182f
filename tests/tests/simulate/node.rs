//! A node that runs nothing but behaves as a client: registers, sends heartbeats, takes its allocations from a stream, and reports
//! every status once, in order, for as long as it takes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nomadd_model::{
    AllocDeploymentStatus, AllocationId, ClientStatus, DesiredStatus, DriverInfo, Node, NodeId, NodeNetworkAddress,
    NodeNetworkResource, NodeStatus, TaskState, TaskStatus,
};
use nomadd_rpc::connection::call;
use nomadd_rpc::{
    AllocationUpdate, Method, NodeAllocationUpdateRequest, NodeAllocationUpdateResponse, NodeAllocations,
    NodeAllocationsRequest, NodeHeartbeatRequest, NodeHeartbeatResponse, NodeRegisterRequest, NodeRegisterResponse,
    NodeSecret, RpcError, encode,
};

use super::net::{Life, Link, Net};

/// What every node has.
pub const MEMORY: i64 = 1000;
const TURN: Duration = Duration::from_secs(3);

/// What a node says of an allocation: the number of its newest word, and the status in it.
pub type Said = BTreeMap<AllocationId, (u64, ClientStatus)>;

/// A node.
#[derive(Clone)]
pub struct FakeNode {
    pub id: NodeId,
    pub address: String,
    secret: NodeSecret,
    servers: Vec<String>,
    net: Arc<Net>,
    inner: Arc<Mutex<Inner>>,
    wake: Arc<tokio::sync::Notify>,
}

#[derive(Default)]
struct Inner {
    said: Said,
    words: u64,
    queue: VecDeque<AllocationUpdate>,
    /// Allocations fail now and then.
    failing: bool,
    sent: u64,
    /// The number of the newest batch.
    number: u64,
}

pub fn described(number: u8) -> Node {
    let mut node = Node {
        id: NodeId::from_random([number + 1; 16]),
        name: format!("n{number}").into(),
        datacenter: "dc1".into(),
        node_pool: "default".into(),
        status: NodeStatus::Ready,
        ..Node::default()
    };
    node.node_resources.cpu.cpu_shares = 4000;
    node.node_resources.memory.memory_mb = MEMORY;
    node.node_resources.disk.disk_mb = 100_000;
    node.node_resources.min_dynamic_port = 20_000;
    node.node_resources.max_dynamic_port = 20_010;
    node.node_resources.node_networks = vec![NodeNetworkResource {
        mode: "host".into(),
        device: "eth0".into(),
        addresses: vec![NodeNetworkAddress {
            address: format!("10.0.0.{}", number + 1),
            alias: "default".into(),
            ..NodeNetworkAddress::default()
        }],
        ..NodeNetworkResource::default()
    }];
    node.attributes.insert("kernel.name".into(), "linux".into());
    node.attributes.insert("driver.mock_driver".into(), "1".into());
    node.attributes.insert("nomad.service_discovery".into(), "true".into());
    node.drivers.insert("mock_driver".into(), DriverInfo { detected: true, healthy: true, ..DriverInfo::default() });
    node
}

impl FakeNode {
    pub fn start(number: u8, servers: &[String], net: &Arc<Net>) -> Self {
        let node = Self {
            id: described(number).id,
            address: format!("n{number}"),
            secret: NodeSecret([number + 1; 16]),
            servers: servers.to_vec(),
            net: Arc::clone(net),
            inner: Arc::default(),
            wake: Arc::default(),
        };
        tokio::spawn(node.clone().beat(number));
        tokio::spawn(node.clone().follow());
        tokio::spawn(node.clone().report());
        node
    }
    /// Whether allocations fail now and then.
    pub fn fail(&self, failing: bool) {
        self.inner.lock().unwrap().failing = failing;
    }
    /// What it last said of each allocation, and how many words are not acknowledged yet.
    pub fn said(&self) -> (Said, usize) {
        let inner = self.inner.lock().unwrap();
        (inner.said.clone(), inner.queue.len())
    }

    fn server(&self) -> Arc<Link> {
        self.net.link(&self.address, &Life::begin(), self.net.dice.pick::<String>(&self.servers))
    }
    async fn ask<Q: serde::Serialize + Sync, A: serde::de::DeserializeOwned>(
        &self,
        server: &Link,
        method: Method,
        request: &Q,
    ) -> Result<A, RpcError> {
        tokio::time::timeout(TURN, call(server, method, request)).await.unwrap_or(Err(RpcError::Unreachable))
    }

    async fn beat(self, number: u8) {
        let mut registered = false;
        let mut server = self.server();
        loop {
            let answer = if registered {
                let request = NodeHeartbeatRequest { node_id: self.id, secret: self.secret, status: NodeStatus::Ready };
                self.ask::<_, NodeHeartbeatResponse>(&server, Method::NodeHeartbeat, &request)
                    .await
                    .map(|answer| registered = !answer.unknown)
            } else {
                let request = NodeRegisterRequest { node: described(number), secret: self.secret };
                self.ask::<_, NodeRegisterResponse>(&server, Method::NodeRegister, &request)
                    .await
                    .map(|_| registered = true)
            };
            let rest = match answer {
                Ok(()) => Duration::from_millis(700),
                Err(_) => {
                    server = self.server();
                    Duration::from_millis(100)
                }
            };
            tokio::time::sleep(rest).await;
        }
    }

    async fn follow(self) {
        let request = NodeAllocationsRequest { node_id: self.id, secret: self.secret, lean: false };
        loop {
            let asked = tokio::time::timeout(TURN, async {
                self.server().subscribe_to(Method::NodeAllocations, encode(&request).unwrap()).await
            });
            let Ok(Ok(mut stream)) = asked.await else {
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            };
            while let Some(Ok(message)) = stream.next::<NodeAllocations>().await {
                self.take(message);
            }
        }
    }

    fn take(&self, message: NodeAllocations) {
        for assigned in message.changed {
            let found = assigned.allocation;
            let known = self.inner.lock().unwrap().said.get(&found.id).map(|(_, status)| *status);
            let wanted = found.desired_status == DesiredStatus::Run;
            match known {
                None if found.client_status.is_terminal() => {}
                None if wanted => {
                    self.say(found.id, ClientStatus::Pending);
                    let node = self.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(node.net.dice.millis(5, 60)).await;
                        node.go_on(found.id, ClientStatus::Running);
                        let failing = node.inner.lock().unwrap().failing;
                        if failing && node.net.dice.chance(100) {
                            tokio::time::sleep(node.net.dice.millis(5, 2000)).await;
                            node.go_on(found.id, ClientStatus::Failed);
                        }
                    });
                }
                Some(status) if wanted || status.is_terminal() => {}
                _ => self.say(found.id, ClientStatus::Complete),
            }
        }
    }

    fn go_on(&self, id: AllocationId, status: ClientStatus) {
        let over = self.inner.lock().unwrap().said.get(&id).is_some_and(|(_, status)| status.is_terminal());
        if !over {
            self.say(id, status);
        }
    }

    fn say(&self, id: AllocationId, status: ClientStatus) {
        let mut inner = self.inner.lock().unwrap();
        inner.words += 1;
        let number = inner.words;
        inner.said.insert(id, (number, status));
        let dead = status.is_terminal();
        let state = if dead { TaskStatus::Dead } else { TaskStatus::Running };
        let failed = status == ClientStatus::Failed;
        let state = TaskState { state, failed, ..TaskState::default() };
        let healthy = (status == ClientStatus::Running)
            .then(|| AllocDeploymentStatus { healthy: Some(true), ..AllocDeploymentStatus::default() });
        inner.queue.push_back(AllocationUpdate {
            id,
            client_status: status,
            client_description: number.to_string().into(),
            task_states: [("t".into(), state)].into(),
            deployment_status: healthy,
            ..AllocationUpdate::default()
        });
        self.wake.notify_one();
    }

    /// One batch at a time; the next only when it is acknowledged.
    async fn report(self) {
        loop {
            let updates: Vec<_> = self.inner.lock().unwrap().queue.iter().take(8).cloned().collect();
            if updates.is_empty() {
                self.wake.notified().await;
                continue;
            }
            let count = updates.len();
            let (node_id, secret, method) = (self.id, self.secret, Method::NodeUpdateAllocations);
            let mut request = NodeAllocationUpdateRequest { node_id, secret, updates, number: 0 };
            loop {
                request.number = {
                    let mut inner = self.inner.lock().unwrap();
                    inner.number += 1;
                    inner.number
                };
                let server = self.server();
                match self.ask::<_, NodeAllocationUpdateResponse>(&server, method, &request).await {
                    Ok(answer) if answer.reported <= request.number => break,
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
            let mut inner = self.inner.lock().unwrap();
            inner.queue.drain(..count);
            inner.sent += 1;
        }
    }
}
