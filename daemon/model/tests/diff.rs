//! Differences of jobs: every recorded plan's, and that equal jobs have none.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its input has failed")]

#[path = "support/peer.rs"]
mod peer;

use std::path::Path;

use nomadd_model::canonicalize::{Settings, canonicalize};
use nomadd_model::diff::{Detail, annotate, diff};
use nomadd_model::{Job, JobDiff, PlanAnnotations};
use serde_json::{Value, json};

fn canonical(written: &Value) -> Job {
    canonicalize(serde_json::from_value(written.clone()).unwrap(), &Settings::default()).unwrap()
}

/// The diff of a recorded plan against `base`, and what was recorded.
fn planned(base: &Job, path: &str) -> Option<(Value, Value)> {
    let (request, answer) = peer::exchange(path)?;
    let annotations: PlanAnnotations = serde_json::from_value(answer["Annotations"].clone()).unwrap();
    let mut diff = diff(Some(base), Some(&canonical(&request["Job"])), Detail::Context);
    annotate(&mut diff, Some(&annotations));
    Some((serde_json::to_value(&diff).unwrap(), answer["Diff"].clone()))
}

#[test]
fn recorded_plans_have_the_recorded_diffs() {
    let Some((mut request, _)) = peer::exchange("plan/plan-priority.http") else { return };
    request["Job"]["Priority"] = Value::Null;
    let base = canonical(&request["Job"]);
    for name in [
        "constraint-added",
        "count",
        "datacenters",
        "driver-args",
        "env-added",
        "ephemeral-disk",
        "group-added",
        "group-meta",
        "kill-timeout",
        "meta-added",
        "port-added",
        "priority",
        "resources-cpu",
        "service-tags",
        "task-meta",
        "update-block",
    ] {
        let (found, recorded) = planned(&base, &format!("plan/plan-{name}.http")).unwrap();
        assert_eq!(found, recorded, "{name}");
    }
    let (request, _) = peer::exchange("job/plan-nochange.http").unwrap();
    let base = canonical(&request["Job"]);
    for name in ["nochange", "count", "destructive"] {
        let (found, recorded) = planned(&base, &format!("job/plan-{name}.http")).unwrap();
        assert_eq!(found, recorded, "{name}");
    }
}

#[test]
fn recorded_versions_have_the_recorded_diffs() {
    let Some((_, answer)) = peer::exchange("job/versions-diffs-three.http") else { return };
    let versions: Vec<Job> = serde_json::from_value(answer["Versions"].clone()).unwrap();
    let diffs: Vec<JobDiff> =
        versions.windows(2).map(|pair| diff(Some(&pair[1]), Some(&pair[0]), Detail::Context)).collect();
    assert_eq!(serde_json::to_value(&diffs).unwrap(), answer["Diffs"]);
}

#[test]
fn golden_jobs_do_not_differ_from_themselves_and_differ_wholly_from_nothing() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/jobs");
    if !folder.join("manifest.json").exists() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "the corpus is required when CI=true");
        println!("skipped: no corpus at {}", folder.display());
        return;
    }
    let read = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap() };
    let mut previous: Option<Job> = None;
    for golden in read("manifest.json").as_array().unwrap().iter().filter_map(|entry| entry["golden"].as_str()) {
        let job = canonical(&read(golden));
        let none = diff(Some(&job), Some(&job), Detail::Context);
        assert_eq!((none.kind.as_str(), none.fields.len(), none.objects.len()), ("None", 0, 0), "{golden}");
        assert!(none.task_groups.iter().all(|group| group.kind == "None"), "{golden}");
        let mut added = diff(None, Some(&job), Detail::Context);
        let deleted = diff(Some(&job), None, Detail::Changed);
        assert_eq!((added.kind.as_str(), deleted.kind.as_str()), ("Added", "Deleted"), "{golden}");
        annotate(&mut added, None);
        for task in added.task_groups.iter().flat_map(|group| &group.tasks) {
            assert_eq!(task.annotations, ["forces create"], "{golden}");
        }
        if let Some(previous) = previous {
            // Groups are matched by name, so the two directions speak of the same ones.
            let there = diff(Some(&previous), Some(&job), Detail::Context);
            let back = diff(Some(&job), Some(&previous), Detail::Context);
            let names = |diff: &JobDiff| diff.task_groups.iter().map(|group| group.name.clone()).collect::<Vec<_>>();
            assert_eq!(names(&there), names(&back), "{golden}");
        }
        previous = Some(job);
    }
}

fn job(change: impl FnOnce(&mut Value)) -> Job {
    let mut job = json!({"ID": "j", "TaskGroups": [{"Name": "g", "Count": 2, "Services": [
        {"Name": "a", "PortLabel": "p", "Checks": [{"Name": "c", "Type": "http", "Path": "/", "Header": {"H": ["1"]}}]},
        {"Name": "b", "PortLabel": "p"}],
        "Tasks": [{"Name": "t", "Driver": "raw_exec", "Config": {"command": "x", "map": [{"k": 1}]}}]}]});
    change(&mut job);
    canonical(&job)
}

type Pairs = Vec<(String, String)>;

/// The group's and the task's part of a change, as (name, type) of fields and objects.
fn change(change: impl FnOnce(&mut Value)) -> (Pairs, Pairs, Vec<String>) {
    let mut diff = diff(Some(&job(|_| {})), Some(&job(change)), Detail::Changed);
    annotate(&mut diff, None);
    let group = &diff.task_groups[0];
    let task = &group.tasks[0];
    let pairs = |fields: &[nomadd_model::FieldDiff], objects: &[nomadd_model::ObjectDiff]| {
        let fields = fields.iter().map(|field| (field.name.clone(), field.kind.clone()));
        fields.chain(objects.iter().map(|object| (object.name.clone(), object.kind.clone()))).collect()
    };
    (pairs(&group.fields, &group.objects), pairs(&task.fields, &task.objects), task.annotations.clone())
}

fn pair(name: &str, kind: &str) -> Vec<(String, String)> {
    vec![(name.into(), kind.into())]
}

#[test]
fn a_change_is_found_in_its_block_and_labelled_by_what_it_forces() {
    let none: Vec<(String, String)> = Vec::new();
    let (group, task, forces) = change(|job| job["TaskGroups"][0]["Tasks"][0]["KillSignal"] = json!("SIGINT"));
    assert_eq!((group, task), (none.clone(), pair("KillSignal", "Added")));
    assert_eq!(forces, ["forces create/destroy update"]);
    let (_, task, forces) = change(|job| job["TaskGroups"][0]["Tasks"][0]["LogConfig"] = json!({"MaxFiles": 3}));
    assert_eq!((task, forces), (pair("LogConfig", "Edited"), vec!["forces in-place update".to_owned()]));
    let (_, task, forces) = change(|job| job["TaskGroups"][0]["Tasks"][0]["RestartPolicy"] = json!({"Attempts": 9}));
    assert_eq!((task, forces), (pair("RestartPolicy", "Edited"), vec!["forces in-place update".to_owned()]));
    let (_, task, _) = change(|job| job["TaskGroups"][0]["Tasks"][0]["Config"]["map"][0]["k"] = json!(2));
    assert_eq!(task, pair("Config", "Edited"));
    let (_, task, _) = change(|job| job["TaskGroups"][0]["Tasks"][0]["Config"]["more"] = json!(true));
    assert_eq!(task, pair("Config", "Edited"), "a new key of a configuration edits it");
    let (group, task, forces) = change(|job| job["TaskGroups"][0]["Services"][0]["Checks"][0]["Header"] = json!({}));
    assert_eq!((group, task, forces), (pair("Service", "Edited"), none.clone(), Vec::new()));
    let (group, ..) = change(|job| job["TaskGroups"][0]["Services"][1]["Name"] = json!("z"));
    assert_eq!(group, [pair("Service", "Added"), pair("Service", "Deleted")].concat());
    let (group, ..) = change(|job| job["TaskGroups"][0]["Scaling"] = json!({"Max": 4}));
    assert_eq!(group, pair("Scaling", "Added"));
    let (group, ..) = change(|job| job["TaskGroups"][0]["Volumes"] = json!({"v": {"Name": "v", "Source": "s"}}));
    assert_eq!(group, pair("Volume", "Added"));
}

#[test]
fn a_group_that_goes_takes_its_tasks_along() {
    let without = job(|job| job["TaskGroups"] = json!([]));
    let mut diff = diff(Some(&job(|_| {})), Some(&without), Detail::Changed);
    annotate(&mut diff, None);
    let group = &diff.task_groups[0];
    assert_eq!(group.kind, "Deleted");
    assert_eq!(group.tasks[0].annotations, ["forces destroy"]);
    let count = group.fields.iter().find(|field| field.name == "Count").unwrap();
    assert_eq!(
        (count.old.as_str(), count.new.as_str(), count.annotations.as_slice()),
        ("2", "", &["forces destroy".to_owned()][..])
    );
}
