//! Events of the event stream: what happened, to what, and the thing as it was right after. Its JSON is made when it is read.

use std::sync::Arc;

use nomadd_model::{
    Allocation, AllocationId, Deployment, DeploymentId, Evaluation, EvaluationId, Job, Node, NodeId, NodePool, Text,
    words,
};

use crate::key::JobKey;

words! {
    /// What an event is about.
    pub enum Topic {
        #[default] Job = "Job",
        Node = "Node",
        NodePool = "NodePool",
        Allocation = "Allocation",
        Evaluation = "Evaluation",
        Deployment = "Deployment",
    }

    /// What happened, in Nomad's words.
    pub enum EventKind {
        #[default] JobRegistered = "JobRegistered",
        JobDeregistered = "JobDeregistered",
        JobBatchDeregistered = "JobBatchDeregistered",
        NodeRegistration = "NodeRegistration",
        NodeDeregistration = "NodeDeregistration",
        NodeEligibility = "NodeEligibility",
        NodeDrain = "NodeDrain",
        NodeEvent = "NodeStreamEvent",
        NodePoolUpserted = "NodePoolUpserted",
        NodePoolDeleted = "NodePoolDeleted",
        DeploymentStatusUpdate = "DeploymentStatusUpdate",
        DeploymentPromotion = "DeploymentPromotion",
        DeploymentAllocHealth = "DeploymentAllocHealth",
        AllocationUpdated = "AllocationUpdated",
        AllocationUpdateDesiredStatus = "AllocationUpdateDesiredStatus",
        EvaluationUpdated = "EvaluationUpdated",
        PlanResult = "PlanResult",
    }
}

/// What an event is about. Filter keys, namespace and payload come from the state by this; what was deleted is carried.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// A job that is there.
    Job(JobKey),
    /// A job as it was when it was deleted.
    DeletedJob(Arc<Job>),
    /// A node that is there.
    Node(NodeId),
    /// A node as it was when it was deleted.
    DeletedNode(Arc<Node>),
    /// A node pool, by name.
    NodePool(Text),
    /// An allocation.
    Allocation(AllocationId),
    /// An evaluation.
    Evaluation(EvaluationId),
    /// A deployment.
    Deployment(DeploymentId),
}

/// A thing as it was right after the command that an event tells of.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// A job.
    Job(Arc<Job>),
    /// A node.
    Node(Arc<Node>),
    /// A node pool.
    NodePool(Arc<NodePool>),
    /// An allocation.
    Allocation(Arc<Allocation>),
    /// An evaluation.
    Evaluation(Arc<Evaluation>),
    /// A deployment.
    Deployment(Arc<Deployment>),
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// To what.
    pub subject: Subject,
    /// The thing; absent when the same command removed it again.
    pub payload: Option<Payload>,
}

impl Event {
    /// The topic of the subject.
    pub const fn topic(&self) -> Topic {
        match self.subject {
            Subject::Job(_) | Subject::DeletedJob(_) => Topic::Job,
            Subject::Node(_) | Subject::DeletedNode(_) => Topic::Node,
            Subject::NodePool(_) => Topic::NodePool,
            Subject::Allocation(_) => Topic::Allocation,
            Subject::Evaluation(_) => Topic::Evaluation,
            Subject::Deployment(_) => Topic::Deployment,
        }
    }
    /// The key by which a subscriber asks for it.
    pub fn key(&self) -> String {
        match &self.subject {
            Subject::Job(key) => key.id.to_string(),
            Subject::DeletedJob(job) => job.id.to_string(),
            Subject::Node(id) => id.to_string(),
            Subject::DeletedNode(node) => node.id.to_string(),
            Subject::NodePool(name) => name.to_string(),
            Subject::Allocation(id) => id.to_string(),
            Subject::Evaluation(id) => id.to_string(),
            Subject::Deployment(id) => id.to_string(),
        }
    }
    /// Whether the thing was deleted, so that the payload is what it was before.
    pub const fn is_deletion(&self) -> bool {
        matches!(self.subject, Subject::DeletedJob(_) | Subject::DeletedNode(_))
    }
    /// Other keys by which a subscriber may ask for it, as Nomad has them; `None` for things without.
    pub fn filter_keys(&self) -> Option<Vec<String>> {
        let text = |id: DeploymentId| if id.is_none() { String::new() } else { id.to_string() };
        match self.payload.as_ref()? {
            Payload::Allocation(found) => Some(vec![found.job_id.to_string(), text(found.deployment_id)]),
            Payload::Evaluation(found) => Some(vec![found.job_id.to_string(), text(found.deployment_id)]),
            Payload::Deployment(found) => Some(vec![found.job_id.to_string()]),
            Payload::Job(_) | Payload::Node(_) | Payload::NodePool(_) => None,
        }
    }
    /// The namespace of the thing; empty for what belongs to none.
    pub fn namespace(&self) -> &str {
        match &self.payload {
            Some(Payload::Allocation(found)) => &found.namespace,
            Some(Payload::Evaluation(found)) => &found.namespace,
            Some(Payload::Deployment(found)) => &found.namespace,
            Some(Payload::Job(found)) => &found.namespace,
            Some(Payload::Node(_) | Payload::NodePool(_)) | None => "",
        }
    }
}
