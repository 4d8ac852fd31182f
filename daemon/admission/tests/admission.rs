//! Admission against what Nomad was recorded to answer, and against every job of the corpus.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its input has failed")]

use std::path::Path;

use nomadd_admission::{
    AdmissionContext, AdmissionError, Admitted, Drivers, Limits, NoDrivers, Places, admit, warning_text,
};
use nomadd_model::{Job, Namespace, NodePool, SchedulerConfiguration, Time, spec};
use serde_json::{Map, Value, json};

struct Cluster {
    namespaces: Vec<Namespace>,
    pools: Vec<NodePool>,
    scheduler: SchedulerConfiguration,
}

impl Places for Cluster {
    fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.iter().find(|namespace| namespace.name == name)
    }
    fn node_pool(&self, name: &str) -> Option<&NodePool> {
        self.pools.iter().find(|pool| pool.name == name)
    }
}

fn cluster() -> Cluster {
    let namespace = |value: Value| serde_json::from_value(value).unwrap();
    Cluster {
        namespaces: vec![
            namespace(json!({"Name": "default"})),
            namespace(json!({"Name": "team-b", "Capabilities": {"DisabledTaskDrivers": ["docker"]},
                "NodePoolConfiguration": {"Default": "gpu"}})),
        ],
        pools: ["default", "gpu"].map(|name| NodePool { name: name.into(), ..NodePool::default() }).into(),
        scheduler: SchedulerConfiguration::default(),
    }
}

fn admit_in(
    cluster: &Cluster,
    drivers: &dyn Drivers,
    existing: Option<&Job>,
    job: &Value,
) -> Result<Admitted, AdmissionError> {
    let written: spec::Job = serde_json::from_value(job.clone()).unwrap();
    admit(
        written,
        &AdmissionContext {
            region: "global",
            namespace: "default",
            limits: Limits::default(),
            scheduler: &cluster.scheduler,
            places: cluster,
            drivers,
            existing,
            now: Time(1_795_230_658_775_099_746),
        },
    )
}

fn admitted(job: &Value) -> Result<Admitted, AdmissionError> {
    admit_in(&cluster(), &NoDrivers, None, job)
}

fn error(job: &Value) -> String {
    admitted(job).unwrap_err().to_string()
}

/// A job that is taken, to be spoiled.
fn job() -> Value {
    json!({"ID": "x", "TaskGroups": [{"Name": "g", "Tasks": [{"Name": "t", "Driver": "raw_exec"}]}]})
}

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut job = job();
    change(&mut job);
    job
}

fn exchange(path: &str) -> Option<(Value, String)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/peer/http").join(path);
    let Ok(text) = std::fs::read_to_string(&file) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "required when CI=true: {}", file.display());
        println!("skipped: no {}", file.display());
        return None;
    };
    let request: String = text.lines().filter_map(|line| line.strip_prefix("> ")).collect::<Vec<_>>().join("\n");
    let answer = text.split_once("\nHTTP/1.1").unwrap().1.split_once("\n\n").unwrap().1;
    Some((serde_json::from_str(&request).unwrap_or_default(), answer.to_owned()))
}

#[test]
fn recorded_refusals_have_the_recorded_texts() {
    for path in ["jobs/register-invalid.http", "plan/plan-type-change.http"] {
        let Some((request, answer)) = exchange(path) else { return };
        let mut job = request["Job"].clone();
        // The recorded base job also renders a template, which this build refuses on its own account.
        if let Some(task) = job.pointer_mut("/TaskGroups/0/Tasks/0") {
            task["Templates"] = Value::Null;
        }
        assert_eq!(error(&job), answer, "{path}");
    }
    let Some((request, answer)) = exchange("jobs/validate-invalid.http") else { return };
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let refused = admitted(&request["Job"]).unwrap_err();
    assert_eq!(refused.to_string(), answer["Error"]);
    assert_eq!(json!(refused.errors), answer["ValidationErrors"]);
}

#[test]
fn a_taken_job_is_what_the_peer_answers_for_it() {
    let (Some((_, parsed)), Some((_, read))) = (exchange("jobs/parse.http"), exchange("job/read.http")) else { return };
    let mut read: Value = serde_json::from_str(&read).unwrap();
    let Admitted { job, warnings } = admitted(&serde_json::from_str(&parsed).unwrap()).unwrap();
    for name in ["CreateIndex", "JobModifyIndex", "ModifyIndex"] {
        read[name] = json!(0);
    }
    read["Status"] = json!("pending");
    assert_eq!(serde_json::to_value(&job).unwrap(), read);
    assert_eq!(
        warning_text(&warnings),
        "2 warnings:\n\n* group \"g\" defines services, but neither the group nor any of its tasks have shutdown_delay set\
         \n* service \"web\" of group \"g\" is not registered yet, 1 check not run"
    );
    let again = admitted(&serde_json::to_value(&job).unwrap()).unwrap();
    assert_eq!(again.job, job, "what was read can be sent again");
}

#[test]
fn unknown_places_and_forbidden_drivers_are_named() {
    let places = with(|job| (job["Namespace"], job["NodePool"]) = (json!("nope"), json!("far")));
    assert_eq!(
        error(&places),
        "2 errors occurred:\n\t* job \"x\" is in nonexistent namespace \"nope\"\n\t* job \"x\" is in nonexistent node pool \"far\"\n\n"
    );
    let docker = with(|job| {
        job["Namespace"] = json!("team-b");
        job["TaskGroups"][0]["Tasks"][0]["Driver"] = json!("docker");
    });
    assert_eq!(
        error(&docker),
        "1 error occurred:\n\t* used task driver \"docker\" is not allowed in namespace \"team-b\"\n\n"
    );
    let elsewhere = with(|job| job["Region"] = json!("south"));
    assert_eq!(
        admitted(&elsewhere).unwrap_err().errors,
        ["No path to region \"south\": this server is in region \"global\""]
    );
    let taken = admitted(&with(|job| job["Namespace"] = json!("team-b"))).unwrap();
    assert_eq!(&*taken.job.node_pool, "gpu", "the namespace's default node pool");
}

#[test]
fn errors_nest_by_group_and_task() {
    let wrong = with(|job| {
        job["TaskGroups"][0]["Tasks"][0]["Driver"] = json!("");
    });
    assert_eq!(
        error(&wrong),
        "1 error occurred:\n\t* Task group g validation failed: 1 error occurred:\n\t* Task t validation failed: 1 error occurred:\n\t* Missing task driver\n\n\n\n\n\n"
    );
    let update = with(|job| {
        job["TaskGroups"][0]["Update"] = json!({"MinHealthyTime": 600_000_000_000_i64, "HealthyDeadline": 300_000_000_000_i64, "ProgressDeadline": 60_000_000_000_i64});
    });
    assert_eq!(
        error(&update),
        "1 error occurred:\n\t* Task group g validation failed: 2 errors occurred:\n\t* Minimum healthy time must be less than healthy deadline: 10m0s > 5m0s\n\t* Healthy deadline must be less than progress deadline: 5m0s > 1m0s\n\n\n\n"
    );
}

#[test]
fn every_rule_has_its_sentence() {
    type Change = fn(&mut Value);
    let cases: &[(Change, &str)] = &[
        (|job| job["ID"] = json!(""), "Missing job ID"),
        (|job| job["ID"] = json!("a b"), "Job ID contains a space"),
        (|job| job["Priority"] = json!(101), "job priority must be between [1, 100]"),
        (|job| job["Datacenters"] = json!([""]), "Job datacenter must be non-empty string"),
        (|job| job["Type"] = json!("daemon"), "Invalid job type: \"daemon\""),
        (|job| job["Payload"] = json!("aGk="), "job can't be submitted with a payload, only dispatched"),
        (|job| job["TaskGroups"][0]["Count"] = json!(-1), "Task group count can't be negative"),
        (
            |job| job["TaskGroups"][0]["Count"] = json!(50_001),
            "total count was greater than configured job_max_count: 50001 > 50000",
        ),
        (|job| job["TaskGroups"][0]["Tasks"] = json!([]), "Missing tasks for task group"),
        (
            |job| job["TaskGroups"] = json!([job["TaskGroups"][0], job["TaskGroups"][0]]),
            "Job task group 2 redefines 'g' from group 1",
        ),
        (|job| job["TaskGroups"][0]["Tasks"][0]["Name"] = json!("a/b"), "Task name cannot include slashes"),
        (|job| job["TaskGroups"][0]["Tasks"][0]["Name"] = json!(".."), "Task name cannot be a relative path"),
        (
            |job| job["TaskGroups"][0]["Tasks"][0]["Resources"] = json!({"CPU": 100, "Cores": 1}),
            "Task can only ask for 'cpu' or 'cores' resource, not both.",
        ),
        (
            |job| job["TaskGroups"][0]["Tasks"][0]["Resources"] = json!({"MemoryMB": 5}),
            "minimum MemoryMB value is 10; got 5",
        ),
        (
            |job| job["TaskGroups"][0]["Tasks"][0]["LogConfig"] = json!({"MaxFiles": 30}),
            "log storage (300 MB) must be less than requested disk capacity (300 MB)",
        ),
        (
            |job| job["TaskGroups"][0]["Tasks"][0]["Lifecycle"] = json!({"Hook": "midway"}),
            "Lifecycle validation failed: invalid hook: midway",
        ),
        (
            |job| job["TaskGroups"][0]["Tasks"][0]["Lifecycle"] = json!({"Hook": "prestart"}),
            "Task group must have at least one main task",
        ),
        (
            |job| job["TaskGroups"][0]["Tasks"][0]["Constraints"] = json!([{"Operand": "distinct_hosts"}]),
            "Constraint 1 has disallowed Operand at task level: distinct_hosts",
        ),
        (
            |job| job["TaskGroups"][0]["Tasks"][0]["Services"] = json!([{"Name": "s", "PortLabel": "http"}]),
            "port label \"http\" referenced by services \"s\" does not exist",
        ),
        (
            |job| job["Constraints"] = json!([{"LTarget": "${attr.a}", "Operand": "regexp", "RTarget": "("}]),
            "Regular expression failed to compile",
        ),
        (
            |job| {
                job["TaskGroups"][0]["Networks"] =
                    json!([{"ReservedPorts": [{"Label": "a", "Value": 80}, {"Label": "b", "Value": 80}]}])
            },
            "Static port 80 already reserved by taskgroup network:a",
        ),
        (
            |job| job["TaskGroups"][0]["Networks"] = json!([{"DynamicPorts": [{"Label": "a"}, {"Label": "a"}]}]),
            "Port label a already in use by taskgroup network",
        ),
        (
            |job| job["TaskGroups"][0]["Services"] = json!([{"Name": "s_", "Provider": "nomad"}]),
            "Service name must be valid per RFC 1123",
        ),
        (
            |job| job["TaskGroups"][0]["Services"] = json!([{"Name": "s", "PortLabel": "p", "Provider": "nomad", "Checks": [{"Type": "script", "Interval": 1_000_000_000}]}]),
            "missing required value timeout. Timeout cannot be less than 1s",
        ),
        (
            |job| job["TaskGroups"][0]["MaxRunDuration"] = json!(5),
            "max_run_duration can only be used with batch or sysbatch jobs",
        ),
    ];
    for (change, expected) in cases {
        let job = with(change);
        let text = error(&job);
        assert!(text.contains(expected), "{expected:?} is not in {text}");
    }
    let system = json!({"ID": "x", "Type": "system", "Affinities": [{"LTarget": "a", "Operand": "=", "RTarget": "b"}],
        "TaskGroups": [{"Name": "g", "Count": 2, "ReschedulePolicy": {"Attempts": 1}, "Migrate": {"MaxParallel": 1},
            "Tasks": [{"Name": "t", "Driver": "raw_exec"}]}]});
    let text = error(&system);
    for expected in [
        "System jobs may not have an affinity block",
        "Job task group g has count 2. Count cannot exceed 1 with system scheduler",
        "System or sysbatch jobs should not have a reschedule policy",
        "Job type \"system\" does not allow migrate block",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in {text}");
    }
}

#[test]
fn what_this_build_cannot_do_is_refused_by_block_and_place() {
    type Change = fn(&mut Value);
    let cases: &[(Change, &str)] = &[
        (|job| (job["Type"], job["Periodic"]) = (json!("batch"), json!({"Spec": "* * * * *"})), "periodic"),
        (|job| (job["Type"], job["ParameterizedJob"]) = (json!("batch"), json!({})), "parameterized"),
        (|job| job["Multiregion"] = json!({}), "multiregion"),
        (|job| job["TaskGroups"][0]["Update"] = json!({"Canary": 1}), "group \"g\": canary > 0 in the update block"),
        (|job| job["Update"] = json!({"AutoRevert": true}), "group \"g\": auto_revert in the update block"),
        (
            |job| job["TaskGroups"][0]["Volumes"] = json!({"v": {"Type": "csi", "Source": "s"}}),
            "group \"g\": type = \"csi\" of volume \"v\"",
        ),
        (
            |job| job["TaskGroups"][0]["Volumes"] = json!({"v": {"Type": "host", "Source": "s", "Sticky": true}}),
            "group \"g\": sticky of volume \"v\"",
        ),
        (
            |job| job["TaskGroups"][0]["Consul"] = json!({"Namespace": "n"}),
            "group \"g\": namespace in the consul block",
        ),
        (
            |job| job["TaskGroups"][0]["Tasks"][0]["Resources"] = json!({"Networks": [{"Mode": "bridge"}]}),
            "group \"g\", task \"t\": mode \"bridge\" in the network block of a task (the group's network block takes it)",
        ),
        (|job| job["TaskGroups"][0]["Tasks"][0]["Templates"] = json!([{}]), "group \"g\", task \"t\": template"),
        (|job| job["TaskGroups"][0]["Tasks"][0]["Artifacts"] = json!([{}]), "group \"g\", task \"t\": artifact"),
        (
            |job| job["TaskGroups"][0]["Tasks"][0]["Identity"] = json!({"Env": true}),
            "group \"g\", task \"t\": identity",
        ),
        (
            |job| job["TaskGroups"][0]["Tasks"][0]["Identities"] = json!([{"Name": "a"}]),
            "group \"g\", task \"t\": identity",
        ),
        (|job| job["TaskGroups"][0]["Tasks"][0]["Actions"] = json!([{"Name": "a"}]), "group \"g\", task \"t\": action"),
        (|job| job["TaskGroups"][0]["Tasks"][0]["Vault"] = json!({}), "group \"g\", task \"t\": vault"),
        (|job| job["TaskGroups"][0]["Tasks"][0]["Secrets"] = json!([{}]), "group \"g\", task \"t\": secret"),
        (
            |job| job["TaskGroups"][0]["Tasks"][0]["DispatchPayload"] = json!({"File": "a"}),
            "group \"g\", task \"t\": dispatch_payload",
        ),
        (
            |job| job["TaskGroups"][0]["Tasks"][0]["CSIPluginConfig"] = json!({"ID": "a"}),
            "group \"g\", task \"t\": csi_plugin",
        ),
        (|job| job["TaskGroups"][0]["Tasks"][0]["Schedule"] = json!({}), "group \"g\", task \"t\": schedule"),
        (
            |job| job["TaskGroups"][0]["Tasks"][0]["Resources"] = json!({"NUMA": {"Affinity": "require"}}),
            "group \"g\", task \"t\": numa in the resources block",
        ),
        (
            |job| job["TaskGroups"][0]["Services"] = json!([{"Name": "s", "Connect": {}}]),
            "group \"g\": connect of service \"s\"",
        ),
    ];
    for (change, expected) in cases {
        let refused = admitted(&with(change)).unwrap_err();
        assert_eq!(refused.errors, [format!("{expected} is not supported by this version of nomadd yet")]);
    }
}

#[test]
fn a_group_on_the_bridge_needs_nodes_with_its_plugins() {
    let job = with(|job| {
        job["TaskGroups"][0]["Networks"] = json!([{"Mode": "bridge", "Hostname": "web-${NOMAD_ALLOC_INDEX}"}])
    });
    let admitted = admitted(&job).unwrap();
    let implied: Vec<String> = admitted.job.task_groups[0]
        .constraints
        .iter()
        .map(|constraint| format!("{} {} {}", constraint.l_target, constraint.operand, constraint.r_target))
        .collect();
    let plugins = ["bridge", "firewall", "host-local", "loopback", "portmap"];
    let expected = plugins.map(|plugin| format!("${{attr.plugins.cni.version.{plugin}}} semver >= 0.4.0"));
    assert_eq!(implied, expected);
    let warnings = admitted.warnings.join(" ");
    assert!(
        warnings.contains("no effect on task \"t\": raw_exec sees the files and the name of the host"),
        "{warnings}"
    );
}

#[test]
fn what_no_network_can_be_is_refused_and_what_has_no_effect_is_said() {
    for (network, expected) in [
        (json!({"Mode": "weave"}), "network mode \"weave\" is none of"),
        (json!({"Mode": "cni/"}), "network mode \"cni/\" is none of"),
        (json!({"Mode": "bridge", "Hostname": "a_b"}), "Hostname \"a_b\" is not a valid DNS name"),
        (json!({"Mode": "bridge", "DNS": {"Searches": ["a\nb"]}}), "\"a\\nb\" in the dns block"),
    ] {
        let text = error(&with(|job| job["TaskGroups"][0]["Networks"] = json!([network])));
        assert!(text.contains(expected), "{expected:?} is not in {text}");
    }
    let said = |network: Value| {
        let job = with(|job| job["TaskGroups"][0]["Networks"] = json!([network]));
        admitted(&job).unwrap().warnings.join(" ")
    };
    assert!(said(json!({"Hostname": "web"})).contains("hostname of a network of mode \"host\" has no effect"));
    assert!(said(json!({"Mode": "none", "CNI": {"Args": {"a": "b"}}})).contains("cni of a network"));
    assert_eq!(said(json!({"Mode": "cni/mine", "CNI": {"Args": {"a": "b"}}})), "");
}

#[test]
fn a_driver_has_its_say() {
    struct Picky;
    impl Drivers for Picky {
        fn check(&self, driver: &str, config: &Map<String, Value>) -> Vec<String> {
            if config.contains_key("command") { Vec::new() } else { vec![format!("{driver}: command is missing")] }
        }
    }
    let text = admit_in(&cluster(), &Picky, None, &job()).unwrap_err().to_string();
    assert!(text.contains("Task t validation failed: 1 error occurred:\n\t* raw_exec: command is missing"), "{text}");
}

#[test]
fn memory_beyond_the_reservation_needs_the_clusters_consent() {
    let greedy = with(|job| job["TaskGroups"][0]["Tasks"][0]["Resources"] = json!({"MemoryMB": 20, "MemoryMaxMB": 40}));
    let warnings = admitted(&greedy).unwrap().warnings;
    assert_eq!(
        warnings,
        [
            "Memory oversubscription is not enabled; Task \"g.t\" memory_max value will be ignored. Update the Scheduler Configuration to allow oversubscription."
        ]
    );
    let mut generous = cluster();
    generous.scheduler.memory_oversubscription_enabled = true;
    assert_eq!(admit_in(&generous, &NoDrivers, None, &greedy).unwrap().warnings, Vec::<String>::new());
}

#[test]
fn signals_imply_that_the_node_knows_them() {
    let job = with(|job| job["TaskGroups"][0]["Tasks"][0]["KillSignal"] = json!("SIGINT"));
    let taken = admitted(&job).unwrap().job;
    assert_eq!(
        serde_json::to_value(&taken.task_groups[0].constraints).unwrap(),
        json!([{"LTarget": "${attr.os.signals}", "Operand": "set_contains", "RTarget": "SIGINT"}])
    );
}

#[test]
fn scaling_policies_keep_their_ids() {
    let scaled = with(|job| job["TaskGroups"][0]["Scaling"] = json!({"Max": 5}));
    let mut existing = admitted(&scaled).unwrap().job;
    let id = "237fa063-8fdc-cf71-05e4-4b5026e640dc".parse().unwrap();
    existing.task_groups[0].scaling.as_mut().unwrap().id = id;
    let again = admit_in(&cluster(), &NoDrivers, Some(&existing), &scaled).unwrap().job;
    assert_eq!(again.task_groups[0].scaling.as_ref().unwrap().id, id);
}

#[test]
fn every_job_of_the_corpus_is_taken_or_refused_with_sentences() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/jobs");
    if !folder.join("manifest.json").exists() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "the corpus is required when CI=true");
        println!("skipped: no corpus at {}", folder.display());
        return;
    }
    let read = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap() };
    let mut taken = 0;
    for golden in read("manifest.json").as_array().unwrap().iter().filter_map(|entry| entry["golden"].as_str()) {
        match admitted(&read(golden)) {
            Ok(admitted) => {
                taken += 1;
                assert_eq!(
                    self::admitted(&serde_json::to_value(&admitted.job).unwrap()).unwrap().job,
                    admitted.job,
                    "{golden}"
                );
            }
            Err(refused) => assert!(refused.errors.iter().all(|error| error.len() > 8), "{golden}: {refused}"),
        }
    }
    assert!(taken >= 40, "only {taken} jobs are taken");
}

/// Every number of a job made as large or small as can be, every text emptied: nothing may panic.
fn extreme(value: &Value, to: &Value) -> Value {
    match value {
        Value::Number(_) if to.is_number() => to.clone(),
        Value::String(_) if to.is_string() => to.clone(),
        Value::Array(items) => items.iter().map(|item| extreme(item, to)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, field)| {
                let kept = matches!(name.as_str(), "Type" | "Policy" | "Config");
                (name.clone(), if kept { field.clone() } else { extreme(field, to) })
            })
            .collect(),
        other => other.clone(),
    }
}

#[test]
fn extreme_values_are_refused_or_taken_but_never_fatal() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/jobs");
    if !folder.join("manifest.json").exists() {
        println!("skipped: no corpus at {}", folder.display());
        return;
    }
    let read = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap() };
    let cluster = cluster();
    let mut tried = 0;
    for golden in read("manifest.json").as_array().unwrap().iter().filter_map(|entry| entry["golden"].as_str()) {
        let golden = read(golden);
        let plain = nomadd_model::canonicalize::canonicalize(
            serde_json::from_value(golden.clone()).unwrap(),
            &nomadd_model::canonicalize::Settings::default(),
        )
        .unwrap();
        for to in [json!(i64::MAX), json!(i64::MIN), json!(-1), json!(0), json!(1), json!(""), json!("\u{0}/..${")] {
            let Ok(written) = serde_json::from_value::<spec::Job>(extreme(&golden, &to)) else { continue };
            let job = serde_json::to_value(&written).unwrap();
            if let Err(refused) = admit_in(&cluster, &NoDrivers, Some(&plain), &job) {
                assert!(!refused.errors.is_empty());
            }
            tried += 1;
        }
    }
    assert!(tried > 900, "only {tried} were tried");
}
