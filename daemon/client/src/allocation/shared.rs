//! What others may see of an allocation while its runner works, and how they speak to the runner.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nomadd_driver::docker::Notice;
use nomadd_model::{AllocationId, ClientStatus, Job, Task, TaskGroup, TaskState, Text, Time};
use nomadd_rpc::AssignedAllocation;
use nomadd_supervisor::{Handle, Usage};
use tokio::sync::{mpsc, oneshot, watch};

use crate::allocation::task::{Exit, StartFailure};
use crate::directory::AllocationDirectory;

/// An allocation as others see it.
#[derive(Debug)]
pub struct Shared {
    /// Which one.
    pub id: AllocationId,
    /// Its files.
    pub directory: AllocationDirectory,
    /// The way to its runner; closed when it is over.
    pub runner: mpsc::Sender<Message>,
    view: Mutex<View>,
    settled: watch::Sender<bool>,
}

/// How an allocation is.
#[derive(Clone, Debug)]
pub struct View {
    /// What servers assigned.
    pub assigned: Arc<AssignedAllocation>,
    /// What the client says of it.
    pub status: ClientStatus,
    /// Its tasks.
    pub states: BTreeMap<Text, TaskState>,
    /// The processes that run.
    pub running: BTreeMap<Text, Running>,
    /// When everything was over.
    pub over: Option<Time>,
}

/// A process that runs.
#[derive(Clone, Debug)]
pub struct Running {
    /// The process.
    pub handle: Handle,
    /// What it used when it was last asked: percentages are between two readings.
    pub usage: Option<Usage>,
}

/// What is said to a runner.
#[derive(Debug)]
pub enum Message {
    /// Servers assigned it (again).
    Assigned(Box<AssignedAllocation>, Occasion),
    /// A task runs.
    Started(Text, Handle, Vec<String>),
    /// A task did not start.
    Failed(Text, StartFailure),
    /// A task's process ended.
    Exited(Text, Exit),
    /// Something is to be told of a task that starts.
    Told(Text, Notice),
    /// Restart tasks.
    Restart(Restart, Reply),
    /// Send a signal to the running tasks, or to one.
    Signal(Option<Text>, String, Reply),
    /// The servers are out of reach for longer than the job allows.
    OutOfContact,
    /// The agent goes and leaves nothing behind (`-dev`).
    End,
    /// Servers no longer have it: end it and remove everything.
    Remove,
}

/// Which tasks are restarted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Those that run.
    Running,
    /// One that runs.
    Task(Text),
    /// All, also those that have ended.
    All,
}

/// On what occasion servers sent an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// It changed.
    Change,
    /// They sent everything: what they believe of it can be older than what the node last said.
    Resync,
}

/// Where the answer goes.
pub type Reply = oneshot::Sender<Result<(), RequestError>>;

/// Why a request to an allocation fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The node does not have it.
    #[error("Unknown allocation \"{0}\"")]
    UnknownAllocation(AllocationId),
    /// It has no such task.
    #[error("Could not find task \"{0}\" in the allocation")]
    UnknownTask(String),
    /// It has ended or is to end.
    #[error("restart of an alloc that should not run")]
    ShouldNotRun,
    /// It is not over.
    #[error("Could not collect alloc \"{0}\", because it is still running")]
    StillRuns(AllocationId),
    /// Nothing of it runs.
    #[error("Task not running")]
    NotRunning,
    /// Some tasks could not be told.
    #[error("{}", list(.0))]
    Tasks(Vec<(String, String)>),
    /// The agent is shutting down.
    #[error("the agent is shutting down")]
    ShuttingDown,
}

/// The form in which people know several errors.
fn list(errors: &[(String, String)]) -> String {
    let count =
        if errors.len() == 1 { "1 error occurred:".to_owned() } else { format!("{} errors occurred:", errors.len()) };
    let lines = errors.iter().map(|(task, error)| format!("\n\t* Failed to signal task: {task}, err: {error}"));
    format!("{count}{}", lines.collect::<String>())
}

impl Shared {
    /// Of an allocation that was just received or restored.
    pub fn new(
        directory: AllocationDirectory,
        assigned: Arc<AssignedAllocation>,
        runner: mpsc::Sender<Message>,
    ) -> Self {
        let (status, states, running) = (ClientStatus::Pending, BTreeMap::new(), BTreeMap::new());
        let id = assigned.allocation.id;
        let view = Mutex::new(View { assigned, status, states, running, over: None });
        Self { id, directory, runner, view, settled: watch::Sender::new(false) }
    }
    /// Says that processes of an earlier agent were looked for.
    pub fn settle(&self) {
        self.settled.send_replace(true);
    }
    /// Waits until processes of an earlier agent were looked for: before that nobody knows what runs.
    pub async fn settled(&self) {
        let mut settled = self.settled.subscribe();
        drop(settled.wait_for(|settled| *settled).await);
    }
    /// How it is, locked.
    pub fn lock(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    /// Its job and group.
    pub fn group(&self) -> Option<(&Job, &TaskGroup)> {
        group_of(&self.assigned)
    }
    /// A task of its group.
    pub fn task(&self, name: &str) -> Option<&Task> {
        self.group()?.1.tasks.iter().find(|task| &*task.name == name)
    }
}

/// The job and group of an allocation.
pub fn group_of(assigned: &AssignedAllocation) -> Option<(&Job, &TaskGroup)> {
    let job = assigned.job.as_deref()?;
    let group = job.task_groups.iter().find(|group| group.name == assigned.allocation.task_group)?;
    Some((job, group))
}
