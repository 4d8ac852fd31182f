//! What a node is told of its allocations, when, and in which form.

use std::time::Duration;

use nomadd_model::{AllocationId, DesiredStatus, Job};
use nomadd_rpc::{Method, NodeAllocations, NodeAllocationsRequest, Updates, decode, encode};
use nomadd_server::jobs::{self, StopOptions};
use nomadd_server::{Caller, system};

use crate::harness::{Behaviour, FakeNode, Host, job, running};

/// How long a message may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

async fn listen(host: &Host, node: &FakeNode) -> Updates {
    let request = NodeAllocationsRequest { node_id: node.id, secret: node.secret, lean: true };
    host.connection.subscribe(Method::NodeAllocations, encode(&request).unwrap()).await.unwrap()
}

async fn next(updates: &mut Updates) -> NodeAllocations {
    tokio::time::timeout(PATIENCE, updates.next()).await.unwrap().unwrap().unwrap()
}

fn ids(message: &NodeAllocations) -> Vec<AllocationId> {
    message.changed.iter().map(|told| told.allocation.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_hears_of_what_servers_change_with_each_job_once_and_nothing_of_its_own_reports() {
    let host = Host::start(|_| ()).await;
    let caller = Caller::anonymous();
    let node = FakeNode::start(&host, 1, Behaviour::Run).await;
    let mut updates = listen(&host, &node).await;
    let first = next(&mut updates).await;
    assert!(first.full && first.changed.is_empty() && first.jobs.is_empty());

    host.register(job("web", |job| job["TaskGroups"][0]["Count"] = 3.into())).await;
    let placed = next(&mut updates).await;
    assert!(!placed.full && placed.changed.len() == 3);
    assert!(placed.changed.iter().all(|told| told.job.is_none() && told.allocation.metrics.is_none()));
    let sent: Vec<Job> = placed.jobs.iter().map(|job| decode(&job.0).unwrap()).collect();
    assert_eq!(sent.iter().map(|job| (&*job.id, job.version)).collect::<Vec<_>>(), [("web", 0)]);
    assert_eq!(sent[0].create_index, placed.changed[0].allocation.job_create_index);

    host.until("all run", |state| (running(state, "web") == 3).then_some(())).await;
    jobs::deregister(&host.server, &caller, "default", "web", StopOptions::default()).await.unwrap();
    let stopped = next(&mut updates).await;
    assert_eq!(ids(&stopped), ids(&placed), "nothing came in between");
    assert!(stopped.changed.iter().all(|told| told.allocation.desired_status == DesiredStatus::Stop));
    assert!(stopped.jobs.is_empty(), "the node has that version already");

    host.until("nothing runs or waits", |state| {
        let quiet = state.evaluations().all(|found| found.status.is_terminal())
            && state.allocations().all(|found| found.client_status.is_terminal());
        quiet.then_some(())
    })
    .await;
    system::collect_garbage(&host.server, &caller).await.unwrap();
    let mut removed = Vec::new();
    while removed.len() < 3 {
        let message = next(&mut updates).await;
        assert!(message.changed.is_empty(), "{message:?}");
        removed.extend(message.removed);
    }
    removed.sort_unstable();
    assert_eq!(removed, ids(&placed));

    host.register(job("again", |_| ())).await;
    host.until("it runs", |state| (running(state, "again") == 1).then_some(())).await;
    let anew = next(&mut listen(&host, &node).await).await;
    assert!(anew.full && anew.changed.len() == 1 && anew.jobs.len() == 1, "who subscribes anew gets all: {anew:?}");
}
