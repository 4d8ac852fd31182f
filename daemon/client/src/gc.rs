//! Removes allocations that are over: the oldest first, when the disk or its inodes are short or there are too many, and
//! when a person asks. Running ones are never touched.

use std::sync::Arc;

use nomadd_model::{AllocationId, Time};

use crate::allocation::runner;
use crate::allocation::shared::{RequestError, Shared};
use crate::client::{Client, Inner};
use crate::config::GcConfig;
use crate::stats;

/// How full the node is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fullness {
    /// Percent of the disk in use.
    pub disk: f64,
    /// Percent of the inodes in use.
    pub inodes: f64,
    /// Allocations on the node, running and over.
    pub allocations: usize,
}

/// Why allocations are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The disk is short.
    Disk,
    /// The inodes are short.
    Inodes,
    /// There are too many.
    Count,
}

/// Whether the oldest allocation that is over has to go, and why.
pub fn decide(config: &GcConfig, full: Fullness) -> Option<Reason> {
    if full.disk >= config.disk_usage_threshold {
        Some(Reason::Disk)
    } else if full.inodes >= config.inode_usage_threshold {
        Some(Reason::Inodes)
    } else if full.allocations > config.max_allocs {
        Some(Reason::Count)
    } else {
        None
    }
}

/// Looks at regular intervals.
pub async fn keep_collecting(inner: Arc<Inner>) {
    let interval = inner.context.config.gc.interval.to_std().max(std::time::Duration::from_millis(100));
    loop {
        tokio::time::sleep(interval).await;
        collect(&inner).await;
        let context = Arc::clone(&inner.context);
        // The pool ends with the agent.
        drop(inner.context.transfers.run(move || context.drivers.sweep(None)).await);
    }
}

async fn collect(inner: &Arc<Inner>) {
    loop {
        let allocations = inner.lock().len();
        let alloc_dir = inner.context.config.alloc_dir.clone();
        let disk = inner.context.pool.run(move || stats::disk(&alloc_dir, "", "")).await.ok().flatten();
        let disk = disk.unwrap_or_default();
        let full = Fullness { disk: disk.used_percent, inodes: disk.inodes_used_percent, allocations };
        let Some(reason) = decide(&inner.context.config.gc, full) else { return };
        let over = inner.over();
        if over.is_empty() {
            tracing::debug!(?reason, "nothing to remove: no allocation is over");
            return;
        }
        tracing::info!(?reason, "removing allocations that are over");
        let parallel = inner.context.config.gc.parallel.max(1);
        inner.remove_all(over.into_iter().take(parallel)).await;
    }
}

impl Inner {
    /// The allocations that are over, the oldest first.
    fn over(&self) -> Vec<(Time, Arc<Shared>)> {
        let all: Vec<Arc<Shared>> = self.lock().values().cloned().collect();
        let over = all.into_iter().filter_map(|shared| {
            let over = shared.lock().over?;
            Some((over, shared))
        });
        let mut over: Vec<_> = over.collect();
        over.sort_by_key(|(over, shared)| (*over, shared.id));
        over
    }

    /// Removes the files of allocations that are over, at the same time.
    async fn remove_all(&self, over: impl Iterator<Item = (Time, Arc<Shared>)>) {
        let mut removals = Vec::new();
        for (_, shared) in over {
            self.lock().remove(&shared.id);
            let context = Arc::clone(&self.context);
            let removal = async move { runner::remove(&context, &shared).await };
            removals.push(self.context.runtime.tasks.spawn(nomadd_runtime::TaskKind::Background, removal));
        }
        for removal in removals {
            // A removal that was cut off by the shutdown is made up for by the next one.
            drop(removal.await);
        }
    }
}

impl Client {
    /// Removes every allocation that is over (`system gc`).
    pub async fn collect_garbage(&self) {
        let parallel = self.0.context.config.gc.parallel.max(1);
        loop {
            let over = self.0.over();
            if over.is_empty() {
                let context = Arc::clone(&self.0.context);
                // The pool ends with the agent.
                drop(self.0.context.transfers.run(move || context.drivers.collect_garbage()).await);
                return;
            }
            self.0.remove_all(over.into_iter().take(parallel)).await;
        }
    }

    /// Removes an allocation that is over.
    pub async fn collect(&self, id: AllocationId) -> Result<(), RequestError> {
        let shared = self.0.shared(id)?;
        let Some(over) = shared.lock().over else { return Err(RequestError::StillRuns(id)) };
        self.0.remove_all(std::iter::once((over, shared))).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations_go_when_something_is_short() {
        let config = GcConfig { max_allocs: 10, ..GcConfig::default() };
        let full = |disk, inodes, allocations| decide(&config, Fullness { disk, inodes, allocations });
        assert_eq!(full(10.0, 10.0, 10), None);
        assert_eq!(full(80.0, 10.0, 1), Some(Reason::Disk));
        assert_eq!(full(10.0, 70.0, 1), Some(Reason::Inodes));
        assert_eq!(full(10.0, 10.0, 11), Some(Reason::Count));
    }
}
