//! The loop of one allocation: takes what happens, asks the machine, performs what it says, tells servers and the disk.
//!
//! One tokio task per allocation, and one per task of it while that starts or runs. Decides nothing by itself.
//! What comes before the beginning is `inherit`, and `adopt` after a restart of the agent.

mod adopt;
mod inherit;

use std::collections::BTreeMap;
use std::sync::Arc;

use nomadd_model::{
    AllocNetworkStatus, AllocationId, ClientStatus, Duration, JobType, MigrateStrategy, TaskStatus, Text, Time,
    UpdateStrategy,
};
use nomadd_rpc::{AllocationUpdate, AssignedAllocation};
use nomadd_runtime::{TaskKind, Tasks};
use nomadd_supervisor::{Handle, TaskHandleId, signals};
use tokio::sync::{Notify, mpsc};

use crate::allocation::launch::{self, Start};
use crate::allocation::machine::{
    AllocationInput, AllocationMachine, GroupRules, Judge, StoredProgress, TaskAction, rules_of,
};
use crate::allocation::shared::{Message, Occasion, Reply, RequestError, Restart, Running, Shared, group_of};
use crate::allocation::task::{Action, Input, KillWish, Phase, TaskMachine};
use crate::allocation::{network, previous, remote};
use crate::context::Context;
use crate::directory::AllocationDirectory;
use crate::updates::Urgency;

/// How many messages may wait for a runner.
const INBOX: usize = 64;

/// How an allocation comes to its runner.
#[derive(Debug)]
pub enum Origin {
    /// Servers have just assigned it.
    Fresh,
    /// It was kept on disk by an earlier agent.
    Kept(StoredProgress),
}

/// The allocation that another one replaces.
#[derive(Debug)]
pub enum Previous {
    /// On this node.
    Here(Arc<Shared>),
    /// On another one.
    Elsewhere(AllocationId),
}

/// Why an allocation cannot run at all.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// Without its job nothing can be done.
    #[error("the job of the allocation is missing")]
    NoJob,
    /// The job has no such group.
    #[error("the job has no task group {0:?}")]
    NoGroup(Text),
}

/// The loop of one allocation.
#[derive(Debug)]
pub struct Runner {
    context: Arc<Context>,
    shared: Arc<Shared>,
    machine: AllocationMachine,
    assigned: Arc<AssignedAllocation>,
    inbox: mpsc::Receiver<Message>,
    tasks: Tasks,
    reported: Option<AllocationUpdate>,
    kept: Option<StoredProgress>,
    /// What is not to happen before a server says that the allocation is still wanted.
    held: Vec<(Text, Input)>,
    removal: Removal,
    /// Starts that are under way, which end early when told that nobody wants them any more.
    starting: BTreeMap<Text, Arc<Notify>>,
    /// The allocation that it replaces, when it keeps that one's files.
    previous: Option<Previous>,
    /// What came before it began.
    early: Vec<Message>,
}

#[derive(Debug, PartialEq, Eq)]
enum Removal {
    No,
    WhenOver,
}

impl Runner {
    /// Prepares the runner of an allocation.
    pub fn new(
        context: Arc<Context>,
        assigned: AssignedAllocation,
        origin: &Origin,
    ) -> Result<(Self, Arc<Shared>), AddError> {
        let job = assigned.job.as_ref().ok_or(AddError::NoJob)?;
        let (_, group) =
            group_of(&assigned).ok_or_else(|| AddError::NoGroup(assigned.allocation.task_group.clone()))?;
        let now = context.runtime.clock.now();
        let rules = rules_of(job, group, context.config.max_kill_timeout);
        let group_rules = group_rules(&assigned);
        let machine = match origin {
            Origin::Fresh => AllocationMachine::new(group_rules, rules, now),
            Origin::Kept(progress) => AllocationMachine::restored(group_rules, rules, progress.clone(), now),
        };
        let (sender, inbox) = mpsc::channel(INBOX);
        let directory = AllocationDirectory::new(&context.config.alloc_dir, assigned.allocation.id);
        let assigned = Arc::new(assigned);
        let shared = Arc::new(Shared::new(directory, Arc::clone(&assigned), sender));
        let tasks = context.runtime.tasks.child();
        let (reported, kept, held, removal) = (None, None, Vec::new(), Removal::No);
        let mut runner = Self {
            context,
            shared: Arc::clone(&shared),
            machine,
            assigned,
            inbox,
            tasks,
            reported,
            kept,
            held,
            removal,
            starting: BTreeMap::new(),
            previous: None,
            early: Vec::new(),
        };
        runner.show();
        Ok((runner, shared))
    }

    /// Begins only when `previous` is over, and with its files.
    pub fn after(&mut self, previous: Previous) {
        self.previous = Some(previous);
    }

    /// Runs the allocation to its end.
    pub async fn run(mut self, origin: Origin) {
        match origin {
            Origin::Fresh => {
                self.shared.settle();
                let inherited = self.inherit().await;
                if let Err(error) = self.prepare(inherited).await {
                    tracing::error!(id = %self.shared.id, error, "cannot add an allocation");
                    self.refuse(&error);
                    self.finish().await;
                    return;
                }
                self.set_up_network().await;
                self.input(AllocationInput::Begin);
                if self.assigned.allocation.desired_status.is_terminal() {
                    self.stop();
                }
                for message in std::mem::take(&mut self.early) {
                    self.message(message);
                }
            }
            Origin::Kept(progress) => {
                if !self.machine.is_done() {
                    self.set_up_network().await;
                }
                self.adopt(&progress).await;
                self.shared.settle();
                self.input(AllocationInput::Begin);
            }
        }
        loop {
            if self.machine.is_done() && self.held.is_empty() {
                // Before servers know that it is over: then its ports are free.
                network::take_down(&self.context, &self.shared.id.to_string()).await;
            }
            self.show();
            self.report();
            self.persist().await;
            if self.machine.is_done() && self.held.is_empty() {
                break;
            }
            self.wait().await;
        }
        self.finish().await;
    }

    /// Directories and local state, before anything starts.
    async fn prepare(&mut self, inherited: Option<AllocationDirectory>) -> Result<(), String> {
        let (directory, store) = (self.shared.directory.clone(), self.context.store.clone());
        let (assigned, progress) = (Arc::clone(&self.assigned), self.machine.stored());
        self.kept = Some(progress.clone());
        let made = self.context.pool.run(move || -> Result<(), String> {
            directory.build().map_err(|error| launch::chain(&error))?;
            if let (Some(previous), Some((_, group))) = (&inherited, group_of(&assigned))
                && let Err(error) = previous::take_over(previous, &directory, group)
            {
                // As in Nomad it begins without them.
                tracing::error!(id = %assigned.allocation.id, error = launch::chain(&error), "the files of the previous allocation stay behind");
            }
            remote::clear(&directory);
            store.put_assigned(&assigned).map_err(|error| launch::chain(&error))?;
            store.put_progress(assigned.allocation.id, &progress).map_err(|error| launch::chain(&error))
        });
        made.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// The network that the tasks share, before any of them. Tasks that run already go on without.
    async fn set_up_network(&mut self) {
        let made = network::set_up(&self.context, &self.shared.directory, &self.assigned).await;
        if let Err(error) = made {
            tracing::error!(id = %self.shared.id, error, "cannot set up the network of an allocation");
            self.input(AllocationInput::NotSetUp(format!("failed to setup alloc: {error}")));
        }
    }

    fn refuse(&mut self, error: &str) {
        let now = self.context.runtime.clock.now();
        self.context.updates.put(refusal(self.shared.id, error, now), Urgency::Now);
        let mut view = self.shared.lock();
        (view.status, view.over) = (ClientStatus::Failed, Some(now));
    }

    /// Waits for what happens next, and takes everything that is there.
    async fn wait(&mut self) {
        let now = self.context.runtime.clock.now();
        let first = match self.machine.deadline(now) {
            Some(deadline) => {
                let span = deadline.since(now).to_std();
                tokio::time::timeout(span, self.inbox.recv()).await.unwrap_or(None)
            }
            None => self.inbox.recv().await,
        };
        match first {
            Some(message) => self.message(message),
            None => self.input(AllocationInput::Tick),
        }
        while let Ok(message) = self.inbox.try_recv() {
            self.message(message);
        }
        let now = self.context.runtime.clock.now();
        if self.machine.deadline(now).is_some_and(|deadline| deadline <= now) {
            self.input(AllocationInput::Tick);
        }
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Assigned(assigned, occasion) => self.assign(*assigned, occasion),
            Message::Started(task, handle, notes) => {
                let at = handle.started_at();
                self.shared.lock().running.insert(task.clone(), Running { handle, usage: None });
                self.input(AllocationInput::Task(task, Input::Started { at, notes }));
            }
            Message::Failed(task, failure) => {
                self.input(AllocationInput::Task(task, Input::StartFailed(failure)));
            }
            Message::Exited(task, exit) => {
                self.shared.lock().running.remove(&task);
                self.input(AllocationInput::Task(task, Input::Exited(exit)));
            }
            Message::Told(task, notice) => self.input(AllocationInput::Told(task, notice.message, notice.image)),
            Message::Restart(which, reply) => self.restart(which, reply),
            Message::Signal(task, signal, reply) => self.signal(task.as_ref(), &signal, reply),
            Message::OutOfContact => self.input(AllocationInput::Stop(KillWish::Delayed)),
            Message::End => {
                self.held.clear();
                self.input(AllocationInput::Stop(KillWish::AtOnce));
            }
            Message::Remove => {
                self.removal = Removal::WhenOver;
                self.held.clear();
                self.input(AllocationInput::Stop(KillWish::Delayed));
            }
        }
    }

    /// Feeds the machine and performs what it says.
    fn input(&mut self, input: AllocationInput) {
        let (now, seed) = (self.context.runtime.clock.now(), self.context.runtime.seeds.seed());
        for TaskAction { task, action } in self.machine.handle(input, now, seed) {
            match action {
                Action::Start => self.start(task),
                Action::Stop => self.stop_task(&task),
            }
        }
        let tasks = self.machine.tasks();
        self.starting.retain(|name, unwanted| match tasks.get(name) {
            Some(task) if task.phase() == Phase::Starting => {
                if task.is_being_killed() {
                    unwanted.notify_one();
                }
                true
            }
            _ => false,
        });
    }

    fn start(&mut self, task: Text) {
        let unwanted = Arc::new(Notify::new());
        self.starting.insert(task.clone(), Arc::clone(&unwanted));
        let (context, assigned) = (Arc::clone(&self.context), Arc::clone(&self.assigned));
        let (directory, runner) = (self.shared.directory.clone(), self.shared.runner.clone());
        let restarts = self.restarts(&task);
        self.tasks.spawn(TaskKind::TaskRunner, async move {
            // What there is no room for is not worth waiting for.
            let tell = |notice| drop(runner.try_send(Message::Told(task.clone(), notice)));
            let start = Start { restarts, since: None, tell, unwanted: &unwanted };
            let launched = launch::launch(&context, &directory, &assigned, &task, start).await;
            let message = match launched {
                Ok((handle, notes)) => {
                    let started = Message::Started(task.clone(), handle.clone(), notes);
                    if runner.send(started).await.is_err() {
                        return;
                    }
                    let exit = launch::exit(handle.wait().await);
                    launch::ended(&context, &assigned, &task).await;
                    Message::Exited(task, exit)
                }
                Err(failure) => Message::Failed(task, failure),
            };
            drop(runner.send(message).await);
        });
    }

    /// How often a task was restarted.
    fn restarts(&self, task: &Text) -> u64 {
        self.machine.tasks().get(task).map_or(0, |task| task.state().restarts)
    }

    fn watch(&self, task: Text, handle: Handle) {
        let runner = self.shared.runner.clone();
        let (context, assigned) = (Arc::clone(&self.context), Arc::clone(&self.assigned));
        self.tasks.spawn(TaskKind::TaskRunner, async move {
            let exit = launch::exit(handle.wait().await);
            launch::ended(&context, &assigned, &task).await;
            drop(runner.send(Message::Exited(task, exit)).await);
        });
    }

    fn stop_task(&self, name: &Text) {
        let Some(handle) = self.shared.lock().running.get(name).map(|running| running.handle.clone()) else { return };
        let task = group_of(&self.assigned).and_then(|(_, group)| group.tasks.iter().find(|task| task.name == *name));
        let signal = task.and_then(|task| signals::number(launch::kill_signal(task))).unwrap_or(2);
        let timeout = self.machine.tasks().get(name).map_or(Duration(0), |task| task.rules().kill_timeout);
        self.tasks.spawn(TaskKind::TaskRunner, async move { launch::stop(&handle, signal, timeout.to_std()).await });
    }

    fn stop(&mut self) {
        let hurry = self.assigned.allocation.desired_transition.no_shutdown_delay == Some(true);
        let wish = if hurry { KillWish::AtOnce } else { KillWish::Delayed };
        self.input(AllocationInput::Stop(wish));
    }

    /// Servers sent the allocation again: stop it, or take what changed in place.
    fn assign(&mut self, mut assigned: AssignedAllocation, occasion: Occasion) {
        if assigned.job.is_none() {
            assigned.job.clone_from(&self.assigned.job);
        }
        let changed = assigned.allocation.job_version != self.assigned.allocation.job_version
            || assigned.allocation.deployment_id != self.assigned.allocation.deployment_id;
        let believed = assigned.allocation.client_status;
        if occasion == Occasion::Resync && believed != self.machine.status().0 {
            self.reported = None;
        }
        if believed == ClientStatus::Unknown {
            self.input(AllocationInput::Reconnected);
            self.reported = None;
        }
        self.assigned = Arc::new(assigned);
        self.shared.lock().assigned = Arc::clone(&self.assigned);
        if self.assigned.allocation.desired_status.is_terminal() {
            self.stop();
        } else if changed && let Some((job, group)) = group_of(&self.assigned) {
            let rules = rules_of(job, group, self.context.config.max_kill_timeout);
            let now = self.context.runtime.clock.now();
            self.machine.replace_rules(group_rules(&self.assigned), rules, now);
            self.input(AllocationInput::Tick);
        }
        self.kept = None;
        for (task, input) in std::mem::take(&mut self.held) {
            self.input(AllocationInput::Task(task, input));
        }
    }

    fn restart(&mut self, which: Restart, reply: Reply) {
        let tasks = self.machine.tasks();
        let refused = match &which {
            Restart::Task(task) if !tasks.contains_key(task) => Some(RequestError::UnknownTask(task.to_string())),
            _ if self.machine.is_ending() => Some(RequestError::ShouldNotRun),
            Restart::Task(task) if tasks.get(task).is_none_or(|task| !is_up(task)) => Some(RequestError::NotRunning),
            _ => None,
        };
        if refused.is_none() {
            self.input(match which {
                Restart::Running => AllocationInput::Restart(None),
                Restart::Task(task) => AllocationInput::Restart(Some(task)),
                Restart::All => AllocationInput::RestartAll,
            });
        }
        drop(reply.send(refused.map_or(Ok(()), Err)));
    }

    fn signal(&mut self, task: Option<&Text>, signal: &str, reply: Reply) {
        let wanted = |name: &Text| task.is_none_or(|task| task == name);
        let running: Vec<(Text, Handle)> = {
            let view = self.shared.lock();
            let running = view.running.iter().filter(|(name, _)| wanted(name));
            running.map(|(name, running)| (name.clone(), running.handle.clone())).collect()
        };
        if let Some(task) = task.filter(|task| !self.machine.tasks().contains_key(*task)) {
            drop(reply.send(Err(RequestError::UnknownTask(task.to_string()))));
            return;
        }
        if running.is_empty() {
            drop(reply.send(Err(RequestError::NotRunning)));
            return;
        }
        let signal = if signal.is_empty() { "SIGKILL" } else { signal };
        let known = signals::number(signal).is_some();
        for (name, _) in running.iter().filter(|_| known) {
            self.input(AllocationInput::Signaled(name.clone(), signal.to_owned()));
        }
        let signal = signal.to_owned();
        self.tasks.spawn(TaskKind::Request, async move {
            let mut errors = Vec::new();
            for (name, handle) in running {
                if let Err(error) = handle.signal_by_name(&signal).await {
                    errors.push((name.to_string(), error.to_string()));
                }
            }
            drop(reply.send(if errors.is_empty() { Ok(()) } else { Err(RequestError::Tasks(errors)) }));
        });
    }

    /// Shows others how the allocation is.
    fn show(&mut self) {
        let mut view = self.shared.lock();
        view.status = self.machine.status().0;
        view.states = self.machine.states();
    }

    /// Tells servers what changed.
    fn report(&mut self) {
        let (client_status, description) = self.machine.status();
        let update = AllocationUpdate {
            id: self.shared.id,
            client_status,
            client_description: description.into(),
            task_states: self.machine.states(),
            deployment_status: self.machine.health().cloned(),
            network_status: self.network_status(),
            time: Time(0),
        };
        let urgency = match &self.reported {
            Some(reported) if *reported == update => return,
            Some(reported) if same_for_servers(reported, &update) => Urgency::Soon,
            None if client_status == ClientStatus::Pending && self.believed() == client_status => Urgency::Soon,
            _ => Urgency::Now,
        };
        let time = self.context.runtime.clock.now();
        self.context.updates.put(AllocationUpdate { time, ..update.clone() }, urgency);
        self.reported = Some(update);
    }

    /// The network of its own, as long as it has one.
    fn network_status(&self) -> Option<AllocNetworkStatus> {
        network::current(&self.context, &self.assigned).as_deref().and_then(network::status)
    }

    /// What servers believed when they last sent the allocation.
    fn believed(&self) -> ClientStatus {
        self.assigned.allocation.client_status
    }

    /// Keeps on disk what changed.
    async fn persist(&mut self) {
        let progress = self.machine.stored();
        if self.kept.as_ref() == Some(&progress) {
            return;
        }
        let again = self.kept.is_none().then(|| Arc::clone(&self.assigned));
        self.kept = Some(progress.clone());
        let (store, id) = (self.context.store.clone(), self.shared.id);
        let written = self.context.pool.run(move || {
            if let Some(assigned) = again {
                store.put_assigned(&assigned)?;
            }
            store.put_progress(id, &progress)
        });
        if let Ok(Err(error)) = written.await {
            // The tasks go on; the next change tries again.
            tracing::error!(id = %self.shared.id, error = launch::chain(&error), "cannot keep the state of an allocation");
            self.kept = None;
        }
    }

    /// Everything is over; when servers no longer have it, its files go as well.
    async fn finish(mut self) {
        self.inbox.close();
        let mut removed = self.removal == Removal::WhenOver;
        while let Some(message) = self.inbox.recv().await {
            match message {
                Message::Remove => removed = true,
                Message::Restart(_, reply) => drop(reply.send(Err(RequestError::ShouldNotRun))),
                Message::Signal(_, _, reply) => drop(reply.send(Err(RequestError::NotRunning))),
                _ => {}
            }
        }
        let finished = self.machine.tasks().values().map(|task| task.state().finished_at).max();
        let over = finished.filter(|time| time.0 > 0).unwrap_or_else(|| self.context.runtime.clock.now());
        self.shared.lock().over = Some(over);
        if removed {
            remove(&self.context, &self.shared).await;
        }
    }
}

/// Removes the files of an allocation that is over, and what is left of its executors (they clean up after themselves, unless
/// they were killed).
pub async fn remove(context: &Arc<Context>, shared: &Shared) {
    let (directory, store, id) = (shared.directory.clone(), context.store.clone(), shared.id);
    let kept = context.store.clone();
    for task in context.pool.run(move || kept.executors(id)).await.unwrap_or_default() {
        let files = context.store.executor(id, &task);
        let assigned = Arc::clone(&shared.lock().assigned);
        launch::ended(context, &assigned, &task).await;
        context.supervisor.remove_leftovers(&TaskHandleId::new(id.to_string(), task), &files).await;
    }
    network::take_down(context, &id.to_string()).await;
    let removed = context.pool.run(move || {
        directory.destroy().map_err(|error| launch::chain(&error))?;
        store.remove(id).map_err(|error| launch::chain(&error))
    });
    if let Ok(Err(error)) = removed.await {
        tracing::error!(%id, error, "cannot remove an allocation's files");
    }
}

/// What is said of an allocation that cannot run.
pub fn refusal(id: AllocationId, error: &str, time: Time) -> AllocationUpdate {
    AllocationUpdate {
        id,
        client_status: ClientStatus::Failed,
        client_description: format!("Unable to add allocation due to error: {error}").into(),
        time,
        ..AllocationUpdate::default()
    }
}

/// Whether two updates make no difference for what servers do.
fn same_for_servers(earlier: &AllocationUpdate, later: &AllocationUpdate) -> bool {
    let healthy = |update: &AllocationUpdate| update.deployment_status.as_ref().and_then(|status| status.healthy);
    let running = |update: &AllocationUpdate| {
        update.task_states.values().filter(|state| state.state == TaskStatus::Running).count()
    };
    earlier.client_status == later.client_status
        && earlier.client_description == later.client_description
        && healthy(earlier) == healthy(later)
        && running(earlier) == running(later)
}

fn group_rules(assigned: &AssignedAllocation) -> GroupRules {
    let Some((job, group)) = group_of(assigned) else { return GroupRules::default() };
    let deployed = assigned.allocation.deployment_id.is_some();
    let migrates = || group.migrate.as_ref().filter(|_| job.kind == JobType::Service).map(as_update);
    GroupRules {
        shutdown_delay: group.shutdown_delay.unwrap_or_default(),
        max_run: group.max_run_duration,
        health: if deployed { group.update.clone() } else { migrates() },
        judge: if deployed { Judge::Deployment } else { Judge::Migration },
    }
}

/// A migration judges like an update.
fn as_update(migrate: &MigrateStrategy) -> UpdateStrategy {
    let MigrateStrategy { health_check, healthy_deadline, min_healthy_time, max_parallel: _ } = migrate;
    UpdateStrategy {
        health_check: health_check.clone(),
        healthy_deadline: *healthy_deadline,
        min_healthy_time: *min_healthy_time,
        ..UpdateStrategy::default()
    }
}

/// Whether a task runs, or is just being restarted: a restart that is asked for then has its wish already.
fn is_up(task: &TaskMachine) -> bool {
    match task.phase() {
        Phase::Running | Phase::ShuttingDown | Phase::Stopping => true,
        Phase::Starting => task.state().restarts > 0,
        Phase::Waiting | Phase::Delaying | Phase::Dead => false,
    }
}
