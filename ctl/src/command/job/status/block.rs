//! What a job is: the first block of its status.

use nomadd_model::{Job, Time};

use crate::table::Block;
use crate::text;

/// The block.
pub fn job(job: &Job) -> String {
    let status = if job.stop { format!("{} (stopped)", job.status) } else { job.status.to_string() };
    let mut block = Block::new()
        .with("ID", &job.id)
        .with("Name", &job.name)
        .with("Submit Date", text::local(Time(job.submit_time)))
        .with("Type", job.kind)
        .with("Priority", job.priority)
        .with("Datacenters", job.datacenters.iter().map(|name| &**name).collect::<Vec<_>>().join(","))
        .with("Namespace", &job.namespace)
        .with("Node Pool", &job.node_pool)
        .with("Status", status)
        .with("Periodic", job.periodic.is_some())
        .with("Parameterized", job.parameterized_job.is_some());
    if !job.dispatch_idempotency_token.is_empty() {
        block.put("Idempotency Token", &job.dispatch_idempotency_token);
    }
    if job.periodic.is_some() && job.parameterized_job.is_none() && job.stop {
        block.put("Next Periodic Launch", "none (job stopped)");
    }
    block.text()
}
