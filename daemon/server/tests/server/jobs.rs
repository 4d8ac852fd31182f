//! The way of a job: registered, placed, running, deployed, changed, stopped.

use nomadd_model::{
    ClientStatus, DeploymentStatus, EvaluationStatus, JobPlanRequest, JobRegisterRequest, JobRevertRequest, JobStatus,
    JobValidateRequest, ScalingRequest,
};
use nomadd_server::jobs::{self, StopOptions};
use nomadd_server::{Caller, EndpointError};

use crate::harness::{Behaviour, FakeNode, Host, job, live, running};

fn caller() -> Caller {
    Caller::anonymous()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_placed_runs_is_deployed_and_stops() {
    let host = Host::start(|_| ()).await;
    let _node = FakeNode::start(&host, 1, Behaviour::Run).await;
    let response = host.register(job("web", |job| job["TaskGroups"][0]["Count"] = 3.into())).await;
    assert!(response.eval_id.is_some() && response.job_modify_index > 0);
    host.until("three running allocations", |state| (running(state, "web") == 3).then_some(())).await;
    let deployment = host
        .until("a successful deployment", |state| {
            let latest = state.latest_deployment("default", "web")?;
            (latest.status == DeploymentStatus::Successful).then(|| latest.clone())
        })
        .await;
    assert_eq!(deployment.task_groups["g"].healthy_allocs, 3);
    let state = host.server.state();
    assert!(state.job("default", "web").unwrap().stable);
    assert_eq!(state.evaluation(response.eval_id).unwrap().status, EvaluationStatus::Complete);
    jobs::deregister(&host.server, &caller(), "default", "web", StopOptions::default()).await.unwrap();
    host.until("all allocations complete", |state| {
        let mut all = state.allocations_by_job("default", "web");
        all.all(|found| found.client_status == ClientStatus::Complete).then_some(())
    })
    .await;
    host.until("a dead job", |state| (state.job("default", "web")?.status == JobStatus::Dead).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_a_node_waits_until_one_comes() {
    let host = Host::start(|_| ()).await;
    host.register(job("early", |_| ())).await;
    let blocked = host
        .until("a blocked evaluation", |state| {
            state.evaluations().find(|found| found.status == EvaluationStatus::Blocked).cloned()
        })
        .await;
    let _node = FakeNode::start(&host, 1, Behaviour::Run).await;
    host.until("it runs", |state| (running(state, "early") == 1).then_some(())).await;
    host.until("the blocked evaluation is done", |state| {
        (state.evaluation(blocked.id)?.status == EvaluationStatus::Complete).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_batch_allocation_is_placed_again_and_a_finished_one_is_not() {
    let host = Host::start(|_| ()).await;
    let node = FakeNode::start(&host, 1, Behaviour::Complete).await;
    let batch = |id: &str| {
        job(id, |job| {
            job["Type"] = "batch".into();
            job["TaskGroups"][0]["ReschedulePolicy"] = serde_json::json!({
                "Attempts": 1, "Interval": 86_400_000_000_000_i64, "Delay": 5_000_000_000_i64,
                "DelayFunction": "constant", "MaxDelay": 0, "Unlimited": false,
            });
        })
    };
    host.register(batch("done")).await;
    host.until("a dead job", |state| (state.job("default", "done")?.status == JobStatus::Dead).then_some(())).await;
    node.behave(Behaviour::Fail);
    host.register(batch("again")).await;
    let first = host
        .until("a failed allocation with a follow-up", |state| {
            state.allocations_by_job("default", "again").find(|found| found.followup_eval_id.is_some()).cloned()
        })
        .await;
    let state = host.server.state();
    let followup = state.evaluation(first.followup_eval_id).expect("what a plan refers to is written with it");
    assert!(followup.wait_until.unix_nanos() > 0);
    node.behave(Behaviour::Complete);
    host.until("its replacement", |state| {
        let mut all = state.allocations_by_job("default", "again");
        all.find(|found| found.previous_allocation == first.id && found.client_status == ClientStatus::Complete)
            .map(|_| ())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unhealthy_allocation_that_may_not_be_placed_again_fails_the_deployment() {
    let host = Host::start(|_| ()).await;
    let _node = FakeNode::start(&host, 1, Behaviour::Fail).await;
    host.register(job("crash", |job| {
        job["TaskGroups"][0]["ReschedulePolicy"] = serde_json::json!({ "Attempts": 0, "Unlimited": false });
    }))
    .await;
    let failed = host
        .until("a failed deployment", |state| {
            let latest = state.latest_deployment("default", "crash")?;
            (latest.status == DeploymentStatus::Failed).then(|| latest.clone())
        })
        .await;
    assert_eq!(failed.status_description, "Failed due to unhealthy allocations");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_update_goes_on_as_allocations_become_healthy() {
    let host = Host::start(|_| ()).await;
    let _node = FakeNode::start(&host, 1, Behaviour::Run).await;
    let version = |value: &'static str| {
        job("roll", move |job| {
            job["TaskGroups"][0]["Count"] = 3.into();
            job["TaskGroups"][0]["Tasks"][0]["Env"] = serde_json::json!({ "V": value });
        })
    };
    host.register(version("1")).await;
    let deployed = |version: u64| {
        move |state: &nomadd_state::State| {
            let latest = state.latest_deployment("default", "roll")?;
            (latest.job_version == version && latest.status == DeploymentStatus::Successful).then_some(())
        }
    };
    host.until("the first deployment", deployed(0)).await;
    host.register(version("2")).await;
    host.until("the second deployment", deployed(1)).await;
    let state = host.server.state();
    assert!(live(&state, "roll").iter().all(|found| found.job_version == 1));
    let revert = JobRevertRequest { job_id: "roll".into(), job_version: 0, ..JobRevertRequest::default() };
    jobs::revert(&host.server, &caller(), revert).await.unwrap();
    host.until("the reverted deployment", deployed(2)).await;
    let state = host.server.state();
    let env = &state.job("default", "roll").unwrap().task_groups[0].tasks[0].env;
    assert_eq!(env["V"], "1");
    let same = JobRevertRequest { job_id: "roll".into(), job_version: 2, ..JobRevertRequest::default() };
    let error = jobs::revert(&host.server, &caller(), same).await.unwrap_err();
    assert_eq!(error, EndpointError::refused("can't revert to current version"));
    let unknown = JobRevertRequest { job_id: "roll".into(), job_version: 50, ..JobRevertRequest::default() };
    let error = jobs::revert(&host.server, &caller(), unknown).await.unwrap_err();
    assert_eq!(error.message, "job \"roll\" in namespace \"default\" at version 50 not found");
}

#[tokio::test(flavor = "multi_thread")]
async fn scaling_keeps_its_bounds_and_notes_what_was_said() {
    let host = Host::start(|_| ()).await;
    let _node = FakeNode::start(&host, 1, Behaviour::Run).await;
    host.register(job("web", |job| {
        job["TaskGroups"][0]["Scaling"] = serde_json::json!({ "Min": 1, "Max": 4, "Enabled": true, "Policy": {} });
    }))
    .await;
    host.until("a successful deployment", |state| {
        (state.latest_deployment("default", "web")?.status == DeploymentStatus::Successful).then_some(())
    })
    .await;
    let request = |count: Option<i64>, group: &str| ScalingRequest {
        count,
        message: "up".into(),
        target: [("Group".to_owned(), group.to_owned())].into(),
        ..ScalingRequest::default()
    };
    for (count, group, status, text) in [
        (Some(-1), "g", 400, "scaling action count can't be negative"),
        (Some(3), "nope", 400, "task group \"nope\" specified for scaling does not exist in job"),
        (Some(9), "g", 400, "group count was greater than scaling policy maximum: 9 > 4"),
        (Some(0), "g", 400, "group count was less than scaling policy minimum: 0 < 1"),
    ] {
        let scaled = jobs::scale(&host.server, &caller(), "default", "web", request(count, group)).await;
        assert_eq!(scaled.unwrap_err(), EndpointError::new(status, text));
    }
    let (_, response) = jobs::scale(&host.server, &caller(), "default", "web", request(Some(3), "g")).await.unwrap();
    assert!(response.eval_id.is_some());
    host.until("three running", |state| (running(state, "web") == 3).then_some(())).await;
    let status = jobs::scale_status(&host.server.state(), "default", "web").unwrap();
    let group = &status.task_groups["g"];
    assert_eq!((group.desired, group.running), (3, 3));
    let event = &group.events[0];
    assert_eq!((event.count, event.previous_count, event.message.as_str()), (Some(3), 1, "up"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_tells_what_would_happen_and_changes_nothing() {
    let host = Host::start(|_| ()).await;
    let _node = FakeNode::start(&host, 1, Behaviour::Run).await;
    host.register(job("web", |_| ())).await;
    host.until("it runs", |state| (running(state, "web") == 1).then_some(())).await;
    let request = JobPlanRequest {
        diff: true,
        job: Some(job("web", |job| job["TaskGroups"][0]["Count"] = 3.into())),
        ..JobPlanRequest::default()
    };
    let (_, response) = jobs::plan(&host.server, &caller(), request).await.unwrap();
    let diff = response.diff.unwrap();
    assert_eq!(diff.kind, "Edited");
    assert_eq!(diff.task_groups[0].fields[0].annotations, ["forces create"]);
    assert_eq!(response.annotations.unwrap().desired_tg_updates["g"].place, 2);
    let state = host.server.state();
    assert_eq!(state.job("default", "web").unwrap().task_groups[0].count, 1);
    assert_eq!(state.job("default", "web").unwrap().job_modify_index, response.job_modify_index);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_job_is_told_and_nothing_is_written() {
    let host = Host::start(|_| ()).await;
    host.until("a root key", |state| state.root_keys().next().map(|_| ())).await;
    let before = host.server.state().index();
    let empty = JobRegisterRequest::default();
    let error = jobs::register(&host.server, &caller(), empty).await.unwrap_err();
    assert_eq!(error, EndpointError::bad_request("Job must be specified"));
    let invalid = job("x", |job| job["TaskGroups"] = serde_json::json!([]));
    let request = JobRegisterRequest { job: Some(invalid.clone()), ..JobRegisterRequest::default() };
    let error = jobs::register(&host.server, &caller(), request).await.unwrap_err();
    assert_eq!(error, EndpointError::refused("1 error occurred:\n\t* Missing job task groups\n\n"));
    let request = JobValidateRequest { job: Some(invalid), ..JobValidateRequest::default() };
    let response = jobs::validate(&host.server, &caller(), request).unwrap();
    assert_eq!(response.validation_errors, ["Missing job task groups"]);
    let nowhere = job("x", |job| job["Namespace"] = "nope".into());
    let request = JobRegisterRequest { job: Some(nowhere), ..JobRegisterRequest::default() };
    let error = jobs::register(&host.server, &caller(), request).await.unwrap_err();
    assert_eq!(error.message, "1 error occurred:\n\t* job \"x\" is in nonexistent namespace \"nope\"\n\n");
    let enforced = JobRegisterRequest {
        job: Some(job("x", |_| ())),
        enforce_index: true,
        job_modify_index: 7,
        ..JobRegisterRequest::default()
    };
    let error = jobs::register(&host.server, &caller(), enforced).await.unwrap_err();
    assert_eq!(error.message, "Enforcing job modify index 7: job does not exist");
    assert!(host.server.state().job("default", "x").is_none());
    let (index, gone) =
        jobs::deregister(&host.server, &caller(), "default", "x", StopOptions::default()).await.unwrap();
    assert_eq!((index, gone.eval_id.to_string()), (0, String::new()));
    assert!(host.server.state().index() <= before + 1, "only the refused registration is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_can_be_paused_resumed_and_failed_but_not_promoted() {
    use nomadd_server::deployments::{self, Progress};
    // Nothing reports health here: the deployment stays open.
    let host = Host::start(|_| ()).await;
    host.register(job("web", |job| {
        job["TaskGroups"][0]["Networks"] = serde_json::json!([{ "DynamicPorts": [{ "Label": "http" }] }]);
        job["TaskGroups"][0]["Services"] =
            serde_json::json!([{ "Name": "web", "Provider": "nomad", "PortLabel": "http", "Checks": [{ "Type": "http", "Path": "/", "Interval": 1_000_000_000, "Timeout": 1_000_000_000 }] }]);
    }))
    .await;
    let id = host.until("a deployment", |state| state.latest_deployment("default", "web").map(|found| found.id)).await;
    let status = || host.server.state().deployment(id).unwrap().status;
    assert!(host.server.state().deployment(id).unwrap().status_description.contains("1 check not run"));
    deployments::set_progress(&host.server, &caller(), id, Progress::Pause).await.unwrap();
    assert_eq!(status(), DeploymentStatus::Paused);
    let error = deployments::promote(&host.server, &caller(), id).unwrap_err();
    assert!(error.message.starts_with("no canaries to promote"), "{error}");
    let (_, resumed) = deployments::set_progress(&host.server, &caller(), id, Progress::Resume).await.unwrap();
    assert!(resumed.eval_id.is_some());
    assert_eq!(status(), DeploymentStatus::Running);
    deployments::fail(&host.server, &caller(), id).await.unwrap();
    assert_eq!(status(), DeploymentStatus::Failed);
    let error = deployments::fail(&host.server, &caller(), id).await.unwrap_err();
    assert_eq!((error.status, error.message.as_str()), (500, "can't fail terminal deployment"));
    let nothing = nomadd_model::DeploymentId::from_random([7; 16]);
    let error = deployments::fail(&host.server, &caller(), nothing).await.unwrap_err();
    assert_eq!((error.status, error.message.as_str()), (404, "deployment not found"));
}
