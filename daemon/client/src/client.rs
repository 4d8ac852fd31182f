//! The handle on a running client, and the set of its allocations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nomadd_driver::Registry;
use nomadd_model::{AllocationId, Bytes, ClientStatus, Job, Node, NodeId, Time};
use nomadd_network::Networks;
use nomadd_rpc::{AllocationUpdate, AssignedAllocation, Connection, NodeAllocations};
use nomadd_runtime::{Runtime, TaskKind};
use nomadd_supervisor::{Supervisor, TaskHandleId};
use tokio::sync::{oneshot, watch};

use crate::allocation::network;
use crate::allocation::runner::{self, Origin, Previous, Runner};
use crate::allocation::shared::{Message, Occasion, RequestError, Restart, Shared, group_of};
use crate::config::ClientConfig;
use crate::context::{Context, Parts};
use crate::fingerprint;
use crate::gc;
use crate::identity::{self, IdentityError, StateLock};
use crate::metadata::{self, Changes, Dynamic, Metadata, MetadataError};
use crate::server;
use crate::stats;
use crate::store::{Kept, Store, StoreError};
use crate::updates::Urgency;

/// How long a change of metadata waits for servers to know it.
const REGISTERED_WITHIN: Duration = Duration::from_secs(3);

/// A running client; a clone is the same one.
#[derive(Clone, Debug)]
pub struct Client(pub(crate) Arc<Inner>);

/// What a client consists of.
#[derive(Debug)]
pub struct Inner {
    /// What all parts share.
    pub context: Arc<Context>,
    /// How often servers have taken the node's registration.
    pub registered: server::Registered,
    /// When a server last answered, in nanoseconds.
    pub last_contact: AtomicI64,
    /// When this client began, and how many milliseconds after that a server last answered: a clock that is set ends nothing.
    pub begun: tokio::time::Instant,
    /// See `begun`.
    pub heard: AtomicU64,
    /// Asks for a heartbeat now.
    pub beat: tokio::sync::Notify,
    /// What the host used when it was last asked.
    pub host_usage: stats::HostUsage,
    allocations: Mutex<BTreeMap<AllocationId, Arc<Shared>>>,
    _lock: StateLock,
}

/// Why a client does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The node's identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The local state.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The directory of allocations.
    #[error("cannot make the directory of allocations {}", path.display())]
    AllocDir {
        /// The directory.
        path: std::path::PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Processes cannot be run here.
    #[error("cannot run processes on this host")]
    Supervisor(#[from] nomadd_supervisor::ChooseError),
    /// The drivers' configuration.
    #[error("cannot set up the task drivers")]
    Drivers(#[from] nomadd_driver::ConfigError),
    /// What the host has cannot be told.
    #[error(transparent)]
    Fingerprint(#[from] fingerprint::FingerprintError),
}

impl Client {
    /// Starts a client: identity, fingerprints, the allocations that an earlier one left, then the connection.
    pub async fn start(
        config: ClientConfig,
        connection: Arc<dyn Connection>,
        runtime: Runtime,
    ) -> Result<Self, StartError> {
        let setup = nomadd_supervisor::Config {
            cgroup_parent: config.cgroup_parent.clone(),
            executor: config.executor.clone(),
            rlimits: config.task_rlimits.clone(),
            journal: config.journal,
        };
        let supervisor = nomadd_supervisor::choose(config.supervisor, &setup, runtime.clone()).await?;
        Self::start_with(config, connection, runtime, supervisor).await
    }

    /// Starts a client over a given supervisor.
    pub async fn start_with(
        config: ClientConfig,
        connection: Arc<dyn Connection>,
        runtime: Runtime,
        supervisor: Arc<dyn Supervisor>,
    ) -> Result<Self, StartError> {
        let (identity, lock) = identity::open(&config.state_dir)?;
        let store = Store::open(&config.state_dir)?;
        make_passable(&config.alloc_dir)
            .map_err(|source| StartError::AllocDir { path: config.alloc_dir.clone(), source })?;
        let mut setup = config.drivers.clone();
        // On the disk of the allocations, which is the one for what is large.
        setup.images.get_or_insert_with(|| config.alloc_dir.with_file_name("images"));
        let drivers = Registry::new(&setup)?;
        let node = fingerprint::node(&config, &drivers, identity.id, runtime.clock.now())?;
        let kept = store.restore()?;
        let metadata = Dynamic::restore(&store)?;
        let networks = networks(&config, &runtime);
        let now = runtime.clock.now();
        let context = Arc::new(Context::new(Parts {
            config,
            identity,
            runtime,
            connection: Arc::clone(&connection),
            supervisor,
            drivers,
            networks,
            store,
            metadata,
            node,
        }));
        let inner = Arc::new(Inner {
            context,
            registered: watch::Sender::new(0),
            last_contact: AtomicI64::new(now.0),
            begun: tokio::time::Instant::now(),
            heard: AtomicU64::new(0),
            beat: tokio::sync::Notify::new(),
            host_usage: stats::HostUsage::begin(),
            allocations: Mutex::default(),
            _lock: lock,
        });
        let known: BTreeSet<String> = kept.iter().map(|kept| kept.id().to_string()).collect();
        let files = &inner.context.store;
        let tasks = kept.iter().flat_map(|kept| {
            let tasks = files.executors(kept.id()).into_iter();
            tasks.map(|task| TaskHandleId::new(kept.id().to_string(), task))
        });
        let tasks: Vec<TaskHandleId> = tasks.collect();
        for kept in kept {
            inner.restore(kept).await;
        }
        let sweeping = Arc::clone(&inner.context);
        // The pool ends with the agent: the next one finds what is left.
        drop(inner.context.transfers.run(move || sweeping.drivers.sweep(Some(&tasks))).await);
        inner.context.supervisor.remove_strangers(&inner.context.identity.id.to_string(), &known).await;
        let tasks = &inner.context.runtime.tasks;
        // Listed before there are new ones; plugins that hang keep nobody waiting.
        let mut unused = inner.context.networks.beginning_with("");
        unused.retain(|id| !known.contains(network::owner(id)));
        let sweeping = Arc::clone(&inner.context);
        tasks.spawn(TaskKind::Background, async move { sweeping.networks.sweep(unused).await });
        tasks.spawn(TaskKind::Background, fingerprint::plugins(Arc::clone(&inner.context)));
        tasks.spawn(TaskKind::ClientLoop, server::keep_registered(Arc::clone(&inner), Arc::clone(&connection)));
        tasks.spawn(TaskKind::ClientStream, server::keep_subscribed(Arc::clone(&inner), Arc::clone(&connection)));
        tasks.spawn(TaskKind::ClientStream, server::keep_telling(Arc::clone(&inner), connection));
        tasks.spawn(TaskKind::ClientLoop, server::keep_checking_contact(Arc::clone(&inner)));
        tasks.spawn(TaskKind::Background, gc::keep_collecting(Arc::clone(&inner)));
        Ok(Self(inner))
    }

    /// Who the node is.
    pub fn node_id(&self) -> NodeId {
        self.0.context.identity.id
    }
    /// What the node is and has.
    pub fn node(&self) -> Arc<Node> {
        self.0.context.node()
    }
    /// The node's metadata, and where it comes from.
    pub fn metadata(&self) -> Metadata {
        metadata::read(&self.0.context)
    }
    /// Changes the node's metadata. Returns when that is on disk and, unless servers are out of reach, known to them.
    pub async fn change_metadata(&self, changes: Changes) -> Result<Metadata, MetadataError> {
        let mut registered = self.0.registered.subscribe();
        let before = *registered.borrow_and_update();
        let context = Arc::clone(&self.0.context);
        let changed = self.0.context.pool.run(move || metadata::change(&context, changes)).await;
        let changed = changed.unwrap_or(Err(MetadataError::Stopping))?;
        // A server that is out of reach learns it with the next registration.
        drop(tokio::time::timeout(REGISTERED_WITHIN, registered.wait_for(|count| *count > before)).await);
        Ok(changed)
    }
    /// Resolves when servers have taken the node's registration.
    pub async fn registered(&self) {
        let mut registered = self.0.registered.subscribe();
        // The sender lives as long as the client.
        drop(registered.wait_for(|count| *count > 0).await);
    }
    /// When a server last answered.
    pub fn last_contact(&self) -> Time {
        Time(self.0.last_contact.load(Ordering::Relaxed))
    }
    /// The allocations on this node, running and over.
    pub fn allocations(&self) -> Vec<AllocationId> {
        self.0.lock().keys().copied().collect()
    }
    /// How an allocation is.
    pub fn allocation_status(&self, id: AllocationId) -> Result<ClientStatus, RequestError> {
        Ok(self.0.shared(id)?.lock().status)
    }

    /// Restarts the running tasks of an allocation, or one task.
    pub async fn restart(&self, id: AllocationId, task: Option<&str>) -> Result<(), RequestError> {
        let which = task.map_or(Restart::Running, |task| Restart::Task(task.into()));
        self.ask(id, |reply| Message::Restart(which, reply), RequestError::ShouldNotRun).await
    }

    /// Runs all tasks of an allocation anew, also those that have ended, in their order.
    pub async fn restart_all(&self, id: AllocationId) -> Result<(), RequestError> {
        self.ask(id, |reply| Message::Restart(Restart::All, reply), RequestError::ShouldNotRun).await
    }

    /// Sends a signal by name to the running tasks of an allocation, or to one task.
    pub async fn signal(&self, id: AllocationId, task: Option<&str>, signal: &str) -> Result<(), RequestError> {
        let message = |reply| Message::Signal(task.map(Into::into), signal.to_owned(), reply);
        match self.ask(id, message, RequestError::NotRunning).await {
            Err(RequestError::NotRunning) => Err(self.none_runs(id, task)?),
            done => done,
        }
    }

    /// The same said of each task that was meant, as people know it.
    fn none_runs(&self, id: AllocationId, task: Option<&str>) -> Result<RequestError, RequestError> {
        let shared = self.0.shared(id)?;
        let view = shared.lock();
        let group = view.group().map(|(_, group)| group.tasks.as_slice()).unwrap_or_default();
        let meant = group.iter().filter(|one| task.is_none_or(|task| task == &*one.name));
        let told = RequestError::NotRunning.to_string();
        let errors: Vec<_> = meant.map(|one| (one.name.to_string(), told.clone())).collect();
        Ok(match (errors.is_empty(), task) {
            (false, _) => RequestError::Tasks(errors),
            (true, Some(task)) => RequestError::UnknownTask(task.to_owned()),
            (true, None) => RequestError::NotRunning,
        })
    }

    /// Ends every task at once and removes all files: the agent goes and leaves nothing behind (`-dev`).
    pub async fn end_everything(&self) {
        let all: Vec<Arc<Shared>> = self.0.lock().values().cloned().collect();
        for shared in &all {
            // One that is over needs no telling.
            drop(shared.runner.send(Message::End).await);
        }
        let mut removals = Vec::new();
        for shared in all {
            let context = Arc::clone(&self.0.context);
            let removal = async move {
                shared.runner.closed().await;
                runner::remove(&context, &shared).await;
            };
            removals.push(self.0.context.runtime.tasks.spawn(TaskKind::Background, removal));
        }
        for removal in removals {
            drop(removal.await);
        }
    }

    async fn ask(
        &self,
        id: AllocationId,
        message: impl FnOnce(oneshot::Sender<Result<(), RequestError>>) -> Message,
        when_over: RequestError,
    ) -> Result<(), RequestError> {
        let runner = self.0.shared(id)?.runner.clone();
        let (reply, answer) = oneshot::channel();
        if runner.send(message(reply)).await.is_err() {
            return Err(when_over);
        }
        answer.await.unwrap_or(Err(when_over))
    }
}

/// The networks of allocations, kept beside their state. Without the executor's binary none can be made, and making one says so.
fn networks(config: &ClientConfig, runtime: &Runtime) -> Networks {
    let helper = nomadd_supervisor::executor_program(config.executor.as_deref());
    let helper = helper.unwrap_or_else(|_| "nomadd-executor".into());
    let mut setup = nomadd_network::Config::new(config.state_dir.join("networks"), helper);
    setup.plugins.clone_from(&config.network.plugins);
    setup.configurations.clone_from(&config.network.configurations);
    setup.bridge.clone_from(&config.network.bridge);
    Networks::new(setup, runtime.clone())
}

/// Makes the directory of allocations, through which tasks of any user reach their own, and warns where they cannot.
fn make_passable(alloc_dir: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    std::fs::DirBuilder::new().recursive(true).mode(0o711).create(alloc_dir)?;
    for above in std::path::absolute(alloc_dir)?.ancestors() {
        let mode = std::fs::metadata(above)?.permissions().mode();
        if mode & 0o001 == 0 {
            let mode = format!("{:o}", mode & 0o7777);
            tracing::warn!(path = %above.display(), mode, "tasks of other users cannot pass through this directory");
        }
    }
    Ok(())
}

/// Gives allocations their jobs, which a message carries once each. An allocation without one goes on with the job it has.
fn hand_out(jobs: &[Bytes], changed: &mut [AssignedAllocation]) {
    let mut read: Vec<Arc<Job>> = Vec::with_capacity(jobs.len());
    for job in jobs {
        match nomadd_rpc::decode::<Job>(&job.0) {
            Ok(job) => read.push(Arc::new(job)),
            Err(error) => tracing::error!(%error, "a job of a server cannot be read"),
        }
    }
    for assigned in changed.iter_mut().filter(|assigned| assigned.job.is_none()) {
        let wanted = &assigned.allocation;
        let found = read.iter().find(|job| {
            (job.version, job.create_index) == (wanted.job_version, wanted.job_create_index)
                && (&job.id, &job.namespace) == (&wanted.job_id, &wanted.namespace)
        });
        assigned.job = found.cloned();
    }
}

impl Inner {
    pub(crate) fn lock(&self) -> MutexGuard<'_, BTreeMap<AllocationId, Arc<Shared>>> {
        self.allocations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An allocation of this node.
    pub fn shared(&self, id: AllocationId) -> Result<Arc<Shared>, RequestError> {
        self.lock().get(&id).cloned().ok_or(RequestError::UnknownAllocation(id))
    }

    /// Takes what a server says of this node's allocations.
    pub async fn apply(self: &Arc<Self>, message: NodeAllocations) {
        let NodeAllocations { index, full, mut changed, removed, jobs } = message;
        hand_out(&jobs, &mut changed);
        let listed: BTreeSet<AllocationId> = changed.iter().map(|assigned| assigned.allocation.id).collect();
        let occasion = if full { Occasion::Resync } else { Occasion::Change };
        for assigned in changed {
            if self.is_older(&assigned, index) {
                continue;
            }
            self.assign(assigned, occasion).await;
        }
        let mut gone = removed;
        if full {
            gone.extend(self.unlisted(&listed, index));
        }
        for id in gone {
            self.remove(id).await;
        }
    }

    /// Whether a server at `index`, which has not caught up, tells something older of an allocation than what is known here.
    fn is_older(&self, assigned: &AssignedAllocation, index: u64) -> bool {
        let known = self.lock().get(&assigned.allocation.id).map(|shared| {
            let view = shared.lock();
            view.assigned.allocation.alloc_modify_index
        });
        let older = known.is_some_and(|known| known > index && known > assigned.allocation.alloc_modify_index);
        if older {
            tracing::debug!(id = %assigned.allocation.id, index, known, "a server that is behind tells what is over; it is not heeded");
        }
        older
    }

    /// The allocations that a server at `index` no longer has. One that is newer than what the server knows stays: a server
    /// that has not caught up must not end it.
    fn unlisted(&self, listed: &BTreeSet<AllocationId>, index: u64) -> Vec<AllocationId> {
        let all: Vec<Arc<Shared>> = self.lock().values().cloned().collect();
        let mut gone = Vec::new();
        for shared in all.into_iter().filter(|shared| !listed.contains(&shared.id)) {
            let created = shared.lock().assigned.allocation.create_index;
            if created <= index {
                gone.push(shared.id);
            } else {
                tracing::warn!(id = %shared.id, index, created, "a server that is behind does not list an allocation; it goes on");
            }
        }
        gone
    }

    async fn assign(self: &Arc<Self>, assigned: AssignedAllocation, occasion: Occasion) {
        let id = assigned.allocation.id;
        let known = self.lock().get(&id).cloned();
        if let Some(shared) = known {
            // A runner that is over has nothing more to do.
            drop(shared.runner.send(Message::Assigned(Box::new(assigned), occasion)).await);
            return;
        }
        if assigned.allocation.client_status.is_terminal() {
            return;
        }
        if assigned.allocation.desired_status.is_terminal() {
            // It never began here: it is over at once.
            let update = AllocationUpdate {
                id,
                client_status: ClientStatus::Complete,
                client_description: "All tasks have completed".into(),
                time: self.context.runtime.clock.now(),
                ..AllocationUpdate::default()
            };
            self.context.updates.put(update, Urgency::Now);
            return;
        }
        self.run(assigned, Origin::Fresh);
    }

    /// Begins (or goes on) to run an allocation.
    fn run(self: &Arc<Self>, assigned: AssignedAllocation, origin: Origin) {
        let id = assigned.allocation.id;
        let previous = self.kept_by(&assigned);
        match Runner::new(Arc::clone(&self.context), assigned, &origin) {
            Ok((mut runner, shared)) => {
                if let (Origin::Fresh, Some(previous)) = (&origin, previous) {
                    runner.after(previous);
                }
                self.lock().insert(id, shared);
                self.context.runtime.tasks.spawn(TaskKind::AllocationRunner, runner.run(origin));
            }
            Err(error) => {
                tracing::error!(%id, %error, "cannot add an allocation");
                let now = self.context.runtime.clock.now();
                self.context.updates.put(runner::refusal(id, &error.to_string(), now), Urgency::Now);
            }
        }
    }

    /// The allocation whose files the new one takes over: one of this node, or of another one when they are to be migrated.
    fn kept_by(&self, assigned: &AssignedAllocation) -> Option<Previous> {
        let (_, group) = group_of(assigned)?;
        let (previous, disk) = (assigned.allocation.previous_allocation, &group.ephemeral_disk);
        if previous.is_none() || previous == assigned.allocation.id {
            return None;
        }
        match self.lock().get(&previous) {
            Some(here) => (disk.sticky || disk.migrate).then(|| Previous::Here(Arc::clone(here))),
            None => disk.migrate.then_some(Previous::Elsewhere(previous)),
        }
    }

    async fn restore(self: &Arc<Self>, kept: Kept) {
        match kept {
            Kept::Whole(assigned, progress) => self.run(*assigned, Origin::Kept(progress)),
            Kept::Torn(id) => {
                tracing::warn!(%id, "the state of an allocation is unreadable; removing what is left of it");
                network::take_down(&self.context, &id.to_string()).await;
                for task in self.context.store.executors(id) {
                    let directory = self.context.store.executor(id, &task);
                    let task = TaskHandleId::new(id.to_string(), task);
                    self.context.supervisor.remove_leftovers(&task, &directory).await;
                }
                if let Err(error) = self.context.store.remove(id) {
                    tracing::error!(%id, %error, "cannot remove the state of an allocation");
                }
            }
        }
    }

    /// Ends an allocation that servers no longer have, and removes its files.
    async fn remove(self: &Arc<Self>, id: AllocationId) {
        let Some(shared) = self.lock().remove(&id) else { return };
        self.context.updates.forget(id);
        if shared.runner.send(Message::Remove).await.is_err() {
            let context = Arc::clone(&self.context);
            self.context
                .runtime
                .tasks
                .spawn(TaskKind::Background, async move { runner::remove(&context, &shared).await });
        }
    }

    /// Ends allocations whose job does not want them to run without contact for so long.
    pub async fn check_contact(&self) {
        let heard = Duration::from_millis(self.heard.load(Ordering::Relaxed));
        let silent = self.begun.elapsed().saturating_sub(heard);
        let all: Vec<Arc<Shared>> = self.lock().values().cloned().collect();
        for shared in all {
            let limit = {
                let view = shared.lock();
                let group = view.group().map(|(_, group)| group);
                group.and_then(|group| {
                    let disconnect = group.disconnect.as_ref().and_then(|disconnect| disconnect.stop_on_client_after);
                    disconnect.or(group.stop_after_client_disconnect)
                })
            };
            if limit.is_some_and(|limit| limit.0 > 0 && silent >= limit.to_std()) {
                drop(shared.runner.send(Message::OutOfContact).await);
            }
        }
    }
}
