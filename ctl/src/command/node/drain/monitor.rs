//! Watches a drain: tells what becomes of the node and of each allocation on it, in Nomad's words, until both are done.

use std::collections::BTreeMap;

use nomadd_api::{ApiError, Request};
use nomadd_model::{ClientStatus, DesiredStatus, DesiredTransition, DrainStrategy, JobType, Node, NodeStatus};
use serde::Deserialize;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::text;

/// How long one question to the server waits for news.
const WAIT: &str = "60s";

/// What matters of an allocation here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Seen {
    #[serde(rename = "ID")]
    id: String,
    client_status: ClientStatus,
    desired_status: DesiredStatus,
    desired_transition: DesiredTransition,
    job: Option<Kind>,
}

/// What matters of its job.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Kind {
    #[serde(rename = "Type")]
    kind: JobType,
}

/// Whether the monitor waits for system jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemJobs {
    /// They have to go, too.
    Count,
    /// They stay.
    Ignore,
}

/// The allocations of a node at an index.
#[derive(Clone, Debug, Default)]
pub struct Look {
    index: u64,
    found: Vec<Seen>,
}

/// Prints a line with the time.
pub fn line(text: &str) {
    println!("{}: {text}", text::local(text::now()));
}

/// How the allocations of a node are now.
pub async fn look(id: &str, context: &Context) -> Result<Look, Failure> {
    next(id, 0, context).await
}

async fn next(id: &str, index: u64, context: &Context) -> Result<Look, Failure> {
    let mut request = Request::get(format!("/v1/node/{id}/allocations")).query("namespace", "*");
    if index > 0 {
        request = request.query("index", index).query("wait", WAIT);
    }
    let failed = |error: ApiError| Failure::request("monitoring allocations", &error);
    let answer = context.client.call::<Option<Vec<Seen>>>(request).await.map_err(failed)?;
    Ok(Look { index: answer.meta.index, found: answer.value.unwrap_or_default() })
}

/// Tells what happens from now on; Ctrl-C leaves the drain alone.
pub async fn watch(id: &str, system: SystemJobs, context: &Context) -> Outcome {
    watch_from(look(id, context).await?, id, system, context).await
}

/// Tells what happens since a first look.
pub async fn watch_from(first: Look, id: &str, system: SystemJobs, context: &Context) -> Outcome {
    let both = async { tokio::try_join!(follow_node(id, context), follow_allocations(first, id, system, context)) };
    tokio::select! {
        done = both => done.map(|_| 0),
        _ = tokio::signal::ctrl_c() => Ok(0),
    }
}

async fn follow_node(id: &str, context: &Context) -> Result<(), Failure> {
    let failed = |error: ApiError| Failure::request("monitoring node", &error);
    let (mut index, mut last, mut was_down) = (0, None::<DrainStrategy>, false);
    loop {
        let mut request = Request::get(format!("/v1/node/{id}"));
        if index > 0 {
            request = request.query("index", index).query("wait", WAIT);
        }
        let answer = context.client.call::<Node>(request).await.map_err(failed)?;
        index = answer.meta.index;
        let node = answer.value;
        let Some(strategy) = node.drain_strategy else {
            line(&format!("Drain complete for node {id}"));
            return Ok(());
        };
        let down = node.status == NodeStatus::Down;
        if down && !was_down {
            eprintln!("{}: Node {id:?} down", text::local(text::now()));
        }
        was_down = down;
        if last.as_ref().is_some_and(|last| *last != strategy) {
            line(&format!("Node {id:?} drain updated: {}", said(&strategy)));
        }
        last = Some(strategy);
    }
}

fn said(strategy: &DrainStrategy) -> String {
    match strategy.deadline.0 {
        0 => "no deadline".to_owned(),
        deadline if deadline < 0 => "force drain".to_owned(),
        _ => format!("deadline at {}", text::local(strategy.force_deadline)),
    }
}

async fn follow_allocations(first: Look, id: &str, system: SystemJobs, context: &Context) -> Result<(), Failure> {
    let mut known: BTreeMap<String, Seen> =
        first.found.into_iter().map(|allocation| (allocation.id.clone(), allocation)).collect();
    let mut index = 0;
    loop {
        let look = next(id, index, context).await?;
        index = look.index;
        let mut left = 0;
        for allocation in look.found {
            news(known.get(&allocation.id), &allocation).iter().for_each(|text| line(text));
            left += u32::from(holds_up(&allocation, system));
            known.insert(allocation.id.clone(), allocation);
        }
        if left == 0 {
            line(&format!("All allocations on node {id:?} have stopped"));
            return Ok(());
        }
    }
}

/// Whether the node is not empty as long as it is there.
fn holds_up(allocation: &Seen, system: SystemJobs) -> bool {
    let ignored = system == SystemJobs::Ignore;
    let stays = ignored && allocation.job.as_ref().is_some_and(|job| job.kind == JobType::System);
    !stays && matches!(allocation.client_status, ClientStatus::Pending | ClientStatus::Running)
}

/// What is new of an allocation since the last look; several things may have happened between two.
fn news(before: Option<&Seen>, now: &Seen) -> Vec<String> {
    let Some(before) = before else { return Vec::new() };
    let migrates = |seen: &Seen| seen.desired_transition.migrate == Some(true);
    let id = &now.id;
    let mut lines = Vec::new();
    if migrates(now) && !migrates(before) {
        lines.push(format!("Alloc {id:?} marked for migration"));
    }
    if migrates(now) && before.desired_status != now.desired_status && now.desired_status == DesiredStatus::Stop {
        lines.push(format!("Alloc {id:?} draining"));
    }
    if before.client_status != now.client_status {
        lines.push(format!("Alloc {id:?} status {} -> {}", before.client_status, now.client_status));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Seen {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn each_change_of_an_allocation_is_told_once_and_in_its_order() {
        let runs = seen(r#"{"ID":"a","ClientStatus":"running","DesiredStatus":"run","Job":{"Type":"service"}}"#);
        let marked = seen(r#"{"ID":"a","ClientStatus":"running","DesiredTransition":{"Migrate":true}}"#);
        let over =
            seen(r#"{"ID":"a","ClientStatus":"complete","DesiredStatus":"stop","DesiredTransition":{"Migrate":true}}"#);
        assert!(news(None, &over).is_empty(), "it came and went before the first look");
        assert_eq!(news(Some(&runs), &marked), ["Alloc \"a\" marked for migration"]);
        assert_eq!(news(Some(&marked), &over), ["Alloc \"a\" draining", "Alloc \"a\" status running -> complete"]);
        assert_eq!(news(Some(&runs), &over).len(), 3);
        assert!(news(Some(&over), &over).is_empty());
    }

    #[test]
    fn ignored_system_jobs_do_not_hold_up_the_monitor() {
        let system = seen(r#"{"ID":"a","ClientStatus":"running","Job":{"Type":"system"}}"#);
        assert!(holds_up(&system, SystemJobs::Count) && !holds_up(&system, SystemJobs::Ignore));
        assert!(!holds_up(&seen(r#"{"ID":"a","ClientStatus":"lost"}"#), SystemJobs::Count));
    }
}
