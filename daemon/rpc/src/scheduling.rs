//! What workers on followers and the leader say to each other: evaluations, plans, acknowledgements.

use nomadd_model::{Duration, Evaluation, EvaluationId, Plan, noun};

noun! {
    /// A worker wants an evaluation, and waits for one so long.
    pub struct EvaluationDequeueRequest {
        pub wait: Duration = "Wait",
        /// Which worker it is, by a number of its own: it has nothing in hand any more when it asks. 0: it does not say.
        pub worker: u64 = "Worker",
    }

    /// An evaluation, when there is one.
    pub struct EvaluationDequeueResponse {
        pub evaluation: Option<Evaluation> = "Evaluation",
        /// Proof of the delivery, of one leadership only.
        pub token: u64 = "Token",
    }

    /// A worker is done with a delivery, or could not finish it.
    pub struct EvaluationDoneRequest {
        pub id: EvaluationId = "ID",
        pub token: u64 = "Token",
    }

    /// A plan and the evaluations that it refers to; answered by a `PlanResult`.
    pub struct PlanSubmitRequest {
        pub id: EvaluationId = "ID",
        pub token: u64 = "Token",
        pub plan: Plan = "Plan",
        pub evaluations: Vec<Evaluation> = "Evaluations",
    }

    /// What came of an evaluation; answered by `Acknowledged`.
    pub struct EvaluationsWriteRequest {
        pub evaluations: Vec<Evaluation> = "Evaluations",
    }
}
