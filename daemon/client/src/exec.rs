//! `alloc exec`: a command beside a running task, in its environment, directory and cgroups, as its user.

use nomadd_model::AllocationId;
use nomadd_supervisor::{ExecError as StartError, ExecRequest};

use crate::allocation::launch;
use crate::client::Client;

pub use nomadd_supervisor::exec::{ExecControl, ExecExit, ExecSession, Input, Output, TerminalSize};

/// Why a command does not run beside a task.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The node does not have the allocation.
    #[error("Unknown allocation \"{0}\"")]
    UnknownAllocation(AllocationId),
    /// The allocation has no such task.
    #[error("task not found")]
    UnknownTask(String),
    /// The task does not run.
    #[error("task {0:?} is not running.")]
    NotRunning(String),
    /// Nothing was asked for.
    #[error("command is not present")]
    NoCommand,
    /// The supervisor's reason.
    #[error("failed to exec into task: {0}")]
    Start(#[from] StartError),
}

impl Client {
    /// Runs a command beside a task; with a terminal of that size, or with three pipes.
    pub async fn exec(
        &self,
        id: AllocationId,
        task: &str,
        argv: Vec<String>,
        terminal: Option<TerminalSize>,
    ) -> Result<ExecSession, ExecError> {
        let shared = self.0.shared(id).map_err(|_| ExecError::UnknownAllocation(id))?;
        shared.settled().await;
        let (assigned, handle, user) = {
            let view = shared.lock();
            let Some(definition) = view.task(task) else { return Err(ExecError::UnknownTask(task.to_owned())) };
            let user = definition.user.clone();
            let Some(running) = view.running.get(task) else { return Err(ExecError::NotRunning(task.to_owned())) };
            (view.assigned.clone(), running.handle.clone(), user)
        };
        if argv.first().is_none_or(String::is_empty) {
            return Err(ExecError::NoCommand);
        }
        let environment = launch::environment(&self.0.context, &shared.directory, &assigned, task);
        let environment = environment.ok_or_else(|| ExecError::UnknownTask(task.to_owned()))?;
        let user = environment.interpolate(&user);
        let mut env = environment.variables().clone();
        if terminal.is_some() {
            env.entry("TERM".to_owned()).or_insert_with(|| "xterm".to_owned());
        }
        let request = ExecRequest {
            argv,
            terminal,
            env,
            working_directory: shared.directory.task(task).root,
            user: (!user.is_empty()).then_some(user),
        };
        Ok(handle.exec(request).await?)
    }
}
