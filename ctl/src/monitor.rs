//! Watching an evaluation and the deployment that it starts, line by line as things happen.
//!
//! `evaluation` follows the chain of evaluations and then the deployment; its result is the exit code. `deployment` is
//! also used alone.

mod deployment;

use std::collections::BTreeMap;
use std::time::Duration;

use nomadd_api::{ApiError, Request};
use nomadd_model::{
    AllocationId, AllocationListStub, ClientStatus, DeploymentStatus, DesiredStatus, Evaluation, EvaluationStatus,
};

pub use deployment::deployment;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::show::placement;
use crate::text::{self, Length};

/// How an evaluation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Some allocations found no place.
    pub unplaced: bool,
    /// How its deployment ended, when it had one.
    pub deployment: Option<DeploymentStatus>,
}

impl Ended {
    /// The exit code: 2 when allocations found no place, 1 when the deployment did not succeed.
    pub fn code(self) -> u8 {
        match self.deployment {
            Some(DeploymentStatus::Successful) => 0,
            Some(_) => 1,
            None if self.unplaced => 2,
            None => 0,
        }
    }
}

/// Watches an evaluation to its end, and the deployment that it belongs to.
pub async fn evaluation(context: &Context, id: &str, length: Length) -> Outcome {
    watch(context, id, length).await.map(Ended::code)
}

/// The same, for those who want to know more than the exit code.
pub async fn watch(context: &Context, id: &str, length: Length) -> Result<Ended, Failure> {
    let mut id = id.to_owned();
    loop {
        head(context, &format!("Monitoring evaluation {:?}", length.id(&id)));
        let (evaluation, unplaced) = one(context, &id, length).await?;
        if evaluation.next_eval.is_some() {
            if evaluation.wait.0 > 0 {
                let next = length.id(evaluation.next_eval);
                head(context, &format!("Monitoring next evaluation {next:?} in {}", evaluation.wait));
                tokio::time::sleep(evaluation.wait.to_std()).await;
            }
            id = evaluation.next_eval.to_string();
            continue;
        }
        if evaluation.deployment_id.is_none() {
            return Ok(Ended { unplaced, deployment: None });
        }
        let deployment_id = evaluation.deployment_id.to_string();
        // Nomad watches on for ever here: a deployment without a single placement has no deadline.
        if unplaced && deployment::is_empty(context, &deployment_id).await? {
            head(context, "Nothing could be placed: the job waits for capacity");
            detail(&format!("See what would help: nomadctl job why {}", evaluation.job_id));
            return Ok(Ended { unplaced, deployment: None });
        }
        head(context, &format!("Monitoring deployment {:?}", length.id(&deployment_id)));
        let status = deployment(context, &deployment_id, length, "    ").await?;
        return Ok(Ended { unplaced, deployment: Some(status) });
    }
}

/// Follows one evaluation until nothing more happens to it.
async fn one(context: &Context, id: &str, length: Length) -> Result<(Evaluation, bool), Failure> {
    let mut seen = Seen::default();
    let mut index = 0;
    loop {
        let path = format!("/v1/evaluation/{}", nomadd_api::segment(id));
        let mut request = Request::get(&path);
        if index > 0 {
            request = request.query("index", index).query("wait", "1s");
        }
        let answer = context.client.call::<Evaluation>(request).await.map_err(|error| unknown(id, &error))?;
        index = answer.meta.index;
        let request = Request::get(format!("{path}/allocations"));
        let allocations = context.client.call::<Option<Vec<AllocationListStub>>>(request).await;
        let allocations = allocations.map_err(|error| Failure::request("reading allocations", &error))?.value;
        for line in seen.update(&answer.value, &allocations.unwrap_or_default(), length) {
            detail(&line);
        }
        if answer.value.status.is_terminal() {
            finished(context, &answer.value, length);
            let unplaced = !answer.value.failed_tg_allocs.is_empty();
            return Ok((answer.value, unplaced));
        }
        if index == 0 {
            // An answer without an index cannot be waited for.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

fn unknown(id: &str, error: &ApiError) -> Failure {
    if error.is_not_found() {
        return Failure::new(format!("No evaluation with id {id:?} found"));
    }
    Failure::request("reading evaluation", error)
}

/// The last lines of an evaluation.
fn finished(context: &Context, evaluation: &Evaluation, length: Length) {
    let mut line =
        format!("Evaluation {:?} finished with status {:?}", length.id(evaluation.id), evaluation.status.as_str());
    if evaluation.failed_tg_allocs.is_empty() {
        return head(context, &line);
    }
    line.push_str(" but failed to place all allocations:");
    head(context, &line);
    for (group, metric) in &evaluation.failed_tg_allocs {
        detail(&placement::headline(group, metric));
        for reason in placement::reasons(metric, "      ") {
            println!("{reason}");
        }
    }
    if evaluation.blocked_eval.is_some() {
        detail(&format!(
            "Evaluation {:?} waiting for additional capacity to place remainder",
            length.id(evaluation.blocked_eval)
        ));
    }
}

/// A headline: `==> ` and the time.
pub fn head(context: &Context, text: &str) {
    println!("{}", context.bold(&format!("==> {}: {text}", text::local(text::now()))));
}

/// A detail below a headline: four spaces and the time.
pub fn detail(text: &str) {
    println!("    {}: {text}", text::local(text::now()));
}

/// What was told already.
#[derive(Debug, Default)]
struct Seen {
    node: bool,
    job: bool,
    deployment: bool,
    status: EvaluationStatus,
    allocations: BTreeMap<AllocationId, ClientStatus>,
}

impl Seen {
    /// The news of a look at the evaluation.
    fn update(&mut self, evaluation: &Evaluation, allocations: &[AllocationListStub], length: Length) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.node && evaluation.node_id.is_some() {
            self.node = true;
            lines.push(format!("Evaluation triggered by node {:?}", length.id(evaluation.node_id)));
        }
        if !self.job && !evaluation.job_id.is_empty() {
            self.job = true;
            lines.push(format!("Evaluation triggered by job {:?}", &*evaluation.job_id));
        }
        if !self.deployment && evaluation.deployment_id.is_some() {
            self.deployment = true;
            lines.push(format!("Evaluation within deployment: {:?}", length.id(evaluation.deployment_id)));
        }
        for allocation in allocations {
            let id = length.id(allocation.id);
            let place = || format!("node {:?}, group {:?}", length.id(allocation.node_id), &*allocation.task_group);
            match self.allocations.insert(allocation.id, allocation.client_status) {
                None if allocation.create_index < evaluation.create_index => {
                    lines.push(format!("Allocation {id:?} modified: {}", place()));
                }
                None if allocation.desired_status == DesiredStatus::Run => {
                    lines.push(format!("Allocation {id:?} created: {}", place()));
                }
                Some(before) if before != allocation.client_status => {
                    let description = match allocation.client_description.as_str() {
                        "" => String::new(),
                        text => format!(" ({text})"),
                    };
                    let now = allocation.client_status.as_str();
                    lines.push(format!(
                        "Allocation {id:?} status changed: {:?} -> {now:?}{description}",
                        before.as_str()
                    ));
                }
                _ => {}
            }
        }
        if self.status != evaluation.status && evaluation.status != EvaluationStatus::Pending {
            let (before, now) = (self.status.as_str(), evaluation.status.as_str());
            lines.push(format!("Evaluation status changed: {before:?} -> {now:?}"));
        }
        self.status = evaluation.status;
        lines
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn evaluation(status: &str, deployment: &str) -> Evaluation {
        serde_json::from_value(json!({"ID": "774ec9a0-0000-0000-0000-000000000000", "JobID": "web", "Status": status,
            "CreateIndex": 10, "DeploymentID": deployment}))
        .unwrap()
    }

    fn allocation(id: &str, index: u64, status: &str, description: &str) -> AllocationListStub {
        serde_json::from_value(json!({"ID": format!("{id}-0000-0000-0000-000000000000"), "TaskGroup": "app",
            "NodeID": "cffa1cd8-0000-0000-0000-000000000000", "DesiredStatus": "run", "ClientStatus": status,
            "ClientDescription": description, "CreateIndex": index}))
        .unwrap()
    }

    #[test]
    fn every_change_is_told_once_in_the_words_of_the_real_program() {
        let mut seen = Seen::default();
        let short = Length::Short;
        let news =
            [allocation("01d10cc4", 11, "pending", ""), allocation("9404ea8f", 5, "running", "Tasks are running")];
        let lines = seen.update(&evaluation("pending", ""), &news, short);
        assert_eq!(
            lines,
            [
                "Evaluation triggered by job \"web\"",
                "Allocation \"01d10cc4\" created: node \"cffa1cd8\", group \"app\"",
                "Allocation \"9404ea8f\" modified: node \"cffa1cd8\", group \"app\"",
            ]
        );
        let news = [allocation("01d10cc4", 11, "running", "Tasks are running"), news[1].clone()];
        let done = evaluation("complete", "042095bf-0000-0000-0000-000000000000");
        assert_eq!(
            seen.update(&done, &news, short),
            [
                "Evaluation within deployment: \"042095bf\"",
                "Allocation \"01d10cc4\" status changed: \"pending\" -> \"running\" (Tasks are running)",
                "Evaluation status changed: \"pending\" -> \"complete\"",
            ]
        );
        assert!(seen.update(&done, &news, short).is_empty());
    }

    #[test]
    fn the_deployment_decides_the_exit_code_before_placements_do() {
        let code = |unplaced, deployment| Ended { unplaced, deployment }.code();
        assert_eq!(code(true, None), 2);
        assert_eq!(code(false, None), 0);
        assert_eq!(code(true, Some(DeploymentStatus::Successful)), 0);
        assert_eq!(code(false, Some(DeploymentStatus::Cancelled)), 1);
    }
}
