//! Pushes a node its allocations: all of them first, then what changed on the server's side.
//!
//! One task per subscription. What changed comes by id (`inbox`); what a client itself has reported does not come and is not
//! sent back to it. Jobs are encoded once for all nodes (`jobs`).

pub(crate) mod jobs;

use std::collections::BTreeMap;
use std::sync::Arc;

use nomadd_model::{Allocation, AllocationId, Job, NodeId};
use nomadd_rpc::{AssignedAllocation, CodecError, NodeAllocations, encode};
use nomadd_state::State;
use tokio::sync::mpsc;

use super::inbox::{Changed, Inbox};
use crate::server::Server;

/// What the node was told of an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    modify_index: u64,
    job_create_index: u64,
    job_version: u64,
}

impl Told {
    fn of(allocation: &Allocation) -> Self {
        Self {
            modify_index: allocation.alloc_modify_index,
            job_create_index: allocation.job_create_index,
            job_version: allocation.job_version,
        }
    }
}

/// One node that is told of its allocations.
struct Subscriber<'s> {
    server: &'s Server,
    id: NodeId,
    lean: bool,
    told: BTreeMap<AllocationId, Told>,
}

/// Pushes until the node is gone. `lean` is the form of the messages, as the node asked for it.
pub(super) async fn push(server: Server, id: NodeId, lean: bool, updates: mpsc::Sender<Vec<u8>>) {
    let inbox = server.inboxes().open(id);
    let subscriber = Subscriber { server: &server, id, lean, told: BTreeMap::new() };
    if let Err(error) = subscriber.keep_pushing(&inbox, updates).await {
        tracing::error!(node = %id, %error, "the allocations of a node cannot be sent");
    }
    server.inboxes().close(id, &inbox);
}

impl Subscriber<'_> {
    async fn keep_pushing(mut self, inbox: &Inbox, updates: mpsc::Sender<Vec<u8>>) -> Result<(), CodecError> {
        let mut message = self.everything(&self.server.state(), true)?;
        loop {
            if (message.full || !message.changed.is_empty() || !message.removed.is_empty())
                && updates.send(encode(&message)?).await.is_err()
            {
                return Ok(());
            }
            tokio::select! {
                () = inbox.filled() => {}
                () = updates.closed() => return Ok(()),
            }
            let patience = self.server.inboxes().patience(self.server.now());
            if !patience.is_zero() {
                tokio::time::sleep(patience).await;
            }
            // First what changed, then the state: it has all of that.
            let changed = inbox.take();
            let state = self.server.state();
            message = if changed.everything { self.everything(&state, false)? } else { self.part(&state, changed)? };
        }
    }

    fn message(state: &State, full: bool) -> NodeAllocations {
        NodeAllocations { index: state.index(), full, ..NodeAllocations::default() }
    }

    /// What the node does not know yet of all that it has.
    fn everything(&mut self, state: &State, full: bool) -> Result<NodeAllocations, CodecError> {
        let mut message = Self::message(state, full);
        let mut jobs = Vec::new();
        let mut gone = std::mem::take(&mut self.told);
        for allocation in state.allocations_by_node(self.id) {
            let before = gone.remove(&allocation.id);
            self.tell(state, allocation, before, &mut message, &mut jobs);
        }
        message.removed.extend(gone.into_keys());
        self.add_jobs(&mut message, jobs)
    }

    /// What the node does not know yet of what changed.
    fn part(&mut self, state: &State, changed: Changed) -> Result<NodeAllocations, CodecError> {
        let mut message = Self::message(state, false);
        let mut jobs = Vec::new();
        for id in changed.ids {
            let before = self.told.remove(&id);
            match state.allocation(id).filter(|allocation| allocation.node_id == self.id) {
                Some(allocation) => self.tell(state, allocation, before, &mut message, &mut jobs),
                None if before.is_some() => message.removed.push(id),
                None => {}
            }
        }
        self.add_jobs(&mut message, jobs)
    }

    /// Adds an allocation to a message unless the node knows it as it is.
    fn tell(
        &mut self,
        state: &State,
        allocation: &Allocation,
        before: Option<Told>,
        message: &mut NodeAllocations,
        jobs: &mut Vec<Arc<Job>>,
    ) {
        let now = Told::of(allocation);
        self.told.insert(allocation.id, now);
        if before.is_some_and(|before| before.modify_index == now.modify_index) {
            return;
        }
        let job = state.job_of(allocation);
        let mut told = AssignedAllocation { allocation: allocation.clone(), job: None };
        if self.lean {
            told.allocation.metrics = None;
            let has_job = before.is_some_and(|before| {
                (before.job_create_index, before.job_version) == (now.job_create_index, now.job_version)
            });
            jobs.extend(job.filter(|_| !has_job).cloned());
        } else {
            told.job = job.cloned();
        }
        message.changed.push(told);
    }

    fn add_jobs(&self, message: &mut NodeAllocations, mut jobs: Vec<Arc<Job>>) -> Result<NodeAllocations, CodecError> {
        let order = |job: &Arc<Job>| Arc::as_ptr(job);
        jobs.sort_unstable_by_key(order);
        jobs.dedup_by_key(|job| order(job));
        for job in &jobs {
            message.jobs.push(self.server.inboxes().jobs().encoded(job)?);
        }
        Ok(std::mem::take(message))
    }
}
