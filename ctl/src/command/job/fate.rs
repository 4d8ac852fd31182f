//! `job run -wait`: what becomes of a job that has no deployment.

use nomadd_api::Request;
use nomadd_model::{AllocationListStub, ClientStatus, Job, JobStatus};

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::monitor;

/// Waits until a batch job is dead, or a system job runs everywhere; the exit code is that of a failed task, if one failed.
pub async fn wait(context: &Context, id: &str, since: u64) -> Outcome {
    monitor::head(context, &format!("Waiting for job {id:?}"));
    let path = format!("/v1/job/{}", nomadd_api::segment(id));
    let mut index = 0;
    loop {
        let request = Request::get(format!("{path}/allocations")).query("index", index).query("wait", "10s");
        let allocations = context.client.call::<Option<Vec<AllocationListStub>>>(request).await;
        let allocations = allocations.map_err(|error| Failure::request("reading allocations", &error))?;
        index = allocations.meta.index;
        let allocations = allocations.value.unwrap_or_default();
        let job = context.client.call::<Job>(Request::get(&path)).await;
        let job = job.map_err(|error| Failure::request("reading job", &error))?.value;
        if let Some(code) = decide(&job, &allocations, since) {
            let word = if code == 0 { "succeeded" } else { "failed" };
            monitor::head(context, &format!("Job {id:?} {word}"));
            return Ok(code);
        }
        if index == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }
}

/// The exit code once the fate is known.
fn decide(job: &Job, allocations: &[AllocationListStub], since: u64) -> Option<u8> {
    if job.job_modify_index > since || job.stop {
        // Another version, or nobody wants it any more: this one did not come to its end.
        return Some(1);
    }
    let newest = || allocations.iter().filter(|allocation| allocation.job_version == job.version);
    if !job.kind.is_batch() {
        let all = newest().all(|allocation| allocation.client_status == ClientStatus::Running);
        return (newest().next().is_some() && all).then_some(0);
    }
    if job.status != JobStatus::Dead || !newest().all(|allocation| allocation.client_status.is_terminal()) {
        return None;
    }
    // A replaced allocation's failure is mended.
    let failed =
        newest().filter(|found| found.next_allocation.is_none() && found.client_status != ClientStatus::Complete);
    failed.map(code).max().or(Some(0))
}

/// The exit code of the task that made an allocation fail; 1 when there is none to tell.
fn code(allocation: &AllocationListStub) -> u8 {
    let codes = allocation.task_states.values().filter(|state| state.failed).filter_map(|state| {
        state
            .events
            .iter()
            .rev()
            .find_map(|event| serde_json::to_value(event).ok()?["ExitCode"].as_i64().filter(|code| *code != 0))
    });
    codes.filter_map(|code| u8::try_from(code).ok()).max().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nomadd_model::JobType;

    #[test]
    fn a_batch_job_ends_well_when_every_allocation_that_was_not_replaced_did() {
        let job = Job { kind: JobType::Batch, status: JobStatus::Dead, ..Job::default() };
        let allocation = |client_status, replaced: bool| AllocationListStub {
            client_status,
            next_allocation: if replaced {
                nomadd_model::AllocationId::from_random([7; 16])
            } else {
                Default::default()
            },
            ..AllocationListStub::default()
        };
        let good = [allocation(ClientStatus::Failed, true), allocation(ClientStatus::Complete, false)];
        assert_eq!(decide(&job, &good, 0), Some(0));
        let bad = [allocation(ClientStatus::Complete, false), allocation(ClientStatus::Failed, false)];
        assert_eq!(decide(&job, &bad, 0), Some(1));
        let running = Job { status: JobStatus::Running, ..job };
        assert_eq!(decide(&running, &good, 0), None);
    }
}
