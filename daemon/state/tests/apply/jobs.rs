//! Jobs: their versions, status, summaries and deployments, and the namespaces that hold them.

use crate::*;

#[test]
fn the_same_specification_makes_no_version_and_another_does() {
    let mut cluster = Cluster::new();
    let first = cluster.register(1);
    assert!(matches!(first.response, Response::Job { version: 0, changed: true, .. }), "{:?}", first.response);
    let created = cluster.index;
    let again = cluster.register_with(|job| {
        job.task_groups[0].count = 1;
        job.submit_time = 99;
    });
    assert!(matches!(again.response, Response::Job { version: 0, changed: false, .. }), "{:?}", again.response);
    assert_eq!(cluster.state.table_index(Table::Jobs), created, "nothing was written");
    cluster.register(2);
    let job = cluster.job();
    assert_eq!((job.version, job.create_index, job.job_modify_index), (1, created, cluster.index));
    let refused = |wanted| {
        Command::JobRegister(JobRegister { job: job.clone(), enforce_index: Some(wanted), ..JobRegister::default() })
    };
    for (wanted, text) in [
        (0, "Enforcing job modify index 0: job already exists".to_owned()),
        (5, format!("Enforcing job modify index 5: job exists with conflicting job modify index: {}", cluster.index)),
    ] {
        let applied = cluster.apply(refused(wanted));
        assert_eq!(applied.response.refused().unwrap().to_string(), text);
        assert!(applied.changes.is_empty() && applied.events.is_empty());
    }
}

#[test]
fn six_versions_are_kept_and_the_newest_stable_one_and_tagged_ones_stay() {
    let mut cluster = Cluster::new();
    cluster.register(0);
    cluster.place(&[(1, 10)]);
    cluster.apply(Command::JobStability(JobStability {
        namespace: "default".into(),
        id: "j".into(),
        version: 1,
        stable: true,
    }));
    for count in 1..=9 {
        cluster.register(count);
        if count == 1 {
            cluster.apply(Command::JobStability(JobStability {
                namespace: "default".into(),
                id: "j".into(),
                version: 1,
                stable: true,
            }));
        }
        if count == 3 {
            cluster.apply(Command::JobVersionTag(JobVersionTagSet {
                namespace: "default".into(),
                id: "j".into(),
                version: 3,
                tag: Some(spec::JobVersionTag { name: "good".into(), ..Default::default() }),
                name: "".into(),
            }));
        }
    }
    let versions: Vec<u64> = cluster.state.job_versions("default", "j").map(|job| job.version).collect();
    assert_eq!(versions, [9, 8, 7, 6, 5, 3, 1]);
    assert!(cluster.state.job_version("default", "j", 2).is_none());
    let of_first = cluster.state.job_of(cluster.allocation(1)).unwrap();
    assert_eq!(of_first.version, 0, "an allocation keeps its version readable");
    let taken = cluster.apply(Command::JobVersionTag(JobVersionTagSet {
        namespace: "default".into(),
        id: "j".into(),
        version: 9,
        tag: Some(spec::JobVersionTag { name: "good".into(), ..Default::default() }),
        name: "".into(),
    }));
    assert!(matches!(taken.response.refused(), Some(Refused::TagTaken { .. })));
}

#[test]
fn the_status_of_a_job_follows_its_evaluations_and_allocations() {
    let mut cluster = Cluster::new();
    let status = |cluster: &Cluster| cluster.job().status;
    cluster.register(1);
    assert_eq!(status(&cluster), JobStatus::Pending);
    cluster.evaluate(EvaluationStatus::Pending, 1);
    cluster.place(&[(1, 10)]);
    assert_eq!(status(&cluster), JobStatus::Running);
    cluster.evaluate(EvaluationStatus::Complete, 0);
    cluster.client(1, ClientStatus::Running);
    let spec_index = cluster.job().job_modify_index;
    cluster.client(1, ClientStatus::Complete);
    assert_eq!(status(&cluster), JobStatus::Dead);
    assert_eq!(cluster.job().job_modify_index, spec_index);
    assert_eq!(cluster.job().modify_index, cluster.index);
    cluster.evaluate(EvaluationStatus::Pending, 0);
    assert_eq!(status(&cluster), JobStatus::Pending);
    cluster.evaluate(EvaluationStatus::Complete, 0);
    let purge = JobDeregister { namespace: "default".into(), id: "j".into(), purge: true, ..JobDeregister::default() };
    cluster.apply(Command::JobDeregister(purge));
    assert!(cluster.state.job("default", "j").is_none());
    assert!(cluster.state.job_of(cluster.allocation(1)).is_some());
    cluster.apply(Command::EvaluationDelete(EvaluationDelete {
        evaluations: vec![EvaluationId([7; 16])],
        allocations: vec![allocation(1)],
    }));
    assert_eq!(cluster.state.allocations_by_job("default", "j").count(), 0);
    cluster.register(1);
    assert_eq!((cluster.job().version, cluster.job().create_index), (0, cluster.index));
}

#[test]
fn summaries_count_as_allocations_change() {
    let mut cluster = Cluster::new();
    cluster.register(2);
    cluster.evaluate(EvaluationStatus::Pending, 2);
    let counts = |cluster: &Cluster| cluster.state.job_summary("default", "j").unwrap().summary["web"].clone();
    assert_eq!(counts(&cluster).queued, 2);
    cluster.place(&[(1, 10), (2, 10)]);
    assert_eq!((counts(&cluster).queued, counts(&cluster).starting), (0, 2));
    cluster.client(1, ClientStatus::Running);
    cluster.client(2, ClientStatus::Failed);
    let now = counts(&cluster);
    assert_eq!((now.starting, now.running, now.failed), (0, 1, 1));
    cluster.client(1, ClientStatus::Complete);
    cluster
        .apply(Command::EvaluationDelete(EvaluationDelete { evaluations: vec![], allocations: vec![allocation(2)] }));
    let now = counts(&cluster);
    assert_eq!((now.running, now.complete, now.failed), (0, 1, 1), "what ended stays counted");
}

#[test]
fn a_deployment_counts_health_and_success_makes_the_version_stable() {
    let mut cluster = Cluster::new();
    cluster.register(2);
    let id = DeploymentId([5; 16]);
    let group = DeploymentState { desired_total: 2, progress_deadline: Duration(500), ..DeploymentState::default() };
    let job = cluster.job();
    let mut plan = cluster.plan(&[(1, 10), (2, 10)]);
    plan.deployment = Some(Deployment {
        id,
        namespace: "default".into(),
        job_id: "j".into(),
        job_create_index: job.create_index,
        task_groups: [("web".into(), group)].into(),
        ..Deployment::default()
    });
    for placement in &mut plan.placements[0].placements {
        placement.deployment_id = id;
    }
    cluster.commit(plan);
    let placed_at = cluster.index as i64 * 1_000;
    let state = |cluster: &Cluster| cluster.state.deployment(id).unwrap().task_groups["web"].clone();
    assert_eq!((state(&cluster).placed_allocs, state(&cluster).require_progress_by), (2, Time(placed_at + 500)));
    cluster.client_with(1, ClientStatus::Running, Some(true));
    let healthy_at = cluster.index as i64 * 1_000;
    assert_eq!((state(&cluster).healthy_allocs, state(&cluster).require_progress_by), (1, Time(healthy_at + 500)));
    cluster.client_with(2, ClientStatus::Running, Some(false));
    cluster.client_with(2, ClientStatus::Running, Some(true));
    assert_eq!((state(&cluster).healthy_allocs, state(&cluster).unhealthy_allocs), (2, 0));
    let end = |status| {
        let update = DeploymentStatusUpdate { deployment_id: id, status, description: "done".into() };
        Command::DeploymentStatus(DeploymentStatusSet { update, ..DeploymentStatusSet::default() })
    };
    assert!(!cluster.job().stable);
    cluster.apply(end(DeploymentStatus::Successful));
    assert!(cluster.job().stable);
    assert!(cluster.apply(end(DeploymentStatus::Failed)).response.refused().is_some(), "what has ended stays so");
    assert_eq!(cluster.state.latest_deployment("default", "j").unwrap().status, DeploymentStatus::Successful);
}

#[test]
fn a_successful_evaluation_cancels_the_blocked_ones_of_its_job() {
    let mut cluster = Cluster::new();
    cluster.register(1);
    let blocked = evaluation(8, EvaluationStatus::Blocked, 1);
    cluster.apply(Command::EvaluationUpsert(EvaluationUpsert { evaluations: vec![blocked] }));
    let applied = cluster.evaluate(EvaluationStatus::Complete, 0);
    let canceled = cluster.state.evaluation(EvaluationId([8; 16])).unwrap();
    assert_eq!(canceled.status, EvaluationStatus::Canceled);
    assert!(applied.changes.contains(&WatchKey::Evaluation(EvaluationId([8; 16]))));
    let topics: Vec<_> = applied.events.iter().map(|event| event.topic().as_str()).collect();
    assert_eq!(topics, ["Evaluation", "Evaluation", "Job"], "the job's status has changed, too");
    assert_eq!(cluster.job().status, JobStatus::Dead, "it had its evaluation and got nothing");
}

#[test]
fn scaling_makes_a_version_only_when_the_count_differs() {
    let mut cluster = Cluster::new();
    cluster.register(2);
    let scale = |count| {
        Command::JobScale(JobScale {
            namespace: "default".into(),
            id: "j".into(),
            group: "web".into(),
            count,
            ..JobScale::default()
        })
    };
    cluster.apply(scale(Some(2)));
    cluster.apply(scale(None));
    assert_eq!(cluster.job().version, 0);
    cluster.apply(scale(Some(5)));
    assert_eq!((cluster.job().version, cluster.job().task_groups[0].count), (1, 5));
    let (_, events) = cluster.state.scaling_events("default", "j").next().unwrap();
    assert_eq!((events.len(), events[0].count, events[0].previous_count), (3, Some(5), 2));
}

#[test]
fn a_namespace_goes_when_its_jobs_are_dead_and_not_before() {
    let mut cluster = Cluster::new();
    let team = Namespace { name: "team".into(), ..Namespace::default() };
    cluster.apply(Command::NamespaceUpsert(NamespaceUpsert { namespaces: vec![team] }));
    cluster.register_with(|job| job.namespace = "team".into());
    let delete = || Command::NamespaceDelete(NamespaceDelete { names: vec!["team".into()] });
    assert!(cluster.apply(delete()).response.refused().is_some());
    let stop = JobDeregister { namespace: "team".into(), id: "j".into(), ..JobDeregister::default() };
    cluster.apply(Command::JobDeregister(stop));
    assert!(cluster.apply(delete()).response.refused().is_none());
    assert!(cluster.state.namespace("team").is_none());
}
