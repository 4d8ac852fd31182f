//! The canonical job: what servers answer for a written one, and that the way back and forth loses nothing.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its input has failed")]

#[path = "support/peer.rs"]
mod peer;

use std::path::Path;

use nomadd_model::canonicalize::{CanonicalizeError, Settings, canonicalize};
use nomadd_model::{Job, spec};
use serde_json::{Value, json};

#[test]
fn a_parsed_job_becomes_what_servers_answer() {
    let (Some((_, parsed)), Some((_, mut read))) = (peer::exchange("jobs/parse.http"), peer::exchange("job/read.http"))
    else {
        return;
    };
    let job = canonicalize(serde_json::from_value(parsed).unwrap(), &Settings::default()).unwrap();
    // Set by servers when they keep the job, and constraints that admission adds.
    for name in ["CreateIndex", "JobModifyIndex", "ModifyIndex", "SubmitTime"] {
        read[name] = json!(0);
    }
    read["Status"] = json!("pending");
    read["TaskGroups"][0]["Constraints"] = Value::Null;
    assert_eq!(serde_json::to_value(&job).unwrap(), read);
}

#[test]
fn a_job_that_was_read_can_be_sent_again() {
    for path in ["job/read.http", "job/read-periodic.http"] {
        let Some((_, read)) = peer::exchange(path) else { return };
        let job = canonicalize(serde_json::from_value(read.clone()).unwrap(), &Settings::default()).unwrap();
        assert_eq!(serde_json::to_value(&job).unwrap(), read, "{path}");
    }
}

#[test]
fn every_golden_job_survives_the_way_back_and_through_the_api() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/jobs");
    if !folder.join("manifest.json").exists() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "the corpus is required when CI=true");
        println!("skipped: no corpus at {}", folder.display());
        return;
    }
    let read = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap() };
    let mut seen = 0;
    for golden in read("manifest.json").as_array().unwrap().iter().filter_map(|entry| entry["golden"].as_str()) {
        let written: spec::Job = serde_json::from_value(read(golden)).unwrap();
        let job = canonicalize(written, &Settings::default()).unwrap();
        let back = canonicalize(spec::Job::from(&job), &Settings::default()).unwrap();
        assert!(job == back, "{golden}: the way back");
        let through: spec::Job = serde_json::from_slice(&serde_json::to_vec(&job).unwrap()).unwrap();
        assert!(job == canonicalize(through, &Settings::default()).unwrap(), "{golden}: through the API");
        let stored: Job = rmp_serde::from_slice(&rmp_serde::to_vec_named(&job).unwrap()).unwrap();
        assert!(job == stored, "{golden}: stored");
        seen += 1;
    }
    assert_eq!(seen, 193);
}

fn of(job: Value) -> Job {
    let settings = Settings { region: "north".into(), namespace: "apps".into(), node_pool: "big".into(), priority: 40 };
    canonicalize(serde_json::from_value(job).unwrap(), &settings).unwrap()
}

#[test]
fn a_server_fills_in_its_own_settings() {
    let job = of(json!({"ID": "a", "Region": "global", "Type": "batch", "ParameterizedJob": {}}));
    assert_eq!((&*job.region, &*job.namespace, &*job.node_pool, job.priority), ("north", "apps", "big", 40));
    assert_eq!(job.datacenters, ["*"]);
    assert_eq!(job.parameterized_job.unwrap().payload, "optional");
    let job = of(json!({"ID": "a", "Region": "south", "Namespace": "n", "NodePool": "p", "Priority": 7}));
    assert_eq!((&*job.region, &*job.namespace, &*job.node_pool, job.priority), ("south", "n", "p", 7));
}

#[test]
fn names_targets_and_tasks_are_filled_in_where_they_stand() {
    let job = of(json!({"ID": "a", "TaskGroups": [{"Name": "g", "Count": 2, "Scaling": {"Max": 5},
        "Services": [{"Name": "${BASE}-x", "Checks": [{"Type": "tcp"}]}],
        "Tasks": [{"Name": "t", "ScalingPolicies": [{"Type": "vertical_cpu", "Max": 9}],
            "Services": [{"Name": "${JOB}.${TASKGROUP}.${TASK}", "Provider": "nomad", "Checks": [{}]}]}]}]}));
    let group = &job.task_groups[0];
    assert_eq!(group.services[0].name, "a-g-group-x");
    assert_eq!(group.services[0].checks[0].name, "service: \"a-g-group-x\" check");
    assert_eq!(&*group.services[0].namespace, "default");
    let service = &group.tasks[0].services[0];
    assert_eq!((service.name.as_str(), &*service.namespace, service.task_name.as_str()), ("a.g.t", "apps", "t"));
    assert_eq!(service.checks[0].task_name, "t");
    let scaling = group.scaling.as_ref().unwrap();
    assert_eq!((scaling.min, scaling.max, scaling.kind.as_str()), (2, 5, "horizontal"));
    assert_eq!(json!(scaling.target), json!({"Namespace": "apps", "Job": "a", "Group": "g"}));
    assert_eq!(group.tasks[0].scaling_policies[0].target["Task"], "t");
}

#[test]
fn only_an_unknown_type_has_no_canonical_form() {
    let written = spec::Job { kind: Some("cron".into()), ..spec::Job::default() };
    assert_eq!(canonicalize(written, &Settings::default()), Err(CanonicalizeError::JobType("cron".into())));
    assert!(canonicalize(spec::Job::default(), &Settings::default()).is_ok());
}
