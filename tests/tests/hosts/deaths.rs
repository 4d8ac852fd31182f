//! Agents are killed, one, some and all, and restarted one after the other, while jobs run and somebody writes.

use nomadd_tests::lab::{Fleet, Lab, Writer, on_hosts};
use nomadd_tests::until;

/// How many tasks of the service there are.
const TASKS: usize = 10;

/// All is as it was: desired runs, in the processes that ran before, and nothing acknowledged is lost.
pub async fn undisturbed(fleet: &Fleet, writer: &Writer, what: &str) {
    settled(fleet, writer, what, TASKS).await;
}

/// The same after so many starts of the service's tasks since the beginning.
pub async fn settled(fleet: &Fleet, writer: &Writer, what: &str, starts: usize) {
    println!("== {what}: checking");
    fleet.leader().await;
    fleet.ready().await;
    writer.goes_on().await;
    fleet.voters(3).await;
    fleet.members().await;
    fleet.runs("web", TASKS).await;
    fleet.starts().none_twice();
    assert_eq!(fleet.starts().of("web"), starts, "after {what}: a task was replaced: {:?}", fleet.starts());
    writer.verify(fleet).await;
    println!("== {what}: {} acknowledged, {} not", writer.count(), writer.failures().len());
}

#[test]
fn nothing_is_lost_and_no_task_is_touched_while_agents_die() {
    on_hosts(deaths);
}

async fn deaths(lab: Lab) {
    let fleet = Fleet::form(lab, 3, 5, |_| ()).await;
    fleet.service("web", TASKS).await;
    let writer = Writer::start(&fleet);
    undisturbed(&fleet, &writer, "the beginning").await;

    let leader = fleet.leader().await;
    Fleet::kill(&fleet.servers[leader]);
    writer.goes_on().await;
    Fleet::start(&fleet.servers[leader]);
    undisturbed(&fleet, &writer, "the death of the leader").await;

    let follower = (fleet.leader().await + 1) % 3;
    Fleet::kill(&fleet.servers[follower]);
    writer.goes_on().await;
    Fleet::start(&fleet.servers[follower]);
    undisturbed(&fleet, &writer, "the death of a follower").await;

    for host in fleet.all() {
        Fleet::kill(host);
    }
    for host in fleet.all() {
        Fleet::start(host);
    }
    undisturbed(&fleet, &writer, "the death of all").await;
    fleet.voters(3).await;

    for host in fleet.all() {
        Fleet::stop(host).await;
        Fleet::start(host);
        until("it is back", || host.get("/v1/agent/self")).await;
        fleet.leader().await;
        fleet.ready().await;
    }
    undisturbed(&fleet, &writer, "a rolling restart").await;
    fleet.voters(3).await;

    let (count, failures) = writer.finish(&fleet).await;
    println!("{count} writes were acknowledged; these were not: {failures:#?}");
}

/// The disk of a server that is full: of a follower nobody notices, of the leader writes are refused or go to another.
#[test]
fn a_full_disk_refuses_writes_and_loses_nothing() {
    on_hosts(full_disk);
}

async fn full_disk(lab: Lab) {
    let fleet = Fleet::form(lab, 3, 1, |server| server.disk("/tmp/data", 300)).await;
    fleet.service("web", 2).await;
    let writer = Writer::start(&fleet);
    for which in ["follower", "leader"] {
        println!("== the disk of a {which} is full");
        let leader = fleet.leader().await;
        let full = &fleet.servers[if which == "leader" { leader } else { (leader + 1) % 3 }];
        full.fill("/tmp/data");
        // Its reads go on.
        until("the full server answers a read", || full.get("/v1/namespaces?stale")).await;
        if which == "follower" {
            writer.goes_on().await;
        } else {
            let failed = writer.failures().len();
            let acknowledged = writer.count();
            until("writes are refused with a reason, or another leads", || async {
                let new = writer.failures().split_off(failed);
                let told = new.iter().any(|failure| failure.contains("disk") || failure.contains("space"));
                if told || (fleet.leader().await != leader && writer.count() > acknowledged + 3) {
                    Ok(())
                } else {
                    Err(new)
                }
            })
            .await;
            until("the full server answers a read", || full.get("/v1/namespaces?stale")).await;
        }
        assert_eq!(full.sh("pgrep -c -x nomadd").trim(), "1", "it has ended: {}", full.log("agent"));
        full.unfill("/tmp/data");
        writer.goes_on().await;
        fleet.leader().await;
        fleet.ready().await;
        fleet.runs("web", 2).await;
        fleet.starts().none_twice();
        writer.verify(&fleet).await;
    }
    // Nothing of the lack is on disk: all start again.
    for server in &fleet.servers {
        Fleet::kill(server);
    }
    for server in &fleet.servers {
        Fleet::start(server);
    }
    fleet.leader().await;
    writer.goes_on().await;
    let (count, failures) = writer.finish(&fleet).await;
    println!("{count} writes were acknowledged; these were not: {failures:#?}");
}
