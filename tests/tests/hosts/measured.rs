//! How soon a host that vanished is `down`, and whether any is that did not. Minutes each, so only when they are asked for:
//! `cargo test --release -p nomadd-tests --test hosts -- --ignored --nocapture measured`.

use std::time::{Duration, Instant};

use nomadd_tests::lab::{Fleet, Host, Lab, on_hosts};
use nomadd_tests::load::simulated::Simulated;
use nomadd_tests::wait::until_within;

use super::network::calm_for;

const ROUNDS: usize = 20;
const LIMIT: Duration = Duration::from_secs(120);

#[test]
#[ignore = "a measurement of two minutes"]
fn measured_a_vanished_host_of_a_few() {
    on_hosts(|lab| vanished(lab, 0));
}

#[test]
#[ignore = "a measurement of three minutes"]
fn measured_a_vanished_host_of_5000() {
    on_hosts(|lab| vanished(lab, 5000));
}

async fn vanished(lab: Lab, simulated: usize) {
    // Each vanishes once: a node that does so again and again is held back.
    let fleet = Fleet::form(lab, 3, ROUNDS, |_| ()).await;
    let rpc: Vec<String> = fleet.servers.iter().map(|server| format!("{}:4647", server.address())).collect();
    let nodes = (simulated > 0).then(|| Simulated::start(simulated, &rpc));
    if let Some(nodes) = &nodes {
        assert!(nodes.reaches("subscribed", simulated as u64, LIMIT).await, "{}", nodes.counts());
    }
    let server = &fleet.servers[0];
    let known = server.get("/v1/nodes?stale").await.unwrap();
    let mut took = Vec::new();
    for client in &fleet.clients {
        let node = known.as_array().unwrap().iter().find(|node| node["Name"] == client.name()).unwrap();
        let path = format!("/v1/node/{}?stale", node["ID"].as_str().unwrap());
        fleet.lab.link(client, false);
        let begun = Instant::now();
        is(server, &path, "down").await;
        took.push(begun.elapsed().as_secs_f64());
        fleet.lab.link(client, true);
        is(server, &path, "ready").await;
    }
    took.sort_by(f64::total_cmp);
    println!(
        "a host of {} vanishes → down: p50 {:.2} s, max {:.2} s of {ROUNDS}",
        simulated + ROUNDS,
        took[ROUNDS / 2],
        took[ROUNDS - 1]
    );
}

async fn is(server: &Host, path: &str, wanted: &str) {
    until_within(LIMIT, "the node has the status", || async {
        let node = server.get(path).await?;
        if node["Status"] == wanted { Ok(()) } else { Err(format!("{} is not {wanted}", node["Status"])) }
    })
    .await;
}

#[test]
#[ignore = "a measurement of ten minutes"]
fn measured_no_node_of_50_is_lost_at_ten_percent_loss() {
    on_hosts(|lab| async {
        let fleet = Fleet::form(lab, 3, 50, |_| ()).await;
        for host in fleet.all() {
            host.drop_in("numgen random mod 10 0");
        }
        calm_for(&fleet, Duration::from_secs(600)).await;
        println!("50 nodes, 10 % loss, 10 minutes: no node was anything but ready");
    });
}
