//! A server that the tests hold in their hand, and what they need around a client: folders, jobs, waiting for conditions.
//!
//! Shared by the test files of this crate; not a test itself.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use nomadd_client::{Client, ClientConfig};
use nomadd_model::{
    AllocatedResources, AllocatedTaskResources, Allocation, AllocationId, Bytes, ClientStatus, DesiredStatus, Job,
    JobType, RestartPolicy, Task, TaskGroup, Text,
};
use nomadd_rpc::{
    AllocationUpdate, AssignedAllocation, InProcess, Method, NodeAllocationUpdateRequest, NodeAllocationUpdateResponse,
    NodeAllocations, NodeHeartbeatResponse, NodeRegisterRequest, NodeRegisterResponse, Peer, RpcError, Service, Tunnel,
    TunnelHello, decode, encode,
};
use nomadd_runtime::Runtime;
use serde_json::json;
use tokio::sync::{mpsc, watch};

/// A folder for one test.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("nomadd-client-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if let Ok(allocations) = std::fs::read_dir(self.0.join("alloc")) {
            for entry in allocations.flatten() {
                let id = entry.file_name().to_string_lossy().parse().unwrap_or_default();
                drop(nomadd_client::directory::AllocationDirectory::new(&self.0.join("alloc"), id).destroy());
            }
        }
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// A server that does as it is told.
#[derive(Default)]
pub struct Server {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    unreachable: bool,
    allocations: BTreeMap<AllocationId, AssignedAllocation>,
    updates: Vec<AllocationUpdate>,
    subscribers: Vec<mpsc::Sender<Vec<u8>>>,
}

impl Server {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }
    fn changed(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
    fn push(state: &mut State, message: &NodeAllocations) {
        let bytes = encode(&lean(message.clone())).unwrap();
        // A node that does not read in time has to subscribe anew.
        state.subscribers.retain(|subscriber| subscriber.try_send(bytes.clone()).is_ok());
    }
    /// Assigns (or changes) an allocation.
    pub fn assign(&self, assigned: AssignedAllocation) -> AllocationId {
        let id = assigned.allocation.id;
        self.assign_all(vec![assigned]);
        id
    }
    /// Assigns several at a time.
    pub fn assign_all(&self, changed: Vec<AssignedAllocation>) {
        let mut state = self.state.lock().unwrap();
        for assigned in &changed {
            state.allocations.insert(assigned.allocation.id, assigned.clone());
        }
        Self::push(&mut state, &NodeAllocations { index: 1, changed, ..NodeAllocations::default() });
    }
    /// Wants an allocation no more.
    pub fn stop(&self, id: AllocationId) {
        self.change(id, |allocation| allocation.desired_status = DesiredStatus::Stop);
    }
    pub fn change(&self, id: AllocationId, change: impl FnOnce(&mut Allocation)) {
        let mut assigned = self.state.lock().unwrap().allocations[&id].clone();
        change(&mut assigned.allocation);
        self.assign(assigned);
    }
    /// Forgets an allocation.
    pub fn remove(&self, id: AllocationId) {
        let mut state = self.state.lock().unwrap();
        state.allocations.remove(&id);
        Self::push(&mut state, &NodeAllocations { index: 1, removed: vec![id], ..NodeAllocations::default() });
    }
    /// Forgets an allocation without a word, as while the node was away.
    pub fn forget(&self, id: AllocationId) {
        self.state.lock().unwrap().allocations.remove(&id);
    }
    /// Refuses to answer from now on, or answers again.
    pub fn reachable(&self, reachable: bool) {
        let mut state = self.state.lock().unwrap();
        state.unreachable = !reachable;
        if !reachable {
            state.subscribers.clear();
        }
    }
    /// Everything that was told of an allocation.
    pub fn told(&self, id: AllocationId) -> Vec<AllocationUpdate> {
        self.state.lock().unwrap().updates.iter().filter(|update| update.id == id).cloned().collect()
    }
    /// Waits until what was told last of an allocation fulfils a condition.
    pub async fn wait(
        &self,
        id: AllocationId,
        what: &str,
        condition: impl Fn(&AllocationUpdate) -> bool,
    ) -> AllocationUpdate {
        let mut changed = self.changed.subscribe();
        let look = async {
            loop {
                if let Some(update) = self.told(id).last().filter(|update| condition(update)) {
                    return update.clone();
                }
                changed.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(Duration::from_secs(60), look).await {
            Ok(update) => update,
            Err(_) => panic!("waited in vain for {what}: {:#?}", self.told(id).last()),
        }
    }
    pub async fn wait_status(&self, id: AllocationId, status: ClientStatus) -> AllocationUpdate {
        self.wait(id, status.as_str(), |update| update.client_status == status).await
    }
    /// How many different allocations were told to be in a status.
    pub fn count(&self, status: ClientStatus) -> usize {
        let state = self.state.lock().unwrap();
        let mut last = BTreeMap::new();
        for update in &state.updates {
            last.insert(update.id, update.client_status);
        }
        last.values().filter(|known| **known == status).count()
    }
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

#[async_trait]
impl Service for Server {
    async fn call(&self, _: &Peer, method: Method, request: &[u8]) -> Result<Vec<u8>, RpcError> {
        let mut state = self.state.lock().unwrap();
        if state.unreachable {
            return Err(RpcError::Unreachable);
        }
        let heartbeat_ttl = nomadd_model::Duration::from_secs(1);
        let answer = match method {
            Method::NodeRegister => {
                decode::<NodeRegisterRequest>(request)?;
                encode(&NodeRegisterResponse { index: 1, heartbeat_ttl, reported: 0 })?
            }
            Method::NodeHeartbeat => encode(&NodeHeartbeatResponse { index: 1, heartbeat_ttl, unknown: false })?,
            Method::NodeUpdateAllocations => {
                let request: NodeAllocationUpdateRequest = decode(request)?;
                state.updates.extend(request.updates);
                encode(&NodeAllocationUpdateResponse { index: 1, reported: request.number })?
            }
            other => return Err(RpcError::Refused(format!("{other:?}"))),
        };
        drop(state);
        self.changed();
        Ok(answer)
    }

    async fn subscribe(&self, _: &Peer, _: Method, _: &[u8], updates: mpsc::Sender<Vec<u8>>) -> Result<(), RpcError> {
        let mut state = self.state.lock().unwrap();
        if state.unreachable {
            return Err(RpcError::Unreachable);
        }
        let changed = state.allocations.values().cloned().collect();
        let message = NodeAllocations { index: 1, full: true, changed, ..NodeAllocations::default() };
        drop(updates.try_send(encode(&lean(message))?));
        state.subscribers.push(updates);
        Ok(())
    }

    async fn tunnel(&self, _: &Peer, _: TunnelHello, _: Tunnel) -> Result<(), RpcError> {
        Err(RpcError::Refused("no tunnels here".to_owned()))
    }
}

/// The form in which servers send it to a node that asks for the lean one.
fn lean(mut message: NodeAllocations) -> NodeAllocations {
    for job in message.changed.iter_mut().filter_map(|told| told.job.take()) {
        let encoded = Bytes(encode(&*job).unwrap());
        if !message.jobs.contains(&encoded) {
            message.jobs.push(encoded);
        }
    }
    message
}

/// A client on folders of its own; `Agent::crash` leaves them to the next one.
pub struct Agent {
    pub client: Client,
    runtime: Runtime,
}

impl Agent {
    pub async fn start(server: &Arc<Server>, dir: &TempDir) -> Self {
        Self::start_with(server, dir, |_| ()).await
    }
    pub async fn start_with(server: &Arc<Server>, dir: &TempDir, change: impl FnOnce(&mut ClientConfig)) -> Self {
        let mut config = ClientConfig::dev(dir.path());
        config.cgroup_parent = "nomadd-client-tests.slice".to_owned();
        config.executor = executor();
        change(&mut config);
        let runtime = Runtime::real(2);
        let service: Arc<dyn Service> = Arc::clone(server) as Arc<dyn Service>;
        let client = Client::start(config, Arc::new(InProcess::new(service)), runtime.clone()).await.unwrap();
        client.registered().await;
        Self { client, runtime }
    }
    /// Ends the agent as a kill would: nothing is said or written any more.
    pub async fn crash(self) {
        self.runtime.tasks.shutdown().await;
        drop(self.client);
    }
}

/// The executor that was built with the tests.
fn executor() -> Option<PathBuf> {
    let program = std::env::current_exe().unwrap();
    let up = program.parent()?.parent()?.join("nomadd-executor");
    assert!(up.is_file(), "build it first: cargo build -p nomadd-executor");
    Some(up)
}

/// A task of raw_exec that runs a shell script.
pub fn script(name: &str, script: &str) -> Task {
    let mut task = Task { name: name.into(), driver: "raw_exec".to_owned(), ..Task::default() };
    task.config = json!({"command": "/bin/sh", "args": ["-c", script]}).as_object().unwrap().clone();
    task.kill_timeout = nomadd_model::Duration::from_secs(5);
    task.log_config.max_files = 3;
    task.log_config.max_file_size_mb = 1;
    task
}

/// An allocation of a job with these tasks.
pub fn allocation(kind: JobType, tasks: Vec<Task>) -> AssignedAllocation {
    assigned(kind, tasks, |_, _| ())
}

pub fn assigned(
    kind: JobType,
    tasks: Vec<Task>,
    change: impl FnOnce(&mut TaskGroup, &mut Allocation),
) -> AssignedAllocation {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    id[4..8].copy_from_slice(&std::process::id().to_be_bytes());
    let mut resources = AllocatedResources::default();
    for task in &tasks {
        let mut own = AllocatedTaskResources::default();
        (own.cpu.cpu_shares, own.memory.memory_mb) = (100, 64);
        resources.tasks.insert(task.name.clone(), own);
    }
    let restart_policy = RestartPolicy { mode: "fail".to_owned(), ..RestartPolicy::default() };
    let mut group = TaskGroup { name: "g".into(), count: 1, tasks, restart_policy, ..TaskGroup::default() };
    let mut allocation = Allocation {
        id: AllocationId::from_random(id),
        name: Text::from("job.g[0]"),
        namespace: "default".into(),
        job_id: "job".into(),
        job_create_index: u64::from(number),
        task_group: "g".into(),
        allocated_resources: Arc::new(resources),
        ..Allocation::default()
    };
    change(&mut group, &mut allocation);
    let job = Job {
        id: "job".into(),
        name: "job".into(),
        namespace: "default".into(),
        create_index: u64::from(number),
        kind,
        task_groups: vec![group],
        ..Job::default()
    };
    AssignedAllocation { allocation, job: Some(Arc::new(job)) }
}

/// What people read of a task's events.
pub fn messages(update: &AllocationUpdate, task: &str) -> Vec<String> {
    update.task_states[task].events.iter().map(nomadd_model::TaskEvent::display_message).collect()
}

/// Waits for a condition that nobody announces.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
