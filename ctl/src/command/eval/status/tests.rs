//! The status of evaluations, built from the API's JSON, against the text that the real program printed of such ones.

use serde_json::json;

use super::*;

const NOW: i64 = 1_795_229_692_000_000_000;
const SECOND: i64 = 1_000_000_000;

fn plain() -> Context {
    Context::new(&crate::context::Global { no_color: true, ..Default::default() }, crate::context::Needs::Agent)
        .unwrap()
}

#[test]
fn a_blocked_evaluation_says_what_is_in_the_way() {
    let whole = Whole {
        evaluation: serde_json::from_value(json!({
            "ID": "7bec652b-5833-acff-1c72-187cb97fb68a", "CreateTime": NOW - 12 * SECOND, "ModifyTime": NOW - 12 * SECOND,
            "Status": "blocked", "StatusDescription": "created to place remaining allocations", "Type": "service",
            "TriggeredBy": "queued-allocs", "JobID": "never", "Namespace": "default", "Priority": 50,
            "PreviousEval": "abba2f5c-0000-0000-0000-000000000000",
            "FailedTGAllocs": {"g": {"NodesEvaluated": 1, "NodesFiltered": 1,
                "ConstraintFiltered": {"${attr.kernel.name} = windows": 1}}},
        }))
        .unwrap(),
        related: vec![
            serde_json::from_value(json!({"ID": "abba2f5c-0000-0000-0000-000000000000", "Priority": 50,
                "TriggeredBy": "job-register", "Status": "complete"}))
            .unwrap(),
        ],
        ..Whole::default()
    };
    let expected = "\
ID                 = 7bec652b
Create Time        = 12s ago
Modify Time        = 12s ago
Status             = blocked
Status Description = created to place remaining allocations
Type               = service
TriggeredBy        = queued-allocs
Job ID             = never
Namespace          = default
Priority           = 50
Placement Failures = N/A - In Progress
Previous Eval      = abba2f5c
Next Eval          = <none>
Blocked Eval       = <none>

Related Evaluations
ID        Priority  Triggered By  Node ID  Status    Description
abba2f5c  50        job-register  <none>   complete  <none>

Failed Placements
Task Group \"g\" (failed to place 1 allocation):
  * Constraint \"${attr.kernel.name} = windows\": 1 nodes excluded by filter";
    assert_eq!(text(&whole, false, &plain(), Time(NOW)), expected);
}

#[test]
fn a_complete_evaluation_shows_its_plan_and_what_it_placed() {
    let whole = Whole {
        evaluation: serde_json::from_value(json!({
            "ID": "07947b5b-d8a8-7d5e-c0e0-f04f828ad803", "Status": "complete",
            "PlanAnnotations": {"DesiredTGUpdates": {"app": {"Place": 2, "InPlaceUpdate": 1}}},
        }))
        .unwrap(),
        allocations: vec![
            serde_json::from_value(json!({"ID": "6c95ec2e-5146-8b02-6d25-83bd569d96aa",
                "NodeID": "cffa1cd8-5716-5634-cb04-73349f2bbd0b", "TaskGroup": "app", "JobVersion": 1, "DesiredStatus": "stop",
                "ClientStatus": "complete", "CreateTime": NOW - 55 * SECOND, "ModifyTime": NOW - 39 * SECOND}))
            .unwrap(),
        ],
        ..Whole::default()
    };
    let expected = "
Plan Annotations
Task Group  Ignore  Place  Stop  InPlace  Destructive
app         0       2      0     1        0

Placed Allocations
ID        Node ID   Task Group  Version  Desired  Status    Created  Modified
6c95ec2e  cffa1cd8  app         1        stop     complete  55s ago  39s ago";
    let shown = text(&whole, false, &plain(), Time(NOW));
    assert!(shown.ends_with(expected), "{shown}");
    let verbose = text(&whole, true, &plain(), Time(NOW));
    assert!(
        verbose.contains("Migrate  Canary  Preemptions  Reschedule Now  Reschedule Later  Disconnect  Reconnect\n")
    );
    assert!(verbose.contains("\n6c95ec2e-5146-8b02-6d25-83bd569d96aa  cffa1cd8-5716-5634-cb04-73349f2bbd0b  app"));
}
