//! The status of a job, built from the API's JSON, against the text that the real program printed of such a job.

use serde_json::json;

use super::*;
use nomadd_model::Time;

fn plain() -> Context {
    Context::new(&crate::context::Global { no_color: true, ..Default::default() }, crate::context::Needs::Agent)
        .unwrap()
}

/// 2026-11-21T03:25:22Z.
const NOW: i64 = 1_795_231_522_000_000_000;

fn resched() -> Whole {
    let evaluation = |id: &str, index: u64, trigger: &str, status: &str| {
        json!({"ID": format!("{id}-0000-0000-0000-000000000000"), "Priority": 50, "TriggeredBy": trigger, "Status": status,
            "CreateIndex": index, "WaitUntil": if status == "pending" { json!("2026-11-21T03:25:49Z") } else { json!(null) }})
    };
    let read = |value| serde_json::from_value(value).unwrap();
    Whole {
        job: serde_json::from_value(json!({"ID": "resched", "Name": "resched", "Type": "service", "Priority": 50,
            "Datacenters": ["*"], "Namespace": "default", "NodePool": "default", "Status": "running",
            "SubmitTime": 1_795_231_519_000_000_000_i64}))
        .unwrap(),
        summary: serde_json::from_value(json!({"Summary": {"g": {"Failed": 1}}})).unwrap(),
        allocations: vec![
            serde_json::from_value(json!({"ID": "05893724-0000-0000-0000-000000000000", "TaskGroup": "g",
                "NodeID": "afbb6956-0000-0000-0000-000000000000", "DesiredStatus": "run", "ClientStatus": "failed",
                "FollowupEvalID": "d2be5bd3-0000-0000-0000-000000000000",
                "CreateTime": NOW - 3_000_000_000, "ModifyTime": NOW - 1_000_000_000}))
            .unwrap(),
        ],
        evaluations: vec![
            read(evaluation("d2be5bd3", 4, "alloc-reschedule", "pending")),
            read(evaluation("f5d5650c", 3, "deployment-watcher", "complete")),
            read(evaluation("a23b7597", 2, "alloc-failure", "complete")),
            read(evaluation("eac220a3", 1, "job-register", "complete")),
        ],
        deployment: Some(
            serde_json::from_value(json!({"ID": "48e3319c-0000-0000-0000-000000000000", "Status": "running",
                "StatusDescription": "Deployment is running", "TaskGroups": {"g": {"DesiredTotal": 1, "PlacedAllocs": 1,
                "UnhealthyAllocs": 1, "ProgressDeadline": 600_000_000_000_i64, "RequireProgressBy": "2026-11-21T03:35:19Z"}}}))
            .unwrap(),
        ),
        children: Vec::new(),
    }
}

#[test]
fn a_job_that_is_rescheduled_is_shown_as_the_real_program_shows_it() {
    let expected = "\
Summary
Task Group  Queued  Starting  Running  Failed  Complete  Lost  Unknown
g           0       0         0        1       0         0     0

Evaluations
ID        Priority  Triggered By        Status    Placement Failures
d2be5bd3  50        alloc-reschedule    pending   false
f5d5650c  50        deployment-watcher  complete  false
a23b7597  50        alloc-failure       complete  false
eac220a3  50        job-register        complete  false

Future Rescheduling Attempts
Task Group  Eval ID   Eval Time
g           d2be5bd3  27s from now

Latest Deployment
ID          = 48e3319c
Status      = running
Description = Deployment is running

Deployed
Task Group  Desired  Placed  Healthy  Unhealthy  Progress Deadline
g           1        1       0        1          2026-11-21T03:35:19Z

Allocations
ID        Node ID   Task Group  Version  Desired  Status  Created  Modified
05893724  afbb6956  g           0        run      failed  3s ago   1s ago";
    let options = details::Options { verbose: false, evaluations: true };
    assert_eq!(details::text(&resched(), options, &plain(), Time(NOW)), expected);
}

#[test]
fn failed_placements_are_shown_while_an_evaluation_is_blocked() {
    let mut whole = resched();
    let failed = json!({"CoalescedFailures": 0, "NodesEvaluated": 1, "NodesExhausted": 1,
        "DimensionExhausted": {"memory": 1}, "ConstraintFiltered": {"${attr.kernel.name} = windows": 1}});
    whole.evaluations[1].failed_tg_allocs.insert("g".into(), serde_json::from_value(failed).unwrap());
    let options = details::Options { verbose: false, evaluations: false };
    let text = |whole: &Whole| details::text(whole, options, &plain(), Time(NOW));
    assert!(!text(&whole).contains("Placement Failure"));
    whole.evaluations[0].status = nomadd_model::EvaluationStatus::Blocked;
    let expected = "\n\nPlacement Failure\nTask Group \"g\":\n  * Constraint \"${attr.kernel.name} = windows\": 1 nodes excluded by filter\n  * Resources exhausted on 1 nodes\n  * Dimension \"memory\" exhausted on 1 nodes\n\n";
    assert!(text(&whole).contains(expected), "{}", text(&whole));
}

#[test]
fn what_a_job_is_stands_in_one_block() {
    let expected = "\
ID            = resched
Name          = resched
Submit Date   = 2026-11-21T03:25:19Z
Type          = service
Priority      = 50
Datacenters   = *
Namespace     = default
Node Pool     = default
Status        = running
Periodic      = false
Parameterized = false";
    assert_eq!(block::job(&resched().job).replace("+00:00", "Z"), expected);
}
