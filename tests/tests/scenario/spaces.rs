//! Namespaces and node pools as people use them: files, flags, what is refused, what is seen of other namespaces.

use nomadd_tests::{Agent, ctl};

use super::jobs;

const TEAM: &str = "name        = \"team-b\"\ndescription = \"team b\"\n\nmeta {\n  owner = \"bob\"\n}\n\ncapabilities {\n  enabled_task_drivers  = [\"raw_exec\"]\n  disabled_task_drivers = [\"docker\"]\n}\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_is_applied_used_and_deleted_when_it_is_empty() {
    let agent = Agent::dev().await;
    agent.file("team-b.hcl", TEAM);
    let applied = agent.ctl(&["namespace", "apply", "team-b.hcl"]).await.ok();
    assert_eq!(applied, "Successfully applied namespace \"team-b\"!\n");
    agent.ctl(&["namespace", "apply", "-description", "team a", "team-a"]).await.ok();
    let listed = agent.ctl(&["namespace", "list"]).await.ok();
    assert_eq!(listed, "Name     Description\ndefault  Default shared namespace\nteam-a   team a\nteam-b   team b\n");
    let status = agent.ctl(&["namespace", "status", "team-b"]).await.ok();
    assert_eq!(ctl::value(&status, "Enabled Drivers"), "raw_exec");
    assert_eq!(ctl::value(&status, "owner"), "bob");
    let bad = agent.ctl(&["namespace", "apply", "team c!"]).await.code(1).err;
    assert!(bad.contains("* invalid name \"team c!\". Must match regex ^[a-zA-Z0-9-]{1,128}$"), "{bad}");

    // From standard input, as JSON of the API.
    let json = r#"{"Name": "team-c", "Description": "by pipe"}"#;
    ctl::with_input(&agent.address(), &["namespace", "apply", "-json", "-"], agent.path(), json).await.ok();
    assert!(agent.ctl(&["namespace", "inspect", "team-c"]).await.ok().contains("by pipe"));
    agent.ctl(&["namespace", "delete", "team-c"]).await.ok();

    agent.file("svc.nomad.hcl", &jobs::service("svc", 1, "", "exec sleep 1000"));
    agent.ctl(&["job", "run", "-namespace=team-a", "svc.nomad.hcl"]).await.ok();
    let elsewhere = agent.ctl(&["job", "status", "svc"]).await.code(1).err;
    assert_eq!(elsewhere, "No job(s) with prefix or ID \"svc\" found\n");
    let all = agent.ctl(&["job", "status", "-namespace=*"]).await.ok();
    assert_eq!(ctl::table(&all, "ID")[0]["Namespace"], "team-a");
    for path in ["/v1/jobs", "/v1/allocations", "/v1/evaluations", "/v1/deployments"] {
        let seen = |list: &serde_json::Value| list.as_array().is_some_and(|list| !list.is_empty());
        assert!(!seen(&agent.get(path).await), "{path} shows another namespace");
        assert!(seen(&agent.get(&format!("{path}?namespace=team-a")).await), "{path}");
        assert!(seen(&agent.get(&format!("{path}?namespace=*")).await), "{path}");
    }
    let docker = jobs::service("docker", 1, "", "true").replace("raw_exec", "docker");
    agent.file("docker.nomad.hcl", &docker);
    let refused = agent.ctl(&["job", "run", "-namespace=team-b", "docker.nomad.hcl"]).await.code(1).err;
    assert!(refused.contains("* used task driver \"docker\" is not allowed in namespace \"team-b\""), "{refused}");

    let busy = agent.ctl(&["namespace", "delete", "team-a"]).await.code(1).err;
    assert!(busy.contains("2 errors occurred:"), "{busy}");
    assert!(busy.contains("* namespace \"team-a\" has non-terminal jobs in regions: [global]"), "{busy}");
    assert!(busy.contains("* namespace \"team-a\" has non-terminal allocations in regions: [global]"), "{busy}");
    agent.ctl(&["job", "stop", "-namespace=team-a", "-purge", "svc"]).await.ok();
    nomadd_tests::wait::until("the namespace can go", || async {
        let gone = agent.ctl(&["namespace", "delete", "team-a"]).await;
        if gone.code == 0 { Ok(()) } else { Err(gone.err) }
    })
    .await;
    let default = agent.ctl(&["namespace", "delete", "default"]).await.code(1).err;
    assert_eq!(default, "Error deleting namespace: Unexpected response code: 500 (can not delete default namespace)\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_pools_of_a_namespace_are_its_default_and_what_it_allows() {
    let agent = Agent::dev().await;
    let pool = |name: &str| format!("node_pool \"{name}\" {{\n  description = \"{name} nodes\"\n}}\n");
    for name in ["gpu", "arm"] {
        agent.file("pool.hcl", &pool(name));
        agent.ctl(&["node", "pool", "apply", "pool.hcl"]).await.ok();
    }
    let rules = "name = \"ml\"\nnode_pool_config {\n  default = \"gpu\"\n  allowed = [\"gpu\"]\n}\n";
    agent.file("ml.hcl", rules);
    agent.ctl(&["namespace", "apply", "ml.hcl"]).await.ok();
    let job = jobs::service("train", 1, "", "exec sleep 1000");
    agent.file("train.nomad.hcl", &job);
    agent.ctl(&["job", "run", "-detach", "-namespace=ml", "train.nomad.hcl"]).await.ok();
    let read = agent.get("/v1/job/train?namespace=ml").await;
    assert_eq!(read["NodePool"], "gpu", "the namespace's default");
    let in_arm = job.replacen("type =", "node_pool = \"arm\"\n  type =", 1);
    agent.file("arm.nomad.hcl", &in_arm);
    let refused = agent.ctl(&["job", "run", "-namespace=ml", "arm.nomad.hcl"]).await.code(1).err;
    assert!(refused.contains("* node pool \"arm\" is not allowed in namespace \"ml\""), "{refused}");
    agent.ctl(&["job", "run", "-detach", "arm.nomad.hcl"]).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_pool_comes_with_its_first_node_and_goes_when_nothing_uses_it() {
    let configuration = "client {\n  node_pool = \"edge\"\n}\n";
    let agent = Agent::start(&["-dev"], configuration).await;
    agent.node_ready().await;
    let listed = agent.ctl(&["node", "pool", "list"]).await.ok();
    assert_eq!(
        listed,
        "Name     Description\nall      Node pool with all nodes in the cluster.\ndefault  Default node pool.\nedge     <none>\n"
    );
    let nodes = agent.ctl(&["node", "pool", "nodes", "edge"]).await.ok();
    assert_eq!(ctl::table(&nodes, "ID")[0]["Status"], "ready");
    assert_eq!(agent.ctl(&["node", "pool", "nodes", "default"]).await.ok(), "No nodes\n");
    let busy = agent.ctl(&["node", "pool", "delete", "edge"]).await.code(1).err;
    assert!(busy.contains("* node pool \"edge\" has nodes in regions: [global]"), "{busy}");
    let built_in = agent.ctl(&["node", "pool", "delete", "all"]).await.code(1).err;
    assert!(built_in.contains("500 (deleting node pool \"all\" is not allowed)"), "{built_in}");
    let unknown = agent.ctl(&["node", "pool", "info", "nope"]).await.code(1).err;
    assert_eq!(unknown, "Node pool \"nope\" not found\n");

    let written = agent.ctl(&["node", "pool", "init"]).await.ok();
    assert_eq!(written, "Example node pool specification written to pool.nomad.hcl\n");
    assert_eq!(
        agent.ctl(&["node", "pool", "apply", "pool.nomad.hcl"]).await.ok(),
        "Successfully applied node pool \"example\"!\n"
    );
    let info = agent.ctl(&["node", "pool", "info", "example"]).await.ok();
    assert_eq!(ctl::value(&info, "Scheduler Algorithm"), "spread");
    assert_eq!(ctl::value(&info, "Node Identity TTL"), "24h0m0s");

    // A job of the pool runs on its node; one of a pool without nodes waits.
    let job = |name: &str, pool: &str| {
        jobs::service(name, 1, "", "exec sleep 1000").replacen(
            "type =",
            &format!("node_pool = \"{pool}\"\n  type ="),
            1,
        )
    };
    agent.file("here.nomad.hcl", &job("here", "edge"));
    agent.ctl(&["job", "run", "here.nomad.hcl"]).await.ok();
    agent.file("waits.nomad.hcl", &job("waits", "example"));
    agent.ctl(&["job", "run", "-detach", "waits.nomad.hcl"]).await.ok();
    let jobs_there = agent.ctl(&["node", "pool", "jobs", "example"]).await.ok();
    assert_eq!(ctl::table(&jobs_there, "ID")[0]["ID"], "waits");
    let busy = agent.ctl(&["node", "pool", "delete", "example"]).await.code(1).err;
    assert!(busy.contains("* node pool \"example\" has non-terminal jobs in regions: [global]"), "{busy}");
    agent.file("nowhere.nomad.hcl", &job("nowhere", "missing"));
    let refused = agent.ctl(&["job", "run", "nowhere.nomad.hcl"]).await.code(1).err;
    assert!(refused.contains("* job \"nowhere\" is in nonexistent node pool \"missing\""), "{refused}");
}
