//! Tells the metrics how much waits where, once in a while.

use std::collections::BTreeMap;
use std::time::Duration;

use nomadd_model::JobStatus;

use crate::server::Server;

const INTERVAL: Duration = Duration::from_secs(10);

/// Sets the gauges, for ever.
pub(super) async fn tell(server: Server) {
    loop {
        let stats = server.queue().stats();
        for (name, value) in [
            ("nomad.nomad.broker.total_ready", stats.broker.ready),
            ("nomad.nomad.broker.total_unacked", stats.broker.in_flight),
            ("nomad.nomad.broker.total_pending", stats.broker.pending),
            ("nomad.nomad.broker.total_waiting", stats.broker.delayed),
            ("nomad.nomad.broker.total_cancelable", stats.cancelable),
            ("nomad.nomad.blocked_evals.total_blocked", stats.blocked.blocked),
            ("nomad.nomad.blocked_evals.total_escaped", stats.blocked.escaped),
            ("nomad.nomad.plan.queue_depth", server.plans().depth()),
        ] {
            metrics::gauge!(name).set(value as f64);
        }
        let ready = server.queue().ready_by_kind();
        for kind in ["service", "batch", "system", "sysbatch"] {
            metrics::gauge!(format!("nomad.nomad.broker.{kind}.ready"))
                .set(ready.get(kind).copied().unwrap_or(0) as f64);
        }
        let mut jobs: BTreeMap<JobStatus, usize> = BTreeMap::new();
        for job in server.state().jobs() {
            *jobs.entry(job.status).or_default() += 1;
        }
        for (status, name) in [
            (JobStatus::Pending, "nomad.nomad.job_status.pending"),
            (JobStatus::Running, "nomad.nomad.job_status.running"),
            (JobStatus::Dead, "nomad.nomad.job_status.dead"),
        ] {
            metrics::gauge!(name).set(jobs.get(&status).copied().unwrap_or(0) as f64);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
