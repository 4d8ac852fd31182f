//! Stories of deployments, decision by decision.

use std::sync::Arc;

use nomadd_model::{
    AllocDeploymentStatus, Deployment, DeploymentState, EphemeralDisk, Job, Node, NodeId, NodeStatus, Placement,
    PlacementBatch, Plan, ReschedulePolicy, Task, TaskGroup,
};
use nomadd_state::{AllocationClientUpdate, AllocationClientUpdates, JobRegister, NodeRegister, PlanResults};

use super::*;

const NODE: NodeId = NodeId([1; 16]);
const DEPLOYMENT: DeploymentId = DeploymentId([2; 16]);

struct Story {
    state: State,
    index: u64,
}

fn at(seconds: i64) -> Time {
    Time(seconds * 1_000_000_000)
}

impl Story {
    /// A job with so many allocations in a deployment with a deadline of a minute, placed at second 100.
    fn new(count: u8, policy: ReschedulePolicy, deadline: Duration) -> Self {
        let mut story = Self { state: State::new(), index: 1 };
        let mut node = Node { id: NODE, status: NodeStatus::Ready, ..Node::default() };
        node.node_resources.cpu.cpu_shares = 1000;
        story.apply(100, Command::NodeRegister(NodeRegister { node: Arc::new(node), ..Default::default() }));
        let group = TaskGroup {
            name: "g".into(),
            count: i64::from(count),
            ephemeral_disk: EphemeralDisk::default(),
            reschedule_policy: Some(policy),
            tasks: vec![Task { name: "t".into(), ..Task::default() }],
            ..TaskGroup::default()
        };
        let job = Job { id: "j".into(), namespace: "default".into(), task_groups: vec![group], ..Job::default() };
        story.apply(100, Command::JobRegister(JobRegister { job: Arc::new(job), ..Default::default() }));
        let job = story.state.job("default", "j").unwrap().clone();
        let wanted =
            DeploymentState { desired_total: i64::from(count), progress_deadline: deadline, ..Default::default() };
        let deployment = Deployment {
            id: DEPLOYMENT,
            namespace: "default".into(),
            job_id: "j".into(),
            job_create_index: job.create_index,
            job_modify_index: job.job_modify_index,
            task_groups: [("g".into(), wanted)].into(),
            ..Deployment::default()
        };
        let placements = (1..=count)
            .map(|number| Placement {
                id: AllocationId([number; 16]),
                node_id: NODE,
                index: u64::from(number) - 1,
                deployment_id: DEPLOYMENT,
                ..Placement::default()
            })
            .collect();
        let plan = Plan {
            namespace: "default".into(),
            job_id: "j".into(),
            job_version: job.version,
            job_create_index: job.create_index,
            deployment: Some(deployment),
            placements: vec![PlacementBatch { task_group: "g".into(), placements, ..Default::default() }],
            ..Plan::default()
        };
        story.apply(100, Command::PlanResults(PlanResults { plans: vec![plan], ..Default::default() }));
        assert_eq!(story.state.allocations().count(), usize::from(count));
        story
    }

    fn apply(&mut self, second: i64, command: Command) {
        self.index += 1;
        self.state.apply(self.index, at(second), command);
    }

    fn report(&mut self, second: i64, number: u8, client_status: ClientStatus, healthy: bool) {
        let deployment_status =
            AllocDeploymentStatus { healthy: Some(healthy), timestamp: at(second), ..Default::default() };
        let update = AllocationClientUpdate {
            id: AllocationId([number; 16]),
            client_status,
            deployment_status: Some(deployment_status),
            time: at(second),
            ..Default::default()
        };
        let updates = AllocationClientUpdates { updates: vec![update], ..Default::default() };
        self.apply(second, Command::AllocationClientUpdate(updates));
    }

    fn decide(&self, seen: Seen, second: i64) -> (Vec<Decision>, Seen, Option<Time>) {
        decide(&self.state, self.state.deployment(DEPLOYMENT).unwrap(), seen, at(second))
    }
}

fn minute() -> Duration {
    Duration::from_secs(60)
}

fn unlimited() -> ReschedulePolicy {
    ReschedulePolicy { unlimited: true, ..Default::default() }
}

#[test]
fn each_newly_healthy_allocation_is_acted_on_once() {
    let mut story = Story::new(2, unlimited(), minute());
    let (decisions, seen, next) = story.decide(0, 101);
    assert_eq!((decisions, seen, next), (vec![], 0, Some(at(160))));
    story.report(110, 1, ClientStatus::Running, true);
    let (decisions, seen, next) = story.decide(seen, 110);
    assert_eq!((decisions, next), (vec![Decision::Evaluate], Some(at(170))), "progress moves the deadline on");
    assert_eq!(story.decide(seen, 111).0, []);
    story.report(120, 2, ClientStatus::Running, true);
    assert_eq!(story.decide(seen, 120).0, [Decision::Evaluate]);
    assert_eq!(story.decide(seen, 120).2, None, "all are healthy: no deadline is left");
}

#[test]
fn a_deadline_without_progress_fails_it() {
    let story = Story::new(2, unlimited(), minute());
    assert_eq!(story.decide(0, 159).0, []);
    assert_eq!(story.decide(0, 160).0, [Decision::Fail("Failed due to progress deadline")]);
}

#[test]
fn a_failed_allocation_is_replaced_while_its_policy_allows_and_fails_it_then() {
    let mut story = Story::new(1, unlimited(), minute());
    story.report(110, 1, ClientStatus::Failed, false);
    let (decisions, seen, _) = story.decide(0, 110);
    assert_eq!(decisions, [Decision::Replace(vec![AllocationId([1; 16])])]);
    assert!(seen > 0);
    let mut strict = Story::new(1, ReschedulePolicy::default(), minute());
    strict.report(110, 1, ClientStatus::Failed, false);
    assert_eq!(strict.decide(0, 110).0, [Decision::Fail("Failed due to unhealthy allocations")]);
}

#[test]
fn an_allocation_that_runs_and_is_unhealthy_waits_for_the_deadline() {
    let mut story = Story::new(1, ReschedulePolicy::default(), minute());
    story.report(110, 1, ClientStatus::Running, false);
    assert_eq!(story.decide(0, 110).0, []);
    assert_eq!(story.decide(0, 160).0, [Decision::Fail("Failed due to progress deadline")]);
}

#[test]
fn without_a_deadline_the_first_unhealthy_allocation_fails_it() {
    let mut story = Story::new(2, unlimited(), Duration::default());
    story.report(110, 1, ClientStatus::Running, false);
    assert_eq!(story.decide(0, 110).0, [Decision::Fail("Failed due to unhealthy allocations")]);
}

#[test]
fn a_paused_or_finished_deployment_is_left_alone() {
    let mut story = Story::new(1, unlimited(), minute());
    for status in [DeploymentStatus::Paused, DeploymentStatus::Failed] {
        let update = DeploymentStatusUpdate { deployment_id: DEPLOYMENT, status, ..Default::default() };
        let set = DeploymentStatusSet { update, ..Default::default() };
        story.apply(120, Command::DeploymentStatus(set));
        assert_eq!(story.decide(0, 1000), (vec![], 0, None), "{status}");
    }
}
