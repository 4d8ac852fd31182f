//! The table of a job's evaluations.

use nomadd_model::{Evaluation, EvaluationStatus};

use crate::table::Table;
use crate::text::Length;

/// The evaluations in the order given.
pub fn of_job(evaluations: &[Evaluation], length: Length) -> String {
    let mut table = Table::new(&["ID", "Priority", "Triggered By", "Status", "Placement Failures"]);
    for evaluation in evaluations {
        table.row([
            length.id(evaluation.id),
            evaluation.priority.to_string(),
            evaluation.triggered_by.to_string(),
            evaluation.status.to_string(),
            failures(evaluation).to_owned(),
        ]);
    }
    table.text()
}

/// Whether an evaluation could not place something; a blocked one is not done.
pub fn failures(evaluation: &Evaluation) -> &'static str {
    match evaluation.status {
        EvaluationStatus::Blocked => "N/A - In Progress",
        _ if evaluation.failed_tg_allocs.is_empty() => "false",
        _ => "true",
    }
}
