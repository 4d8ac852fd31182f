//! Links are cut, packets are dropped, one way or both, processes are paused, while jobs run and somebody writes.

use std::time::{Duration, Instant};

use nomadd_tests::lab::{Fleet, Host, Lab, Writer, on_hosts, running};
use nomadd_tests::until;

use super::deaths::{settled, undisturbed};

/// How long nothing may happen while the network is bad: longer than a node may be silent.
const WATCHED: Duration = Duration::from_secs(15);

fn others(fleet: &Fleet, place: usize) -> Vec<&Host> {
    (0..fleet.servers.len()).filter(|other| *other != place).map(|other| &fleet.servers[other]).collect()
}

/// The rest elects another leader and takes writes.
async fn another_leads(fleet: &Fleet, writer: &Writer, leader: usize) {
    let rest = others(fleet, leader);
    until("another leads", || async {
        let new = fleet.leader_of(&rest).await;
        if new == leader { Err(new) } else { Ok(()) }
    })
    .await;
    writer.goes_on().await;
}

/// All servers see all nodes as ready, and lead, all the while.
async fn calm(fleet: &Fleet) {
    calm_for(fleet, WATCHED).await;
}

/// The same for so long.
pub async fn calm_for(fleet: &Fleet, watched: Duration) {
    let begin = Instant::now();
    let mut looks = 0;
    while begin.elapsed() < watched {
        for server in &fleet.servers {
            let Ok(nodes) = server.get("/v1/nodes?stale").await else { continue };
            let bad: Vec<_> = nodes.as_array().unwrap().iter().filter(|node| node["Status"] != "ready").collect();
            assert!(bad.is_empty(), "{} lost nodes: {bad:?}", server.name());
            looks += 1;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(looks > 10, "the servers hardly answered");
}

#[test]
fn nothing_is_lost_while_the_network_between_servers_breaks() {
    on_hosts(partitions);
}

async fn partitions(lab: Lab) {
    let fleet = Fleet::form(lab, 3, 5, |_| ()).await;
    fleet.service("web", 10).await;
    let writer = Writer::start(&fleet);
    undisturbed(&fleet, &writer, "the beginning").await;

    println!("== the leader is cut off");
    let leader = fleet.leader().await;
    fleet.lab.link(&fleet.servers[leader], false);
    another_leads(&fleet, &writer, leader).await;
    fleet.lab.link(&fleet.servers[leader], true);
    undisturbed(&fleet, &writer, "a full partition of the leader").await;

    println!("== the leader hears no server");
    let leader = fleet.leader().await;
    for other in others(&fleet, leader) {
        fleet.servers[leader].drop_in(&format!("ip saddr {}", other.address()));
    }
    another_leads(&fleet, &writer, leader).await;
    fleet.servers[leader].heal();
    undisturbed(&fleet, &writer, "a leader that is deaf").await;

    println!("== no server hears the leader");
    let leader = fleet.leader().await;
    for other in others(&fleet, leader) {
        fleet.servers[leader].drop_out(&format!("ip daddr {}", other.address()));
    }
    another_leads(&fleet, &writer, leader).await;
    fleet.servers[leader].heal();
    undisturbed(&fleet, &writer, "a leader that is mute").await;

    println!("== the leader is paused");
    let leader = fleet.leader().await;
    Fleet::signal(&fleet.servers[leader], "STOP");
    another_leads(&fleet, &writer, leader).await;
    Fleet::signal(&fleet.servers[leader], "CONT");
    undisturbed(&fleet, &writer, "a paused leader").await;

    println!("== two servers do not hear each other, the third hears both");
    let leader = fleet.leader().await;
    let [first, second] = others(&fleet, leader).try_into().ok().unwrap();
    first.drop_in(&format!("ip saddr {}", second.address()));
    first.drop_out(&format!("ip daddr {}", second.address()));
    calm(&fleet).await;
    assert_eq!(fleet.leader().await, leader, "the leader changed though all hear it");
    first.heal();
    undisturbed(&fleet, &writer, "a broken link between followers").await;
    fleet.voters(3).await;
    let (count, failures) = writer.finish(&fleet).await;
    println!("{count} writes were acknowledged; these were not: {failures:#?}");
}

#[test]
fn no_node_is_lost_without_udp_or_with_lost_packets_and_a_cut_one_is_replaced_once() {
    on_hosts(lossy);
}

async fn lossy(lab: Lab) {
    let fleet = Fleet::form(lab, 3, 5, |_| ()).await;
    fleet.service("web", 10).await;
    let writer = Writer::start(&fleet);

    println!("== a client is cut off");
    let token = fleet.lab.token();
    let cut = &fleet.clients[0];
    fleet.lab.link(cut, false);
    until("the cut node is down", || async {
        let nodes = fleet.servers[0].get("/v1/nodes").await?;
        let down = nodes.as_array().unwrap().iter().any(|node| node["Name"] == "c1" && node["Status"] == "down");
        if down { Ok(()) } else { Err(nodes.to_string()) }
    })
    .await;
    until("its tasks are replaced", || async {
        let real = running(&token, "web");
        if real.len() == 12 { Ok(()) } else { Err(real) }
    })
    .await;
    fleet.lab.link(cut, true);
    // Two were replaced, once each.
    settled(&fleet, &writer, "the cut of a client", 12).await;

    println!("== no UDP");
    for host in fleet.all() {
        host.drop_in("meta l4proto udp");
    }
    calm(&fleet).await;
    for server in &fleet.servers {
        let members = server.get("/v1/agent/members").await.unwrap();
        let alive = members["Members"].as_array().unwrap().iter().filter(|member| member["Status"] == "alive").count();
        assert_eq!(alive, 3, "{} lost servers without UDP: {members}", server.name());
    }
    fleet.voters(3).await;
    settled(&fleet, &writer, "UDP dropped altogether", 12).await;
    fleet.all().for_each(Host::heal);

    println!("== a tenth of all packets is lost");
    for host in fleet.all() {
        host.drop_in("numgen random mod 10 0");
    }
    calm(&fleet).await;
    fleet.all().for_each(Host::heal);
    settled(&fleet, &writer, "10 % loss", 12).await;
    let (count, failures) = writer.finish(&fleet).await;
    println!("{count} writes were acknowledged; these were not: {failures:#?}");
}
