//! Scaling policies: those that stand in jobs.

use nomadd_model::{ObjectId, ScalingPolicy};
use nomadd_state::{State, Table, WatchKey};
use serde_json::json;

use crate::answer::{self, Answered};
use crate::app::App;
use crate::blocking;
use crate::call::Call;
use crate::failure::Failure;
use crate::identify;

/// Every policy of the jobs that are not stopped.
fn policies(state: &State) -> impl Iterator<Item = &ScalingPolicy> {
    state.jobs().filter(|job| !job.stop).flat_map(|job| {
        job.task_groups.iter().flat_map(|group| {
            group.scaling.iter().chain(group.tasks.iter().flat_map(|task| task.scaling_policies.iter()))
        })
    })
}

/// `GET /v1/scaling/policies`; `job` and `type` narrow the list.
pub async fn list(app: &App, call: Call) -> Answered {
    call.must_get()?;
    let (namespace, job, kind) = (call.namespace(), call.text("job").to_owned(), call.text("type").to_owned());
    let (meta, page) = blocking::query(app, &call, &[WatchKey::Table(Table::Jobs)], |state| {
        let page: Vec<_> = policies(state)
            .filter(|policy| {
                namespace == "*" || policy.target.get("Namespace").is_some_and(|of| namespace == of.as_str())
            })
            .filter(|policy| job.is_empty() || policy.target.get("Job") == Some(&job))
            .filter(|policy| kind.is_empty() || policy.kind == kind)
            .map(|policy| {
                json!({
                    "ID": policy.id, "Enabled": policy.enabled, "Type": policy.kind, "Target": policy.target,
                    "CreateIndex": policy.create_index, "ModifyIndex": policy.modify_index,
                })
            })
            .collect();
        Ok((state.table_index(Table::Jobs), page))
    })
    .await?;
    answer::read(&call, &meta, &page)
}

/// `GET /v1/scaling/policy/ID`.
pub async fn read(app: &App, call: Call, id: &str) -> Answered {
    call.must_get()?;
    let id: ObjectId = identify::whole(id, "scaling policy")?;
    let (meta, found) = blocking::query(app, &call, &[WatchKey::Table(Table::Jobs)], |state| {
        Ok((state.table_index(Table::Jobs), policies(state).find(|policy| policy.id == id).cloned()))
    })
    .await?;
    answer::read(&call, &meta, &found.ok_or_else(|| Failure::not_found("policy not found").of(&meta))?)
}
