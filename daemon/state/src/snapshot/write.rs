//! Writes a state, frame by frame.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::sync::Arc;

use super::frame::{Frames, Kind, SnapshotError};
use super::{End, Header, KIND, StoredAllocation, StoredJob, StoredNode};
use crate::command::CommandSet;
use crate::key::JobKey;
use crate::state::State;
use crate::table::jobs::JobRecord;
use crate::watch::Table;

/// Writes the whole state. The state is a snapshot already: writers go on meanwhile.
pub fn write(state: &State, out: impl Write) -> Result<(), SnapshotError> {
    let mut frames = Frames::new(BufWriter::with_capacity(1 << 16, out));
    frames.write(Kind::Header, &header(state))?;
    for namespace in state.namespaces.values() {
        frames.write(Kind::Namespace, &**namespace)?;
    }
    for pool in state.node_pools.values() {
        frames.write(Kind::NodePool, &**pool)?;
    }
    for key in state.root_keys.values() {
        frames.write(Kind::RootKey, &**key)?;
    }
    for record in state.nodes.values() {
        let (node, reported) = (record.node.clone(), state.reported(record.node.id));
        let node = StoredNode { node, secret: record.secret, generation: record.generation, reported };
        frames.write(Kind::Node, &node)?;
    }
    for (key, record) in &state.jobs {
        frames.write(Kind::Job, &stored_job(key, record))?;
        allocations(state, key, &mut frames)?;
    }
    for evaluation in state.evaluations.values() {
        frames.write(Kind::Evaluation, &**evaluation)?;
    }
    for deployment in state.deployments.values() {
        frames.write(Kind::Deployment, &**deployment)?;
    }
    let end = End { frames: frames.count() };
    frames.write(Kind::End, &end)?;
    frames.finish()
}

fn header(state: &State) -> Header {
    Header {
        kind: KIND.into(),
        index: state.index,
        table_indexes: Table::ALL.iter().map(|table| (table.name().into(), state.table_index(*table))).collect(),
        next_number: state.next_number,
        scheduler_configuration: (*state.scheduler_configuration).clone(),
        autopilot: state.autopilot_configuration.as_deref().cloned(),
        cluster: state.cluster.as_deref().cloned(),
        command_set: if state.command_set == CommandSet::FIRST { 0 } else { state.command_set.number() },
        rehearsal: state.rehearsal.clone(),
    }
}

fn stored_job(key: &JobKey, record: &JobRecord) -> StoredJob {
    StoredJob {
        key: key.clone(),
        number: record.number,
        purged: record.job.is_none(),
        versions: record.versions.clone(),
        pinned: record.pins.values().filter_map(|pin| pin.job.clone()).collect(),
        summary: record.summary.clone(),
        submissions: record.submissions.clone(),
        scaling: record.scaling.clone(),
        has_history: record.has_history,
        last_plan_index: record.last_plan_index,
        tracked_versions: record.tracked_versions,
    }
}

fn allocations<W: Write>(state: &State, key: &JobKey, frames: &mut Frames<W>) -> Result<(), SnapshotError> {
    let (mut resources, mut metrics) = (BTreeMap::new(), BTreeMap::new());
    for allocation in state.allocations_by_job(&key.namespace, &key.id) {
        let mut stored = StoredAllocation {
            allocation: (**allocation).clone(),
            released: state.released.contains(&allocation.id),
            ..StoredAllocation::default()
        };
        let own = std::mem::take(&mut stored.allocation.allocated_resources);
        let known = resources.len() as u64;
        stored.resources = *resources.entry(Arc::as_ptr(&own)).or_insert(known + 1);
        if stored.resources > known {
            frames.write(Kind::Resources, &*own)?;
        }
        if let Some(own) = stored.allocation.metrics.take() {
            let known = metrics.len() as u64;
            stored.metrics = *metrics.entry(Arc::as_ptr(&own)).or_insert(known + 1);
            if stored.metrics > known {
                frames.write(Kind::Metrics, &*own)?;
            }
        }
        frames.write(Kind::Allocation, &stored)?;
    }
    Ok(())
}
