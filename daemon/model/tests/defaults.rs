//! Client-side defaults: every golden job of the corpus is a fixed point, and a bare job gets Nomad's values.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its input has failed")]

use std::path::Path;

use nomadd_model::spec::Job;
use serde_json::{Value, json};

#[test]
fn golden_jobs_are_fixed_points_of_the_defaults() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/jobs");
    if !folder.join("manifest.json").exists() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "the corpus is required when CI=true");
        println!("skipped: no corpus at {}", folder.display());
        return;
    }
    let read = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap() };
    let mut seen = 0;
    for entry in read("manifest.json").as_array().unwrap() {
        let Some(golden) = entry["golden"].as_str() else { continue };
        let golden_job: Job = serde_json::from_value(read(golden)).unwrap();
        let mut job = golden_job.clone();
        job.fill_defaults();
        let (mut job, mut golden_job) =
            (serde_json::to_value(&job).unwrap(), serde_json::to_value(&golden_job).unwrap());
        if entry.get("golden_note").is_some() {
            (job, golden_job) = (pruned(&job), pruned(&golden_job));
        }
        let mut places = Vec::new();
        differences("", &job, &golden_job, &mut places);
        assert!(places.is_empty(), "{golden}: {places:?}");
        seen += 1;
    }
    assert_eq!(seen, 193);
}

/// Takes null, zero, empty and absent as equal: some goldens were made by an older program without later fields.
fn pruned(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(k, v)| (k.clone(), pruned(v)))
            .filter(|(_, v)| {
                !matches!(v, Value::Null | Value::Bool(false))
                    && *v != json!("")
                    && *v != json!({})
                    && *v != json!([])
                    && *v != json!(0)
            })
            .collect(),
        Value::Array(items) => items.iter().map(pruned).collect(),
        other => other.clone(),
    }
}

/// Lists the places where two values differ.
fn differences(place: &str, a: &Value, b: &Value, places: &mut Vec<String>) {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let names: std::collections::BTreeSet<_> = x.keys().chain(y.keys()).collect();
            for name in names {
                differences(&format!("{place}.{name}"), &a[name], &b[name], places);
            }
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            for (index, (x, y)) in x.iter().zip(y).enumerate() {
                differences(&format!("{place}[{index}]"), x, y, places);
            }
        }
        _ if a != b => places.push(format!("{place}: {a} is not {b}")),
        _ => {}
    }
}

fn filled(job: Value) -> Value {
    let mut job: Job = serde_json::from_value(job).unwrap();
    job.fill_defaults();
    let once = serde_json::to_value(&job).unwrap();
    job.fill_defaults();
    assert_eq!(serde_json::to_value(&job).unwrap(), once, "defaults are idempotent");
    once
}

#[test]
fn a_bare_service_job_gets_nomads_values() {
    let job = filled(json!({"ID": "web", "TaskGroups": [{"Name": "g", "Tasks": [{"Name": "t", "Driver": "raw_exec"}],
        "Services": [{"CheckRestart": {"Limit": 3}, "Checks": [{"Type": "tcp"}]}]}]}));
    assert_eq!((&job["Name"], &job["Type"], &job["Priority"]), (&json!("web"), &json!("service"), &json!(50)));
    let group = &job["TaskGroups"][0];
    assert_eq!(group["Update"], job["Update"]);
    assert_eq!(group["Update"]["ProgressDeadline"], json!(600_000_000_000_i64));
    assert_eq!(group["ReschedulePolicy"]["Unlimited"], json!(true));
    assert_eq!(group["Migrate"]["HealthCheck"], json!("checks"));
    assert_eq!(group["Tasks"][0]["RestartPolicy"], group["RestartPolicy"]);
    assert_eq!(group["Tasks"][0]["Resources"]["CPU"], json!(100));
    assert_eq!(group["Services"][0]["Name"], json!("web-g"));
    assert_eq!(group["Services"][0]["Checks"][0]["CheckRestart"]["Grace"], json!(1_000_000_000));
}

#[test]
fn a_group_keeps_what_it_wrote_and_takes_the_rest_from_its_job() {
    let job = filled(json!({"ID": "b", "Type": "batch",
        "Update": {"MaxParallel": 4, "Canary": 2}, "Reschedule": {"Attempts": 9}, "Migrate": {"MaxParallel": 7},
        "TaskGroups": [{"Name": "g", "Update": {"MaxParallel": 2}, "ReschedulePolicy": {"Delay": 7_000_000_000_i64},
            "RestartPolicy": {"Attempts": 8}, "Scaling": {"Min": 3, "Max": 9},
            "Tasks": [{"Name": "t", "Resources": {"Cores": 2}, "RestartPolicy": {"Mode": "delay"},
                "Artifacts": [{"GetterSource": "https://h/x/y.txt", "GetterMode": "file"}],
                "Templates": [{"ChangeMode": "signal"}]}]}]}));
    let group = &job["TaskGroups"][0];
    assert_eq!((&group["Count"], &group["Scaling"]["Min"]), (&json!(3), &json!(3)));
    assert_eq!((&group["Update"]["MaxParallel"], &group["Update"]["Canary"]), (&json!(2), &json!(2)));
    assert_eq!(
        (&group["ReschedulePolicy"]["Attempts"], &group["ReschedulePolicy"]["Interval"]),
        (&json!(9), &json!(86_400_000_000_000_i64))
    );
    assert_eq!(job["Reschedule"]["Interval"], Value::Null);
    assert_eq!((&group["Migrate"]["MaxParallel"], &job["Migrate"]["HealthCheck"]), (&json!(7), &Value::Null));
    let task = &group["Tasks"][0];
    assert_eq!((&task["Resources"]["CPU"], &task["Resources"]["Cores"]), (&json!(0), &json!(2)));
    assert_eq!((&task["RestartPolicy"]["Attempts"], &task["RestartPolicy"]["Mode"]), (&json!(8), &json!("delay")));
    assert_eq!(task["Artifacts"][0]["RelativeDest"], json!("local/y.txt"));
    assert_eq!(task["Templates"][0]["ChangeSignal"], json!("SIGHUP"));
}
