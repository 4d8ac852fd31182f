//! A server in a temporary folder, and nodes that run nothing but report as if they did.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nomadd_model::{
    AllocDeploymentStatus, AllocationId, ClientStatus, DesiredStatus, DriverInfo, JobRegisterRequest,
    JobRegisterResponse, JobType, Node, NodeId, NodeStatus, TaskState, TaskStatus, spec,
};
use nomadd_raft::{Durability, Raft};
use nomadd_rpc::connection::call;
use nomadd_rpc::{
    AllocationUpdate, Connection, InProcess, Method, NodeAllocationUpdateRequest, NodeAllocationUpdateResponse,
    NodeAllocations, NodeAllocationsRequest, NodeHeartbeatRequest, NodeHeartbeatResponse, NodeRegisterRequest,
    NodeRegisterResponse, NodeSecret, encode,
};
use nomadd_runtime::{Runtime, TaskKind};
use nomadd_server::nodes::NodeService;
use nomadd_server::{Caller, Config, Server};
use nomadd_state::{State, Table, WatchKey};
use tempfile::TempDir;

/// How long a story may take to come true.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Host {
    pub server: Server,
    pub connection: Arc<dyn Connection>,
    raft: Raft,
    runtime: Runtime,
    folder: TempDir,
}

impl Host {
    pub async fn start(change: impl FnOnce(&mut Config)) -> Self {
        Self::open(tempfile::tempdir().unwrap(), change).await
    }

    pub async fn open(folder: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let runtime = Runtime::real(2);
        let name = nomadd_raft::Server { name: "server.global".into(), address: "127.0.0.1:4647".into() };
        let config = nomadd_raft::Config::new(folder.path().join("raft"), name, Durability::NoSync, runtime.clone());
        let (raft, _) = Raft::open(config).await.unwrap();
        let mut config = Config::new(folder.path().join("server"));
        change(&mut config);
        let server = Server::start(config, raft.clone(), runtime.clone()).unwrap();
        let connection = Arc::new(InProcess::new(Arc::new(NodeService::new(server.clone()))));
        Self { server, connection, raft, runtime, folder }
    }

    /// Stops everything and leaves the folder.
    pub async fn stop(self) -> TempDir {
        self.runtime.tasks.cancel();
        self.raft.shutdown().await;
        self.folder
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits for something to be so.
    pub async fn until<T>(&self, what: &str, condition: impl Fn(&State) -> Option<T>) -> T {
        let watcher = self.server.watch(Table::ALL.map(WatchKey::Table));
        let waiting = async {
            loop {
                if let Some(found) = condition(&self.server.state()) {
                    return found;
                }
                watcher.changed().await;
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(found) => found,
            Err(_) => {
                let state = self.server.state();
                for evaluation in state.evaluations() {
                    eprintln!(
                        "evaluation {} {} {} {:?} {:?}",
                        evaluation.id.short(),
                        evaluation.triggered_by,
                        evaluation.status,
                        evaluation.status_description,
                        evaluation.failed_tg_allocs,
                    );
                }
                for found in state.allocations() {
                    eprintln!(
                        "allocation {} {} {} {} {:?} on {}",
                        found.id.short(),
                        found.name,
                        found.desired_status,
                        found.client_status,
                        found.deployment_status,
                        found.node_id.short()
                    );
                }
                for found in state.deployments() {
                    eprintln!("deployment {found:?}");
                }
                panic!("waited in vain for: {what}; {:?}", self.server.queue_stats());
            }
        }
    }

    pub async fn register(&self, job: spec::Job) -> JobRegisterResponse {
        let request = JobRegisterRequest { job: Some(job), ..JobRegisterRequest::default() };
        nomadd_server::jobs::register(&self.server, &Caller::anonymous(), request).await.unwrap().1
    }
}

/// A job of one group with one task.
pub fn job(id: &str, change: impl FnOnce(&mut serde_json::Value)) -> spec::Job {
    let mut job = serde_json::json!({
        "ID": id, "Name": id, "Type": "service", "Datacenters": ["dc1"],
        "TaskGroups": [{
            "Name": "g", "Count": 1,
            "Tasks": [{ "Name": "t", "Driver": "mock_driver", "Resources": { "CPU": 100, "MemoryMB": 100 } }],
        }],
    });
    change(&mut job);
    serde_json::from_value(job).unwrap()
}

/// What a fake node does with its allocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Reports them as running and healthy, and as complete once they are to stop.
    Run,
    /// Reports them as failed.
    Fail,
    /// Reports them as complete.
    Complete,
}

pub struct FakeNode {
    pub id: NodeId,
    pub secret: NodeSecret,
    pub connection: Arc<dyn Connection>,
    tasks: nomadd_runtime::Tasks,
    behaviour: Arc<Mutex<Behaviour>>,
}

pub fn node(number: u8) -> Node {
    let mut node = Node {
        id: NodeId::from_random([number; 16]),
        name: format!("node{number}").into(),
        datacenter: "dc1".into(),
        node_pool: "default".into(),
        status: NodeStatus::Ready,
        ..Node::default()
    };
    node.node_resources.cpu.cpu_shares = 4000;
    node.node_resources.memory.memory_mb = 8000;
    node.node_resources.disk.disk_mb = 100_000;
    node.node_resources.min_dynamic_port = 20_000;
    node.node_resources.max_dynamic_port = 32_000;
    node.attributes.insert("kernel.name".into(), "linux".into());
    node.attributes.insert("driver.mock_driver".into(), "1".into());
    node.attributes.insert("nomad.service_discovery".into(), "true".into());
    let driver = DriverInfo { detected: true, healthy: true, ..DriverInfo::default() };
    node.drivers.insert("mock_driver".into(), driver);
    node
}

impl FakeNode {
    pub async fn start(host: &Host, number: u8, behaviour: Behaviour) -> Self {
        let node = node(number);
        let fake = Self {
            id: node.id,
            secret: NodeSecret([number; 16]),
            connection: Arc::clone(&host.connection),
            tasks: host.runtime.tasks.child(),
            behaviour: Arc::new(Mutex::new(behaviour)),
        };
        fake.register(node).await;
        fake.tasks.spawn(TaskKind::ClientLoop, fake.clone_parts().run());
        fake.tasks.spawn(TaskKind::ClientStream, fake.clone_parts().beat());
        fake
    }

    fn clone_parts(&self) -> Parts {
        Parts {
            id: self.id,
            secret: self.secret,
            connection: Arc::clone(&self.connection),
            behaviour: Arc::clone(&self.behaviour),
        }
    }

    pub async fn register(&self, node: Node) {
        let request = NodeRegisterRequest { node, secret: self.secret };
        let _: NodeRegisterResponse = call(&*self.connection, Method::NodeRegister, &request).await.unwrap();
    }

    pub fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    /// The node falls silent.
    pub fn stop(&self) {
        self.tasks.cancel();
    }

    /// Sends one heartbeat.
    pub async fn heartbeat(&self) -> NodeHeartbeatResponse {
        self.clone_parts().heartbeat().await.unwrap()
    }
}

struct Parts {
    id: NodeId,
    secret: NodeSecret,
    connection: Arc<dyn Connection>,
    behaviour: Arc<Mutex<Behaviour>>,
}

impl Parts {
    async fn heartbeat(&self) -> Result<NodeHeartbeatResponse, nomadd_rpc::RpcError> {
        let request = NodeHeartbeatRequest { node_id: self.id, secret: self.secret, status: NodeStatus::Ready };
        call(&*self.connection, Method::NodeHeartbeat, &request).await
    }

    async fn beat(self) {
        loop {
            let ttl = match self.heartbeat().await {
                Ok(answer) => answer.heartbeat_ttl.to_std(),
                Err(_) => Duration::from_millis(50),
            };
            tokio::time::sleep((ttl / 3).max(Duration::from_millis(20))).await;
        }
    }

    async fn run(self) {
        let request = NodeAllocationsRequest { node_id: self.id, secret: self.secret, lean: false };
        let mut stream = self.connection.subscribe(Method::NodeAllocations, encode(&request).unwrap()).await.unwrap();
        let mut done = BTreeSet::new();
        while let Some(message) = stream.next::<NodeAllocations>().await {
            let message = message.unwrap();
            let behaviour = *self.behaviour.lock().unwrap();
            let updates: Vec<_> = message
                .changed
                .into_iter()
                .filter(|assigned| !assigned.allocation.client_status.is_terminal())
                .filter_map(|assigned| {
                    let job = assigned.job.unwrap();
                    let found = assigned.allocation;
                    if found.desired_status != DesiredStatus::Run {
                        return done.insert(found.id).then(|| update(found.id, ClientStatus::Complete, None));
                    }
                    // Clients judge whatever may have to migrate, also without a deployment.
                    let judged = found.deployment_id.is_some() || job.kind == JobType::Service;
                    let healthy = judged.then_some(behaviour == Behaviour::Run);
                    let status = match behaviour {
                        Behaviour::Run => ClientStatus::Running,
                        Behaviour::Fail => ClientStatus::Failed,
                        Behaviour::Complete => ClientStatus::Complete,
                    };
                    Some(update(found.id, status, healthy))
                })
                .collect();
            if updates.is_empty() {
                continue;
            }
            let request = NodeAllocationUpdateRequest { node_id: self.id, secret: self.secret, updates, number: 0 };
            let _: NodeAllocationUpdateResponse =
                call(&*self.connection, Method::NodeUpdateAllocations, &request).await.unwrap();
        }
    }
}

fn update(id: AllocationId, client_status: ClientStatus, healthy: Option<bool>) -> AllocationUpdate {
    let clock = nomadd_runtime::Clock::system();
    let mut state = TaskState { state: TaskStatus::Running, started_at: clock.now(), ..TaskState::default() };
    if client_status.is_terminal() {
        state.state = TaskStatus::Dead;
        state.finished_at = clock.now();
        state.failed = client_status == ClientStatus::Failed;
    }
    AllocationUpdate {
        id,
        client_status,
        task_states: [("t".into(), state)].into(),
        deployment_status: healthy.map(|healthy| AllocDeploymentStatus {
            healthy: Some(healthy),
            timestamp: clock.now(),
            ..AllocDeploymentStatus::default()
        }),
        time: clock.now(),
        ..AllocationUpdate::default()
    }
}

/// The allocations of a job that are wanted and not over.
pub fn live(state: &State, id: &str) -> Vec<Arc<nomadd_model::Allocation>> {
    state
        .allocations_by_job("default", id)
        .filter(|found| found.desired_status == DesiredStatus::Run && !found.client_status.is_terminal())
        .cloned()
        .collect()
}

/// Those of them that run.
pub fn running(state: &State, id: &str) -> usize {
    live(state, id).iter().filter(|found| found.client_status == ClientStatus::Running).count()
}
