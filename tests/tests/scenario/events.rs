//! The event stream: what a follower sees of a job's life, where it goes on, and how one that does not read is dropped.

use nomadd_api::Request;
use nomadd_tests::Agent;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::jobs;

async fn put(agent: &Agent, path: &str, body: &Value) {
    let request = Request::put(path).json(body).unwrap();
    agent.api().bytes(request).await.unwrap();
}

/// The next line of a stream that holds events.
async fn next(lines: &mut nomadd_api::Lines) -> Value {
    loop {
        let line = lines.next().await.unwrap().unwrap();
        let value: Value = serde_json::from_str(&line).unwrap();
        if value["Events"].is_array() {
            return value;
        }
        assert_eq!(value, json!({}), "only signs of life are without events");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_a_job_is_seen_in_order_and_can_be_taken_up_again() {
    let agent = Agent::dev().await;
    let mut lines =
        agent.api().lines(Request::get("/v1/event/stream?topic=Job:web&topic=Allocation:web")).await.unwrap();
    agent.file("web.nomad.hcl", &jobs::service("web", 1, "", "exec sleep 1000"));
    agent.ctl(&["job", "run", "web.nomad.hcl"]).await.ok();
    agent.ctl(&["job", "stop", "-purge", "web"]).await.ok();
    let (mut seen, mut last, mut middle) = (Vec::new(), 0, 0);
    while !seen.contains(&"Job JobDeregistered".to_owned()) {
        let batch = next(&mut lines).await;
        let index = batch["Index"].as_u64().unwrap();
        assert!(index > last, "{index} after {last}");
        last = index;
        for event in batch["Events"].as_array().unwrap() {
            assert_eq!(event["Namespace"], "default");
            seen.push(format!("{} {}", event["Topic"].as_str().unwrap(), event["Type"].as_str().unwrap()));
            if event["Type"] == "JobDeregistered" && event["Topic"] == "Job" {
                assert_eq!(event["Payload"]["Deleted"], true);
                assert_eq!(event["Payload"]["Job"]["ID"], "web");
            }
            if event["Type"] == "PlanResult" && event["Topic"] == "Allocation" && middle == 0 {
                middle = index;
                assert!(event["Payload"]["Allocation"].get("Job").is_none(), "the job stands beside it");
            }
        }
    }
    let place = |name: &str| seen.iter().position(|other| other == name).unwrap_or_else(|| panic!("{name}: {seen:?}"));
    assert!(place("Job JobRegistered") < place("Allocation PlanResult"), "{seen:?}");
    assert!(place("Allocation PlanResult") < place("Allocation AllocationUpdated"), "{seen:?}");

    let path = format!("/v1/event/stream?topic=Allocation:web&index={middle}");
    let mut again = agent.api().lines(Request::get(path)).await.unwrap();
    let first = next(&mut again).await;
    assert_eq!((first["Index"].as_u64(), first["Events"][0]["Type"].as_str()), (Some(middle), Some("PlanResult")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_sees_its_namespace_and_one_of_all_sees_all() {
    let agent = Agent::dev().await;
    put(&agent, "/v1/namespace", &json!({"Name": "team"})).await;
    let team = agent.follow("team", &["event", "stream", "-namespace=team", "-topic=Job"]);
    let all = agent.follow("all", &["event", "stream", "-namespace=*", "-topic=Job", "-json"]);
    for (name, namespace) in [("one", "default"), ("two", "team")] {
        agent.file("x.nomad.hcl", &jobs::service(name, 1, "", "exec sleep 1000"));
        agent.ctl(&["job", "run", "-detach", &format!("-namespace={namespace}"), "x.nomad.hcl"]).await.ok();
    }
    team.prints("team/two").await;
    all.prints("\"Key\":\"two\"").await;
    assert!(!team.printed().contains("default/one"), "{}", team.printed());
    assert!(all.printed().contains("\"Key\":\"one\""), "{}", all.printed());
    let wrong = agent.api().bytes(Request::get("/v1/event/stream?topic=Job:")).await.unwrap_err().to_string();
    assert!(wrong.contains("400") && wrong.contains("Invalid topic query"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_does_not_read_is_dropped_and_told_why() {
    let agent = Agent::dev().await;
    let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", agent.port)).await.unwrap();
    socket
        .write_all(b"GET /v1/event/stream?topic=NodePool HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    // Each event is large, so that the sockets are soon full; there are more of them than are kept.
    let writers: Vec<_> = (0..16).map(|writer| tokio::spawn(write_pools(agent.port, writer, 1100))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let mut text = Vec::new();
    socket.read_to_end(&mut text).await.unwrap();
    let text = String::from_utf8_lossy(&text);
    let last = text.lines().rev().find(|line| line.starts_with('{')).unwrap();
    let told: Value = serde_json::from_str(last).unwrap();
    assert!(told["Error"].as_str().is_some_and(|error| error.contains("it read too slowly")), "{last:.200}");
}

/// Writes a node pool again and again over one connection.
async fn write_pools(port: u16, writer: usize, count: usize) {
    let pool = json!({"Name": format!("pool-{writer}"), "Meta": {"text": "x".repeat(4000)}}).to_string();
    let request = format!("PUT /v1/node/pools HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{pool}", pool.len());
    let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut answer = Vec::new();
    for _ in 0..count {
        socket.write_all(request.as_bytes()).await.unwrap();
        answer.clear();
        while !answer.ends_with(b"\r\n\r\n") {
            assert!(socket.read_buf(&mut answer).await.unwrap() > 0, "the agent hung up");
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
}
