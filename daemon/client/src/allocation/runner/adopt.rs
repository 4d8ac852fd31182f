//! Finds the tasks of an allocation again that an earlier agent started, and tells the machine what became of each.

use nomadd_model::Text;
use nomadd_supervisor::{Adopted, LossReason, TaskHandleId};
use tokio::sync::Notify;

use super::Runner;
use crate::allocation::launch::{self, Start};
use crate::allocation::machine::{AllocationInput, StoredProgress};
use crate::allocation::shared::Running;
use crate::allocation::task::{Input, Phase, StoredTask};

impl Runner {
    /// Finds the processes that an earlier agent started.
    pub(super) async fn adopt(&mut self, progress: &StoredProgress) {
        let mut found = Vec::new();
        for (name, stored) in &progress.tasks {
            if matches!(stored.phase, Phase::Waiting | Phase::Dead) || !self.machine.tasks().contains_key(name) {
                continue;
            }
            let started = stored.state.started_at;
            if launch::lives_here(&self.assigned, name) {
                let resumed = stored.phase != Phase::Starting && stored.phase != Phase::Delaying;
                let directory = &self.shared.directory;
                if resumed
                    && let Ok((handle, _)) = launch::launch(
                        &self.context,
                        directory,
                        &self.assigned,
                        name,
                        Start {
                            restarts: self.restarts(name),
                            since: Some(started),
                            tell: drop,
                            unwanted: &Notify::new(),
                        },
                    )
                    .await
                {
                    found.push((name.clone(), stored.clone(), Adopted::Running(handle)));
                } else {
                    found.push((name.clone(), stored.clone(), Adopted::Lost(LossReason::NeverStarted)));
                }
                continue;
            }
            let id = TaskHandleId::new(self.shared.id.to_string(), name.as_str());
            let directory = self.context.store.executor(self.shared.id, name);
            let adopted = match self.context.supervisor.adopt(&id, &directory).await {
                Ok(adopted) => adopted,
                Err(error) => {
                    tracing::error!(task = %id, error = launch::chain(&error), "cannot find a task again; ending what is left of it");
                    self.context.supervisor.remove_leftovers(&id, &directory).await;
                    let message = launch::chain(&error);
                    self.held.push((name.clone(), Input::Vanished { message }));
                    continue;
                }
            };
            if !matches!(adopted, Adopted::Running(_)) {
                launch::ended(&self.context, &self.assigned, name).await;
            }
            let adopted = match adopted {
                Adopted::Running(handle) => {
                    let directory = &self.shared.directory;
                    Adopted::Running(launch::again(&self.context, directory, &self.assigned, name, handle))
                }
                ended => ended,
            };
            found.push((name.clone(), stored.clone(), adopted));
        }
        for (name, stored, adopted) in found {
            self.adopted(name, &stored, adopted);
        }
    }

    fn adopted(&mut self, name: Text, stored: &StoredTask, adopted: Adopted) {
        let tell = |runner: &mut Self, input| runner.input(AllocationInput::Task(name.clone(), input));
        match adopted {
            Adopted::Running(handle) => {
                let at = handle.started_at();
                let running = Running { handle: handle.clone(), usage: None };
                self.shared.lock().running.insert(name.clone(), running);
                self.watch(name.clone(), handle);
                tell(self, Input::Adopted { at });
            }
            // The exit that was handled before: the run after it has not begun.
            Adopted::Exited(status) if status.finished_at == stored.last_exit => match stored.phase {
                Phase::Starting => self.held.push((name, Input::NotStarted)),
                Phase::Delaying => {}
                _ => tell(self, Input::Exited(launch::exit(status))),
            },
            Adopted::Exited(status) => {
                if matches!(stored.phase, Phase::Starting | Phase::Delaying) {
                    tell(self, Input::Adopted { at: status.finished_at });
                }
                tell(self, Input::Exited(launch::exit(status)));
            }
            Adopted::Lost(LossReason::NeverStarted) if stored.phase == Phase::Starting => {
                self.held.push((name, Input::NotStarted));
            }
            Adopted::Lost(_) if stored.phase == Phase::Delaying => {}
            Adopted::Lost(reason) => {
                let message = format!("failed to restore task: {reason}");
                self.held.push((name, Input::Vanished { message }));
            }
        }
    }
}
