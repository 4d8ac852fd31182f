//! Files that move with an allocation: from node to node through a server when a node is drained, within a node when the
//! allocation is replaced there; and what happens when they cannot.

use nomadd_api::Request;
use nomadd_tests::lab::{Fleet, Host, Lab, on_hosts};
use nomadd_tests::until;
use serde_json::{Value, json};

/// Notes what the task finds, then leaves something for the next one.
const SCRIPT: &str = "echo \"$(hostname) finds $(cat $NOMAD_ALLOC_DIR/data/kept local/mine 2>/dev/null | tr '\\n' ' ')\" \
    >>/tmp/shared/found; hostname >>$NOMAD_ALLOC_DIR/data/kept; echo mine-$(hostname) >>local/mine; exec sleep 100000";

#[test]
fn files_move_with_their_allocation_or_it_is_said_why_not() {
    on_hosts(migrate);
}

async fn migrate(lab: Lab) {
    let fleet = Fleet::form(lab, 3, 2, |_| ()).await;
    let server = &fleet.servers[0];
    let mut job = fleet.job("keeps", "service", 1, SCRIPT);
    job["Job"]["TaskGroups"][0]["EphemeralDisk"] = json!({ "SizeMB": 20, "Migrate": true, "Sticky": true });
    job["Job"]["TaskGroups"][0]["Migrate"] = json!({ "MaxParallel": 1, "HealthCheck": "task_states", "MinHealthyTime": 0, "HealthyDeadline": 60_000_000_000_u64 });
    until("the job is taken", || put(server, "/v1/jobs".to_owned(), job.clone())).await;
    fleet.runs("keeps", 1).await;
    let (first_id, first) = runs_on(&fleet).await;
    finds(&fleet, &format!("{first} finds")).await;

    // More than one piece of the stream, and a link of its own.
    let data = host(&fleet, &first).sh(&format!("find /tmp/data -path '*{first_id}/alloc/data'"));
    let data = data.trim();
    host(&fleet, &first).sh(&format!("head -c 3000000 /dev/urandom >{data}/large && ln -s kept {data}/link"));
    let sum = host(&fleet, &first).sh(&format!("sha256sum <{data}/large"));

    drain(&fleet, &first).await;
    let (second_id, second) = moved(&fleet, &first_id).await;
    assert_ne!(first, second);
    finds(&fleet, &format!("{second} finds {first} mine-{first}")).await;
    let data = host(&fleet, &second).sh(&format!("find /tmp/data -path '*{second_id}/alloc/data'"));
    let data = data.trim();
    assert_eq!(host(&fleet, &second).sh(&format!("sha256sum <{data}/large")), sum, "the same bytes");
    assert_eq!(host(&fleet, &second).sh(&format!("readlink {data}/link")).trim(), "kept");

    // On the same node they are moved, not copied.
    let inode = host(&fleet, &second).sh(&format!("stat -c %i {data}/large"));
    until("it is replaced", || put(server, format!("/v1/allocation/{second_id}/stop"), json!({}))).await;
    let (third_id, third) = moved(&fleet, &second_id).await;
    assert_eq!(third, second);
    finds(&fleet, &format!("{second} finds {first} {second} mine-{first} mine-{second}")).await;
    let data = host(&fleet, &third).sh(&format!("find /tmp/data -path '*{third_id}/alloc/data'"));
    let data = data.trim();
    assert_eq!(host(&fleet, &third).sh(&format!("stat -c %i {data}/large")), inode);

    // What leads out of the allocation does not come along, and nothing of the rest either; that is said.
    host(&fleet, &third).sh(&format!("ln -s /etc/passwd {data}/out"));
    let node = node(&fleet, &first).await;
    until("the first node is eligible again", || {
        put(server, format!("/v1/node/{node}/drain"), json!({ "DrainSpec": null, "MarkEligible": true }))
    })
    .await;
    drain(&fleet, &third).await;
    let (fourth_id, fourth) = moved(&fleet, &third_id).await;
    assert_eq!(fourth, first);
    finds(&fleet, &format!("{first} finds \n")).await;
    let told = until("the event is told", || async {
        let shown = server.get(&format!("/v1/allocation/{fourth_id}")).await?;
        let events = shown["TaskStates"]["t"]["Events"].to_string();
        if events.contains("stay behind") { Ok(events) } else { Err(shown.to_string()) }
    })
    .await;
    assert!(told.contains("leads out of the allocation, to \\\"/etc/passwd"), "{told}");
    assert!(!host(&fleet, &fourth).sh(&format!("ls -a /tmp/data/alloc/{fourth_id}")).contains(".previous"));
}

fn host<'a>(fleet: &'a Fleet, name: &str) -> &'a Host {
    fleet.clients.iter().find(|client| client.name() == name).unwrap()
}

async fn put(server: &Host, path: String, body: Value) -> Result<Value, String> {
    server.ask(Request::put(&path).json(&body).unwrap()).await
}

/// The id of the running allocation and the name of its node.
async fn runs_on(fleet: &Fleet) -> (String, String) {
    moved(fleet, "").await
}

/// Waits until another allocation than `old` runs, and `old` does not.
async fn moved(fleet: &Fleet, old: &str) -> (String, String) {
    until("the replacement runs", || async {
        let stubs = fleet.servers[0].get("/v1/job/keeps/allocations").await?;
        let running: Vec<&Value> =
            stubs.as_array().into_iter().flatten().filter(|stub| stub["ClientStatus"] == "running").collect();
        match running[..] {
            [stub] if stub["ID"] != *old => Ok((text(&stub["ID"]), text(&stub["NodeName"]))),
            _ => Err(stubs.to_string()),
        }
    })
    .await
}

/// Waits until a task has noted this.
async fn finds(fleet: &Fleet, what: &str) {
    until("the task has noted what it found", || async {
        let found = std::fs::read_to_string(fleet.lab.shared().join("found")).unwrap_or_default();
        if found.contains(what) { Ok(()) } else { Err(format!("{found}; wanted {what:?}")) }
    })
    .await;
}

async fn node(fleet: &Fleet, name: &str) -> String {
    until("the node is listed", || async {
        let nodes = fleet.servers[0].get("/v1/nodes").await?;
        let found = nodes.as_array().into_iter().flatten().find(|node| node["Name"] == *name);
        found.map(|node| text(&node["ID"])).ok_or(nodes.to_string())
    })
    .await
}

async fn drain(fleet: &Fleet, name: &str) {
    let node = node(fleet, name).await;
    let spec = json!({ "DrainSpec": { "Deadline": 60_000_000_000_u64 } });
    until("the node is drained", || put(&fleet.servers[0], format!("/v1/node/{node}/drain"), spec.clone())).await;
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
