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
        let mut message = self.everything(true).await?;
        loop {
            if let Some(message) = message.take()
                && updates.send(message).await.is_err()
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
            message = if changed.everything { self.everything(false).await? } else { self.part(changed)? };
        }
    }

    fn message(state: &State, full: bool) -> NodeAllocations {
        NodeAllocations { index: state.index(), full, ..NodeAllocations::default() }
    }

    /// What the node does not know yet of all that it has, encoded.
    async fn everything(&mut self, full: bool) -> Result<Option<Vec<u8>>, CodecError> {
        let _turn = self.server.inboxes().look().await;
        let state = &*self.server.state();
        let mut message = Self::message(state, full);
        let mut jobs = Vec::new();
        let mut gone = std::mem::take(&mut self.told);
        for allocation in state.allocations_by_node(self.id) {
            let before = gone.remove(&allocation.id);
            self.tell(state, allocation, before, &mut message, &mut jobs);
        }
        message.removed.extend(gone.into_keys());
        self.finish(message, jobs)
    }

    /// What the node does not know yet of what changed, encoded.
    fn part(&mut self, changed: Changed) -> Result<Option<Vec<u8>>, CodecError> {
        let state = &*self.server.state();
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
        self.finish(message, jobs)
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

    /// The message with its jobs, encoded; nothing when it would say nothing.
    fn finish(&self, mut message: NodeAllocations, mut jobs: Vec<Arc<Job>>) -> Result<Option<Vec<u8>>, CodecError> {
        if !message.full && message.changed.is_empty() && message.removed.is_empty() {
            return Ok(None);
        }
        let order = |job: &Arc<Job>| Arc::as_ptr(job);
        jobs.sort_unstable_by_key(order);
        jobs.dedup_by_key(|job| order(job));
        for job in &jobs {
            message.jobs.push(self.server.inboxes().jobs().encoded(job)?);
        }
        encode(&message).map(Some)
    }
}
