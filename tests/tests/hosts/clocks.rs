//! The clocks of hosts jump, forward and back by an hour, while jobs run and somebody writes. Agents see a clock of their own by
//! libfaketime, as all hosts of a machine share the kernel's; monotonic time goes on as it does when a real clock is set.

use nomadd_tests::lab::{Fleet, Host, Lab, Writer, on_hosts};

use super::deaths::undisturbed;

/// Where a host's agent finds how far its clock is off, in seconds.
const CLOCK: &str = "clock";

fn set(host: &Host, seconds: i64) {
    // In one step: half a file would be another time.
    host.file("clock.new", &format!("{seconds:+}\n"));
    std::fs::rename(host.path("clock.new"), host.path(CLOCK)).unwrap();
}

#[test]
fn nothing_is_lost_and_no_task_is_touched_while_clocks_jump() {
    on_hosts(jumps);
}

async fn jumps(lab: Lab) {
    let fleet = Fleet::form(lab, 3, 5, |_| ()).await;
    fleet.service("web", 10).await;
    for host in fleet.all() {
        set(host, 0);
        Fleet::kill(host);
        let library = "LD_PRELOAD=/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
        let options = "FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_CACHE_DURATION=1";
        Fleet::start_with(host, &format!("{library} FAKETIME_TIMESTAMP_FILE=/tmp/{CLOCK} {options}"));
    }
    let writer = Writer::start(&fleet);
    undisturbed(&fleet, &writer, "the beginning").await;
    for (what, seconds) in [("an hour ahead", 3600), ("right again", 0), ("an hour behind", -3600), ("right again", 0)]
    {
        let leader = fleet.leader().await;
        println!("== the leader's clock is {what}");
        set(&fleet.servers[leader], seconds);
        seen(&fleet.servers[leader], seconds).await;
        undisturbed(&fleet, &writer, &format!("the leader's clock {what}")).await;
        println!("== the clocks of a follower and of two clients are {what}");
        for host in [&fleet.servers[(leader + 1) % 3], &fleet.clients[0], &fleet.clients[1]] {
            set(host, seconds);
        }
        seen(&fleet.clients[0], seconds).await;
        undisturbed(&fleet, &writer, &format!("the clocks of others {what}")).await;
        // Whoever leads then has another clock than those who vote.
        fleet.all().for_each(|host| set(host, 0));
    }
    let (count, failures) = writer.finish(&fleet).await;
    println!("{count} writes were acknowledged; these were not: {failures:#?}");
}

/// Waits until the agent of a host has seen its clock: its metrics say another time.
async fn seen(host: &Host, seconds: i64) {
    nomadd_tests::until("the agent has seen its clock", || async {
        let metrics = host.get("/v1/metrics").await?;
        let told = metrics["Timestamp"].as_str().unwrap_or_default().split('.').next().unwrap_or_default();
        let off = host.sh(&format!("echo $(($(date -u -d '{told}' +%s) - $(date +%s)))"));
        let off: i64 = off.trim().parse().map_err(|error| format!("{told:?} {off:?}: {error}"))?;
        if (off - seconds).abs() < 120 { Ok(()) } else { Err(format!("it is {off} s off")) }
    })
    .await;
}
