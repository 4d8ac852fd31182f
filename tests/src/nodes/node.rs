//! One simulated node: its registration, its heartbeats, its streams, and its mock tasks.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nomadd_model::{
    AllocDeploymentStatus, AllocationId, ClientStatus, DesiredStatus, DriverInfo, NodeId, NodeNetworkAddress,
    NodeNetworkResource, NodeStatus, TaskEvent, TaskEventKind, TaskState, TaskStatus, Time,
};
use nomadd_rpc::connection::call;
use nomadd_rpc::{
    AllocationUpdate, Connection, Method, NodeAllocationUpdateRequest, NodeAllocationUpdateResponse,
    NodeAllocationsRequest, NodeControlRequest, NodeHeartbeatRequest, NodeHeartbeatResponse, NodeRegisterRequest,
    NodeRegisterResponse, NodeSecret, encode,
};
use nomadd_runtime::Runtime;
use tokio::sync::{Notify, watch};

use super::Counts;
use super::pushed::{Assignment, Pushed};

/// The pause before anything is tried again, with as much jitter.
const PAUSE: Duration = Duration::from_millis(200);
/// The most updates in one batch, as the client's.
const BATCH: usize = 1024;

/// A node.
pub struct Node {
    number: usize,
    id: NodeId,
    secret: NodeSecret,
    servers: Arc<dyn Connection>,
    counts: Arc<Counts>,
    runtime: Runtime,
    registered: watch::Sender<u64>,
    held: Mutex<Held>,
    changed: Notify,
}

#[derive(Default)]
struct Held {
    /// Every allocation here, and whether its task was stopped.
    allocations: HashMap<AllocationId, bool>,
    /// What has to be told.
    waiting: Vec<AllocationUpdate>,
    seen: bool,
}

impl Node {
    /// The node of a number.
    pub fn new(number: usize, servers: Arc<dyn Connection>, counts: Arc<Counts>, runtime: Runtime) -> Arc<Self> {
        let mut id = [0; 16];
        // Spread, as random ids are.
        id[..8].copy_from_slice(&(number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        id[8..].copy_from_slice(&(number as u64).to_be_bytes());
        Arc::new(Self {
            number,
            id: NodeId(id),
            secret: NodeSecret(runtime.seeds.id()),
            servers,
            counts,
            runtime,
            registered: watch::Sender::new(0),
            held: Mutex::default(),
            changed: Notify::new(),
        })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn failed(&self) {
        Counts::add(&self.counts.failures, 1);
        tokio::time::sleep(PAUSE + self.runtime.seeds.jitter(PAUSE)).await;
    }

    /// What the node tells of itself: room for some hundred small allocations.
    fn describe(&self) -> nomadd_model::Node {
        let mut node = nomadd_model::Node {
            id: self.id,
            name: format!("simulated-{}", self.number).into(),
            datacenter: "dc1".into(),
            node_pool: "default".into(),
            status: NodeStatus::Ready,
            http_addr: format!("127.0.0.1:{}", 20_000 + self.number % 40_000),
            ..nomadd_model::Node::default()
        };
        let attributes = [
            ("kernel.name", "linux"),
            ("cpu.arch", "amd64"),
            ("os.name", "debian"),
            ("driver.raw_exec", "1"),
            ("driver.exec", "1"),
            ("nomad.version", "2.0.5"),
        ];
        node.attributes = attributes.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        node.attributes.insert("unique.hostname".into(), node.name.clone());
        for driver in ["raw_exec", "exec"] {
            let info = DriverInfo { detected: true, healthy: true, ..DriverInfo::default() };
            node.drivers.insert(driver.into(), info);
        }
        let resources = &mut node.node_resources;
        resources.cpu.cpu_shares = 8 * 3_000;
        resources.cpu.total_cpu_cores = 8;
        resources.memory.memory_mb = 8_192;
        resources.disk.disk_mb = 500_000;
        (resources.min_dynamic_port, resources.max_dynamic_port) = (20_000, 32_000);
        let address = NodeNetworkAddress {
            address: "127.0.0.1".into(),
            alias: "default".into(),
            family: "ipv4".into(),
            ..NodeNetworkAddress::default()
        };
        resources.node_networks = vec![NodeNetworkResource {
            device: "lo".into(),
            mode: "host".into(),
            speed: 1000,
            addresses: vec![address],
            ..NodeNetworkResource::default()
        }];
        node
    }

    /// Registers, then sends heartbeats; registers anew when a server does not know the node.
    pub async fn keep_registered(self: Arc<Self>) {
        let request = NodeRegisterRequest { node: self.describe(), secret: self.secret };
        loop {
            let asked = call::<_, NodeRegisterResponse>(&*self.servers, Method::NodeRegister, &request).await;
            let mut ttl = match asked {
                Ok(answer) => answer.heartbeat_ttl.to_std(),
                Err(error) => {
                    if !error.is_transient() && self.number == 0 {
                        eprintln!("a server refuses a node: {error}");
                    }
                    self.failed().await;
                    continue;
                }
            };
            self.registered.send_modify(|count| {
                if *count == 0 {
                    Counts::add(&self.counts.registered, 1);
                }
                *count += 1;
            });
            loop {
                let rest = (ttl / 2).max(PAUSE);
                tokio::time::sleep(rest + self.runtime.seeds.jitter(rest / 8)).await;
                let request = NodeHeartbeatRequest { node_id: self.id, secret: self.secret, status: NodeStatus::Ready };
                match call::<_, NodeHeartbeatResponse>(&*self.servers, Method::NodeHeartbeat, &request).await {
                    Ok(answer) if answer.unknown => break,
                    Ok(answer) => ttl = answer.heartbeat_ttl.to_std(),
                    Err(_) => {
                        self.failed().await;
                        ttl = PAUSE;
                    }
                }
            }
        }
    }

    async fn is_registered(&self) {
        let mut registered = self.registered.subscribe();
        // The sender lives as long as the node.
        let _known = registered.wait_for(|count| *count > 0).await;
    }

    /// Takes what servers push.
    pub async fn keep_subscribed(self: Arc<Self>) {
        self.is_registered().await;
        let request = NodeAllocationsRequest { node_id: self.id, secret: self.secret, lean: true };
        let Ok(request) = encode(&request) else { return };
        loop {
            if let Ok(mut updates) = self.servers.subscribe(Method::NodeAllocations, request.clone()).await {
                while let Some(bytes) = updates.next_encoded().await {
                    Counts::add(&self.counts.messages, 1);
                    Counts::add(&self.counts.bytes, bytes.len() as u64);
                    match nomadd_rpc::decode::<Pushed>(&bytes) {
                        Ok(pushed) => self.take(pushed),
                        Err(error) => {
                            eprintln!("a message of a server cannot be read: {error}");
                            break;
                        }
                    }
                }
            }
            self.failed().await;
        }
    }

    fn take(&self, pushed: Pushed) {
        let mut held = self.held();
        let had = held.allocations.len();
        if !std::mem::replace(&mut held.seen, true) {
            Counts::add(&self.counts.subscribed, 1);
        }
        if pushed.full {
            let all: HashSet<_> = pushed.changed.iter().map(|one| one.allocation.id).collect();
            held.allocations.retain(|id, _| all.contains(id));
        }
        for id in &pushed.removed {
            held.allocations.remove(id);
        }
        let now = self.runtime.clock.now();
        for one in pushed.changed {
            let assignment = one.allocation;
            let wanted = assignment.desired_status == DesiredStatus::Run;
            match held.allocations.get(&assignment.id) {
                Some(false) if !wanted => {
                    held.allocations.insert(assignment.id, true);
                    held.waiting.push(told(&assignment, ClientStatus::Complete, now));
                    Counts::add(&self.counts.stopped, 1);
                }
                Some(_) => {}
                None => {
                    let starts = wanted && !assignment.client_status.is_terminal();
                    held.allocations.insert(assignment.id, !starts);
                    if starts {
                        held.waiting.push(told(&assignment, ClientStatus::Running, now));
                    }
                }
            }
        }
        let has = held.allocations.len();
        drop(held);
        self.counts.assigned.fetch_add((has as u64).wrapping_sub(had as u64), Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Tells servers what became of allocations, one batch at a time.
    pub async fn keep_telling(self: Arc<Self>) {
        self.is_registered().await;
        loop {
            let changed = self.changed.notified();
            let updates: Vec<_> = {
                let mut held = self.held();
                let most = held.waiting.len().min(BATCH);
                held.waiting.drain(..most).collect()
            };
            if updates.is_empty() {
                changed.await;
                continue;
            }
            let running = updates.iter().filter(|update| update.client_status == ClientStatus::Running).count();
            // Until this batch is acknowledged no other goes: nothing is lost, and the order is kept.
            let request = NodeAllocationUpdateRequest { node_id: self.id, secret: self.secret, updates, number: 0 };
            let method = Method::NodeUpdateAllocations;
            while call::<_, NodeAllocationUpdateResponse>(&*self.servers, method, &request).await.is_err() {
                self.failed().await;
            }
            Counts::add(&self.counts.batches, 1);
            Counts::add(&self.counts.running, running as u64);
        }
    }

    /// Holds the control stream; opens no tunnels, as there is nothing behind them.
    pub async fn keep_offering(self: Arc<Self>) {
        self.is_registered().await;
        let Ok(request) = encode(&NodeControlRequest { node_id: self.id, secret: self.secret }) else { return };
        loop {
            if let Ok(mut orders) = self.servers.subscribe(Method::NodeControl, request.clone()).await {
                while orders.next_encoded().await.is_some() {}
            }
            self.failed().await;
        }
    }
}

/// What the client tells of an allocation whose tasks run, or were stopped: the events are those of a real task.
fn told(assignment: &Assignment, status: ClientStatus, now: Time) -> AllocationUpdate {
    let runs = status == ClientStatus::Running;
    let mut kinds = vec![TaskEventKind::Received, TaskEventKind::Setup, TaskEventKind::Started];
    if !runs {
        kinds.push(TaskEventKind::Killed);
    }
    let state = TaskState {
        events: kinds.into_iter().map(|kind| TaskEvent::new(kind, now)).collect(),
        started_at: now,
        finished_at: if runs { Time::default() } else { now },
        state: if runs { TaskStatus::Running } else { TaskStatus::Dead },
        ..TaskState::default()
    };
    let names = assignment.allocated_resources.tasks.keys();
    AllocationUpdate {
        id: assignment.id,
        client_status: status,
        client_description: if runs { "Tasks are running" } else { "All tasks have completed" }.into(),
        task_states: names.map(|name| (name.clone(), state.clone())).collect(),
        deployment_status: (runs && assignment.deployment_id.is_some()).then(|| AllocDeploymentStatus {
            healthy: Some(true),
            timestamp: now,
            ..AllocDeploymentStatus::default()
        }),
        network_status: None,
        time: now,
    }
}
