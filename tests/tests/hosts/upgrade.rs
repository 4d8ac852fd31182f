//! A rolling upgrade, with jobs that run and somebody who writes: agents become the next release one after the other. The next
//! release is played by the same program, told by its environment to know one more set of commands.

use nomadd_api::Request;
use nomadd_tests::lab::{Fleet, Host, Lab, Writer, on_hosts, server_text};
use nomadd_tests::until;
use serde_json::{Value, json};

use super::deaths::undisturbed;

const REHEARSAL: &str = "/v1/operator/rehearsal";
/// Makes an agent act as the next release.
const NEXT: &str = "NOMADD_REHEARSE_NEXT_RELEASE";

#[test]
fn a_cluster_is_upgraded_one_by_one_and_uses_what_is_new_once_all_can() {
    on_hosts(upgrade);
}

async fn upgrade(lab: Lab) {
    let fleet = Fleet::form(lab, 3, 3, |_| ()).await;
    fleet.service("web", 10).await;
    let writer = Writer::start(&fleet);
    undisturbed(&fleet, &writer, "the beginning").await;
    let unknown = fleet.servers[0].get(REHEARSAL).await.unwrap_err();
    assert!(unknown.contains("404"), "{unknown}");

    for (done, server) in fleet.servers.iter().enumerate() {
        to_next(server).await;
        fleet.voters(3).await;
        lead(&fleet, &fleet.servers[0]).await;
        let old: Vec<String> = fleet.servers[done + 1..].iter().map(|old| format!("{}.global", old.name())).collect();
        if !old.is_empty() {
            let refused = until("the new command is refused, and it is said whom to upgrade", || async {
                match note(&fleet.servers[0], "too early").await {
                    Err(refused) if old.iter().all(|old| refused.contains(&format!("{old} knows sets up to 1"))) => {
                        Ok(refused)
                    }
                    other => Err(format!("{other:?}")),
                }
            })
            .await;
            assert!(refused.contains("needs command set 2"), "{refused}");
            assert!(!refused.contains("s1.global") || done > 0, "{refused}");
        }
        undisturbed(&fleet, &writer, &format!("the upgrade of {}", server.name())).await;
    }
    until("the new command is taken", || note(&fleet.servers[0], "upgraded")).await;
    for server in &fleet.servers {
        until("every server has applied it", || async {
            let kept = server.get(REHEARSAL).await?;
            if kept == json!({ "Note": "upgraded", "CommandSet": 2 }) { Ok(()) } else { Err(kept.to_string()) }
        })
        .await;
    }
    for client in &fleet.clients {
        to_next(client).await;
        undisturbed(&fleet, &writer, &format!("the upgrade of {}", client.name())).await;
    }

    // There is no way back: a server of the release before stops with the reason, and what it has stays as it is.
    let down = &fleet.servers[2];
    Fleet::stop(down).await;
    let refused = down.run(&["env", "-C", "/tmp", "nomadd", "agent", "-config=/tmp/agent.hcl"]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("needs command set 2 of a newer release"), "{refused:?}");
    Fleet::start(down);
    undisturbed(&fleet, &writer, "an attempt to go back").await;

    // Nor is a newcomer of the release before taken in.
    let late = fleet.lab.host("late");
    let join = format!("  server_join {{\n    retry_join = [\"{}\"]\n  }}\n", fleet.servers[0].address());
    late.file("agent.hcl", &server_text("late", 3, &join, ""));
    Fleet::start(&late);
    let leader = fleet.leader().await;
    until("the leader says why a newcomer is not taken in", || async {
        let log = fleet.servers[leader].log("agent");
        if log.contains("late.global runs an older release") { Ok(()) } else { Err(log) }
    })
    .await;
    drop(late);
    fleet.voters(3).await;
    let (count, failures) = writer.finish(&fleet).await;
    println!("{count} writes were acknowledged; these were not: {failures:#?}");
}

/// Stops an agent, and starts it as the next release.
async fn to_next(host: &Host) {
    Fleet::stop(host).await;
    host.sh(&format!("export {NEXT}=1"));
    Fleet::start(host);
    until("it is back", || host.get("/v1/agent/self")).await;
}

/// Makes a server the leader.
async fn lead(fleet: &Fleet, server: &Host) {
    let place = fleet.servers.iter().position(|other| other.name() == server.name());
    until("the upgraded server leads", || async {
        if Some(fleet.leader().await) == place {
            return Ok(());
        }
        let path = format!("/v1/operator/raft/transfer-leadership?address={}:4647", server.address());
        // An empty answer is no JSON: what counts is who leads then.
        let asked = server.ask::<Value>(Request::put(&path)).await;
        Err(format!("{asked:?}"))
    })
    .await;
}

/// Asks for the command that only the next release knows.
async fn note(server: &Host, text: &str) -> Result<Value, String> {
    server.ask(Request::put(REHEARSAL).json(&text).unwrap()).await
}
