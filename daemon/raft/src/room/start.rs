//! Starts openraft over what is on the disk, and stops it: when the server starts, and in the running process after the disk failed.
//!
//! openraft applies entries once a majority has them, which may be before this server's own disk does. When that disk then fails
//! and is opened again, the log ends before what is applied. Those entries are not lost (others made them durable, and this server
//! never acknowledged them), so a snapshot of what is applied takes their place. What this server did acknowledge must be there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openraft::{ServerState, SnapshotPolicy};
use tokio::sync::mpsc;

use super::{Room, Running, chain};
use crate::config::Bootstrap;
use crate::error::OpenError;
use crate::handle::{Leadership, Recovered};
use crate::log::{Log, Opened};
use crate::machine::Applied;
use crate::membership::only_voter;
use crate::network::Network;
use crate::recovery::{self, News, Override};
use crate::shared::{Consensus, Core};
use crate::types::{LogId, Membership};
use crate::wire::Why;

/// A single voter becomes leader within a few disk writes; longer means that something is broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// So many entries are applied at a time before openraft runs.
const REPLAY: u64 = 1024;

impl Room {
    /// Ends openraft and the log's writer, and the leadership with it.
    pub(super) async fn stop(&self, running: Running) {
        self.end(running).await;
        self.shared.leadership.send_modify(|leadership| {
            *leadership = Leadership { leading: false, leader: None, ..leadership.clone() };
        });
    }

    /// Ends openraft and the log's writer; nothing is applied any more when this returns.
    pub(super) async fn end(&self, mut running: Running) {
        self.shared.core.store(None);
        if running.core.raft.shutdown().await.is_err() {
            tracing::error!("the consensus ended with a panic");
        }
        // It still has what was handed to it applied: over that, the next one may not begin.
        while running.applying.recv().await.is_some() {}
        running.writer.close();
    }

    /// Opens the log and starts openraft over it; a single voter leads when this returns. `first`: in this process.
    pub(super) async fn start(&mut self, first: bool) -> Result<(Running, Recovered), OpenError> {
        let published = Arc::clone(&self.shared.published);
        let salt = self.config.runtime.seeds.seed() as u32;
        let before = published.count();
        let grown = (Arc::clone(&self.shared.grown), self.config.limits.snapshot_bytes.max(1));
        let disk = Arc::clone(&self.config.disk);
        let (log, writer, mut opened) = Log::open(
            disk,
            &self.folder.log,
            (salt, self.config.limits.segment),
            Arc::clone(&published),
            grown,
            self.config.runtime.pool.is_inline(),
            self.synced.clone(),
        )?;
        self.check(&opened)?;
        if !first {
            self.cover(&opened).await?;
        }
        self.synced.set(opened.last);
        log.keep_after(self.shared.snapshots.oldest_index());
        let last = opened.last.max(published.applied.load().last).map(|id| id.index);
        let known = self.members_of(&opened);
        if let Some((recovered, news)) = recovery::recover(&*self.config.disk, &self.folder, last, &known)? {
            opened.memberships = opened.memberships.into_iter().map(|stored| recovered.stored(stored)).collect();
            if news == News::New {
                self.recover(&recovered).await?;
            }
            log.override_members(recovered);
        }
        let membership = self.members_of(&opened);
        let fresh = opened.fresh && before == 0;
        let alone = fresh && self.config.bootstrap == Bootstrap::Alone;
        if fresh && self.folder.was_member() {
            if alone {
                return Err(OpenError::Emptied { path: self.folder.path().to_owned() });
            }
            let text = format!(
                "the log in {} is empty, but this server ({}) was a member of a cluster: its disk was lost; remove it from the cluster (operator raft remove-peer {}), clear the folder, and let it join as a new server",
                self.folder.path().display(),
                self.shared.me.name,
                self.shared.id
            );
            self.shared.refuse(Why::Lost, &text);
        }
        let single = alone || only_voter(&membership, self.shared.id);
        let halted = |error: String| match published.halted.get() {
            Some(reason) => OpenError::Halted(Arc::clone(reason)),
            None => OpenError::Start(error),
        };
        if single {
            // What is in the log of the only voter is committed.
            log.commit_all();
        }
        // openraft would apply it in small steps.
        let end = log.committed();
        while published.count() < end {
            let start = published.count();
            let entries = log.entries(start..end.min(start + REPLAY)).map_err(|error| halted(error.to_string()))?;
            if entries.is_empty() {
                return Err(OpenError::Start(format!("log entry {start} is not there")));
            }
            self.machine.replay(entries).await.map_err(|error| halted(error.to_string()))?;
        }
        let config = Arc::new(self.consensus_config(single)?);
        let network = Network(Arc::clone(&self.shared));
        let beyond = opened.last < published.applied.load().last;
        let (lent, applying) = mpsc::channel(1);
        let built = Consensus::build(self.shared.id, config, network, log.clone(), self.machine.lend(lent)).await;
        let raft = built.map_err(|error| halted(error.to_string()))?;
        if beyond {
            // openraft has begun the log anew behind the snapshot: it no longer reaches back to an older one.
            self.shared.snapshots.keep_only_newest();
            log.keep_after(self.shared.snapshots.oldest_index());
        }
        raft.runtime_config().elect(self.shared.refusal().is_none());
        raft.run();
        if alone {
            let servers = BTreeMap::from([(self.shared.id, self.config.server.clone())]);
            raft.initialize(servers).await.map_err(|error| halted(error.to_string()))?;
        } else if single {
            raft.trigger().elect(false).await.map_err(|error| halted(error.to_string()))?;
        }
        if single {
            let wait = raft.wait(Some(PATIENCE));
            let leads = wait.metrics(
                |metrics| {
                    metrics.running_state.is_err()
                        || metrics.state == ServerState::Leader
                            && metrics.last_applied.is_some_and(|id| id.leader_id.term == metrics.current_term)
                },
                "the only voter leads",
            );
            let metrics = leads.await.map_err(|_| OpenError::NoLeader { seconds: PATIENCE.as_secs() })?;
            metrics.running_state.map_err(|error| halted(error.to_string()))?;
        }
        let core = Arc::new(Core { raft, log });
        self.marked = 0;
        let recovered = Recovered {
            index: *published.index.borrow(),
            snapshot_index: self.shared.snapshots.newest().map(|file| file.index()),
            replayed: published.count() - before,
            torn: opened.torn,
        };
        self.shared.core.store(Some(Arc::clone(&core)));
        self.shared.elect_only_if_wanted();
        self.lead(&core);
        Ok((Running { core, writer, applying }, recovered))
    }

    /// The operator has said who the servers are: the snapshot says so, too, and then the operator's file goes.
    async fn recover(&mut self, recovered: &Override) -> Result<(), OpenError> {
        let before = self.shared.published.applied.load_full();
        if before.last.is_some() {
            let applied =
                Applied { membership: recovered.stored(before.membership.clone()), ..Applied::clone(&before) };
            let (snapshots, written, now) =
                (Arc::clone(&self.shared.snapshots), applied.clone(), self.config.runtime.clock.now());
            let written = self.shared.blocking(move || snapshots.rewrite(&written, now)).await;
            let failed = |error: String| OpenError::Start(format!("the snapshot cannot be written anew: {error}"));
            written.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(chain(&error)))?;
            self.machine.install(applied).await.map_err(|error| failed(error.to_string()))?;
        }
        recovery::done(&*self.config.disk, &self.folder)?;
        tracing::warn!("the servers of the cluster are from now on those of peers.json");
        self.recovered = true;
        Ok(())
    }

    /// The servers as the newest of the log's entries and of what is applied says.
    fn members_of(&self, opened: &Opened) -> Membership {
        let applied = self.shared.published.applied.load();
        let newest = opened.memberships.last().filter(|stored| stored.log_id() >= applied.membership.log_id());
        newest.unwrap_or(&applied.membership).membership().clone()
    }

    /// Whether the log on the disk fits what is applied and what was acknowledged.
    fn check(&self, opened: &Opened) -> Result<(), OpenError> {
        let applied = self.shared.published.applied.load();
        if opened.previous.is_some_and(|previous| Some(previous) > applied.last) {
            return Err(OpenError::Gap {
                path: self.folder.snapshots.clone(),
                first: opened.previous.map_or(0, |id| id.index + 1),
                index: applied.last.map_or(0, |id| id.index),
            });
        }
        let synced = self.synced.get();
        if opened.last < synced { Err(lost(opened.last, synced)) } else { Ok(()) }
    }

    /// Writes a snapshot of what is applied when the log ends before it; openraft then begins the log anew behind it. Before the
    /// snapshot is whole nothing has changed on the disk, and after it the log before it is no longer needed: a process that ends
    /// in between starts from the one or the other. Votes are not touched: one is answered only when it is durable, and entries of
    /// a term are taken only after the vote of that term is.
    async fn cover(&self, opened: &Opened) -> Result<(), OpenError> {
        let applied = self.shared.published.applied.load_full();
        let newest = self.shared.snapshots.newest().and_then(|file| file.meta.last_log_id);
        if opened.last >= applied.last || newest >= applied.last {
            return Ok(());
        }
        let beyond = opened.last.map_or(0, |id| id.index) < applied.last.map_or(0, |id| id.index);
        // Nobody but the only voter has what it applied, so its own disk had it.
        if !beyond || only_voter(&self.members_of(opened), self.shared.id) {
            return Err(lost(opened.last, applied.last));
        }
        let index = applied.last.map_or(0, |id| id.index);
        let (snapshots, now) = (Arc::clone(&self.shared.snapshots), self.config.runtime.clock.now());
        let written = self.shared.blocking(move || snapshots.write(&applied, now)).await;
        let failed = |error: String| {
            OpenError::Start(format!("what is applied and not in the log cannot be written as a snapshot: {error}"))
        };
        written.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(chain(&error)))?;
        tracing::info!(index, "entries that the failed disk had not taken are kept in a snapshot");
        Ok(())
    }

    fn consensus_config(&self, single: bool) -> Result<openraft::Config, OpenError> {
        let config = openraft::Config {
            cluster_name: "nomadd".to_owned(),
            election_timeout_min: milliseconds(self.config.pace.election.start),
            election_timeout_max: milliseconds(self.config.pace.election.end),
            heartbeat_interval: milliseconds(self.config.pace.heartbeat),
            // The log reader bounds the bytes.
            max_payload_entries: 4096,
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: self.config.limits.trailing_logs,
            enable_pre_vote: Some(true),
            // A leader that comes back has lost what it had not synced, so it must not go on in the same term.
            enable_leader_restore: Some(false),
            // A follower that really lost what it had acknowledged is found by `network` and put out. What gets past it is an
            // answer that was overtaken by a newer one: the leader looks again instead of failing.
            allow_log_reversion: Some(true),
            // One voter needs no heartbeats and no election timer: it never wakes without work.
            enable_tick: !single,
            ..openraft::Config::default()
        };
        config.validate().map_err(|error| OpenError::Start(error.to_string()))
    }
}

fn lost(found: Option<LogId>, acknowledged: Option<LogId>) -> OpenError {
    let index = |id: Option<LogId>| id.map_or(0, |id| id.index);
    OpenError::Lost { found: index(found), applied: index(acknowledged) }
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
