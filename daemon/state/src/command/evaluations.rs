//! Commands about evaluations.

use nomadd_model::{AllocationId, Evaluation, EvaluationId, noun};

noun! {
    /// Writes evaluations; indexes and times are set by apply.
    pub struct EvaluationUpsert {
        pub evaluations: Vec<Evaluation> = "Evaluations",
    }

    /// Removes evaluations and allocations (garbage collection). Allocations that still hold resources are kept.
    pub struct EvaluationDelete {
        pub evaluations: Vec<EvaluationId> = "Evaluations",
        pub allocations: Vec<AllocationId> = "Allocations",
    }
}
