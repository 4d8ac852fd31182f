//! The status of allocations, built from the API's JSON, against the text that the real program printed of such ones.

use serde_json::json;

use super::*;

/// 2026-11-21T02:54:52Z.
const NOW: i64 = 1_795_229_692_000_000_000;
const SECOND: i64 = 1_000_000_000;

fn plain() -> Context {
    Context::new(&crate::context::Global { no_color: true, ..Default::default() }, crate::context::Needs::Agent)
        .unwrap()
}

/// Local times as UTC, so that the test holds in every time zone.
fn in_utc(text: String, times: &[&str]) -> String {
    times.iter().fold(text, |text, time| {
        let local = text::local(Time::parse_rfc3339(time).unwrap());
        text.replace(&local, time)
    })
}

fn web() -> Whole {
    let event = |kind: &str, time: i64, details| json!({"Type": kind, "Time": NOW - time * SECOND, "Details": details});
    let mut whole = Whole {
        allocation: serde_json::from_value(json!({
            "ID": "de10d033-0dbc-5395-bfa9-6f2251e35b93", "EvalID": "435e6386-ac4d-e51b-724b-52b1046e1c23",
            "Name": "web.app[0]", "NodeID": "cffa1cd8-5716-5634-cb04-73349f2bbd0b", "NodeName": "dev-node",
            "JobID": "web", "JobVersion": 4, "TaskGroup": "app", "ClientStatus": "running",
            "ClientDescription": "Tasks are running", "DesiredStatus": "run",
            "CreateTime": NOW - 34 * SECOND, "ModifyTime": NOW - 2 * SECOND,
            "DeploymentID": "fd47add9-74b1-a975-615a-9d4479d8b113", "DeploymentStatus": {"Healthy": true},
            "Metrics": {"NodesEvaluated": 1, "AllocationTime": 87_250, "ScoreMetaData": [{
                "NodeID": "cffa1cd8-5716-5634-cb04-73349f2bbd0b", "NormScore": -0.4603,
                "Scores": {"binpack": 0.07934, "job-anti-affinity": -1, "node-affinity": 0, "node-reschedule-penalty": 0}}]},
            "AllocatedResources": {
                "Shared": {"DiskMB": 300, "Ports": [{"HostIP": "127.0.0.1", "Label": "http", "Value": 27418}]},
                "Tasks": {"server": {"Cpu": {"CpuShares": 100}, "Memory": {"MemoryMB": 64}}}},
            "TaskStates": {"server": {"State": "running", "StartedAt": "2026-11-21T02:54:18Z", "Events": [
                event("Received", 34, json!({})), event("Task Setup", 34, json!({"message": "Building Task Directory"})),
                event("Started", 34, json!({}))]}},
        }))
        .unwrap(),
        ..Whole::default()
    };
    whole.usage = serde_json::from_value(json!({"Tasks": {"server": {"ResourceUsage": {
        "CpuStats": {"TotalTicks": 0.4, "Measured": ["System Mode", "User Mode", "Percent"]},
        "MemoryStats": {"RSS": 18 << 20, "Measured": ["RSS", "Swap"]}}}}}))
    .unwrap();
    whole
}

#[test]
fn a_running_allocation_is_shown_as_the_real_program_shows_it() {
    let expected = "\
ID                  = de10d033-0dbc-5395-bfa9-6f2251e35b93
Eval ID             = 435e6386
Name                = web.app[0]
Node ID             = cffa1cd8
Node Name           = dev-node
Job ID              = web
Job Version         = 4
Client Status       = running
Client Description  = Tasks are running
Desired Status      = run
Desired Description = <none>
Created             = 34s ago
Modified            = 2s ago
Deployment ID       = fd47add9
Deployment Health   = healthy

Allocation Addresses:
Label  Dynamic  Address
*http  yes      127.0.0.1:27418

Task \"server\" is \"running\"
Task Resources:
CPU        Memory         Disk     Addresses
0/100 MHz  18 MiB/64 MiB  300 MiB  

Memory Stats
RSS     Swap
18 MiB  0 B

CPU Stats
Percent  System Mode  User Mode
0.00%    0.00%        0.00%

Task Events:
Started At     = 2026-11-21T02:54:18Z
Finished At    = N/A
Total Restarts = 0
Last Restart   = N/A

Recent Events:";
    let shown = text(&web(), Options { verbose: false, stats: true }, &plain(), Time(NOW));
    let (before, events) = shown.split_once("Recent Events:").unwrap();
    assert_eq!(format!("{before}Recent Events:"), expected);
    let lines: Vec<&str> = events.trim().lines().skip(1).collect();
    let words = [
        "Started     Task started by client",
        "Task Setup  Building Task Directory",
        "Received    Task received by client",
    ];
    assert!(lines.iter().zip(words).all(|(line, words)| line.ends_with(words)) && lines.len() == 3, "{events}");
}

#[test]
fn scores_are_shown_when_they_are_asked_for() {
    let shown = text(&web(), Options { verbose: true, stats: false }, &plain(), Time(NOW));
    let expected = "\
Placement Metrics
Node                                  binpack  job-anti-affinity  node-affinity  node-reschedule-penalty  final score
cffa1cd8-5716-5634-cb04-73349f2bbd0b  0.0793   -1                 0              0                        -0.46";
    assert!(shown.ends_with(expected), "{shown}");
    assert!(shown.contains("\nAllocation Time     = 87.25µs\n"), "{shown}");
}

#[test]
fn tasks_stand_by_hook_with_the_main_ones_last() {
    let mut whole = web();
    let states = ["after-start", "cleanup", "init", "main", "side"].map(|name| (name.into(), TaskState::default()));
    whole.allocation.task_states = states.into_iter().collect();
    let task = |name: &str, hook: &str, sidecar| json!({"Name": name, "Lifecycle": {"Hook": hook, "Sidecar": sidecar}});
    whole.job = json!({"TaskGroups": [{"Name": "app", "Tasks": [
        task("init", "prestart", false), task("side", "prestart", true), task("after-start", "poststart", false),
        task("cleanup", "poststop", false), {"Name": "main", "Lifecycle": null}]}]});
    let shown = text(&whole, Options { verbose: false, stats: false }, &plain(), Time(NOW));
    let titles: Vec<&str> = shown.lines().filter(|line| line.starts_with("Task \"")).collect();
    let expected = [
        "Task \"after-start\" (poststart) is \"pending\"",
        "Task \"cleanup\" (poststop) is \"pending\"",
        "Task \"init\" (prestart) is \"pending\"",
        "Task \"side\" (prestart sidecar) is \"pending\"",
        "Task \"main\" is \"pending\"",
    ];
    assert_eq!(titles, expected);
}

#[test]
fn the_short_form_has_the_last_event_of_each_task() {
    let expected = "\
ID       = de10d033-0dbc-5395-bfa9-6f2251e35b93
Name     = web.app[0]
Created  = 34s ago
Modified = 2s ago

Tasks
Name    State    Last Event  Time                  Lifecycle
server  running  Started     2026-11-21T02:54:18Z  main";
    let shown = in_utc(block::short(&web(), false, &plain(), Time(NOW)), &["2026-11-21T02:54:18Z"]);
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&shown), words(expected));
}

#[test]
fn fixed_ports_are_not_called_dynamic() {
    let mut whole = web();
    let mut resources = (*whole.allocation.allocated_resources).clone();
    resources.shared.networks =
        serde_json::from_value(json!([{"ReservedPorts": [{"Label": "http", "Value": 27418}]}])).unwrap();
    whole.allocation.allocated_resources = resources.into();
    assert!(addresses(&whole, &plain()).unwrap().ends_with("*http  no       127.0.0.1:27418"));
}

#[test]
fn figures_have_three_digits() {
    for (value, text) in [
        (0.07934, "0.0793"),
        (-1.0, "-1"),
        (0.0, "0"),
        (0.5, "0.5"),
        (12.345, "12.3"),
        (1234.5, "1.23e+03"),
        (0.00001, "1e-05"),
    ] {
        assert_eq!(three_digits(value), text);
    }
}
