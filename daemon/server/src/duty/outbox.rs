//! Writes evaluations that ended without a worker: superseded, duplicate, delivered too often.

use nomadd_model::{Duration, Evaluation, EvaluationStatus};

use crate::evaluation;
use crate::queue::Ended;
use crate::server::Server;

/// Writes them as they come, for ever.
pub(super) async fn write(server: Server) {
    loop {
        let ended = server.queue().ended().await;
        let evaluations = updates(&server, ended);
        if evaluations.is_empty() {
            continue;
        }
        if let Err(error) = server.evaluations().write(evaluations).await {
            // They stay open in the state: the next leader, or the next restart, looks at them again.
            tracing::warn!(%error, "evaluations that ended could not be written");
        }
    }
}

fn updates(server: &Server, ended: Vec<Ended>) -> Vec<Evaluation> {
    let (state, runtime) = (server.state(), server.runtime());
    let mut updates = Vec::with_capacity(ended.len());
    for ended in ended {
        match ended {
            Ended::Superseded(id) => {
                if let Some(evaluation) = state.evaluation(id).filter(|evaluation| !evaluation.status.is_terminal()) {
                    updates.push(Evaluation {
                        status: EvaluationStatus::Canceled,
                        status_description: "canceled after more recent eval was processed".into(),
                        ..Evaluation::clone(evaluation)
                    });
                }
            }
            Ended::Duplicate(duplicate) => {
                if let Some(evaluation) =
                    state.evaluation(duplicate.id).filter(|evaluation| !evaluation.status.is_terminal())
                {
                    let description = format!("existing blocked evaluation exists for job {:?}", &*duplicate.job_id);
                    updates.push(Evaluation {
                        status: EvaluationStatus::Canceled,
                        status_description: description.into(),
                        ..Evaluation::clone(evaluation)
                    });
                }
            }
            Ended::GaveUp(failed) => {
                let limit = server.config().broker.delivery_limit;
                let mut update = state.evaluation(failed.id).map_or_else(|| failed.clone(), Clone::clone);
                if update.status.is_terminal() {
                    continue;
                }
                let written = std::sync::Arc::make_mut(&mut update);
                written.status = EvaluationStatus::Failed;
                written.status_description = format!("evaluation reached delivery limit ({limit})").into();
                if state.job(&failed.namespace, &failed.job_id).is_some() {
                    let jitter = runtime.seeds.jitter(std::time::Duration::from_secs(5 * 60));
                    let wait = Duration(60_000_000_000 + i64::try_from(jitter.as_nanos()).unwrap_or(0));
                    let next =
                        evaluation::follow_up(&failed, evaluation::id(&runtime.seeds), wait, runtime.clock.now());
                    written.next_eval = next.id;
                    updates.push(next);
                }
                updates.push(Evaluation::clone(written));
            }
        }
    }
    updates
}
