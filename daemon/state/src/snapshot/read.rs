//! Reads a state, frame by frame. Indexes, counts and sums are made anew.

use std::io::Read;
use std::sync::Arc;

use nomadd_model::{
    AllocatedResources, AllocationMetric, Deployment, Evaluation, EvaluationStatus, Namespace, NodePool, Text,
};

use super::frame::{Kind, Reader, SnapshotError};
use super::{End, Header, KIND, StoredAllocation, StoredJob, StoredNode};
use crate::apply::{is_live, pin};
use crate::command::CommandSet;
use crate::key::{JobKey, Pair};
use crate::root_key::RootKey;
use crate::state::State;
use crate::table::jobs::{JobRecord, Pin};
use crate::table::nodes::NodeRecord;
use crate::usage::{Capacity, Footprint, NodeUsage};
use crate::watch::Table;

/// Reads a whole state, or says what is wrong with it.
pub fn read(source: impl Read) -> Result<State, SnapshotError> {
    let mut reader = Reader::new(source);
    let mut builder = Builder::start(&mut reader)?;
    loop {
        match reader.next()? {
            Kind::End => {
                let end: End = reader.decode()?;
                if end.frames + 1 != reader.count() {
                    return Err(reader.inconsistent("the number of frames differs"));
                }
                reader.at_end()?;
                return builder.finish(&reader);
            }
            kind => builder.frame(kind, &reader)?,
        }
    }
}

struct Builder {
    state: State,
    /// The job whose allocations follow.
    job: Option<(JobKey, JobRecord)>,
    resources: Vec<Arc<AllocatedResources>>,
    metrics: Vec<Arc<AllocationMetric>>,
    /// Descriptions that many allocations share.
    texts: Vec<Text>,
}

impl Builder {
    fn start<R: Read>(reader: &mut Reader<R>) -> Result<Self, SnapshotError> {
        if reader.next()? != Kind::Header {
            return Err(reader.inconsistent("the first frame is no header"));
        }
        let header: Header = reader.decode()?;
        if header.kind != KIND {
            return Err(reader.inconsistent("it is a snapshot of something else"));
        }
        let mut state = State::new();
        state.index = header.index;
        state.next_number = header.next_number;
        state.namespaces.clear();
        state.node_pools.clear();
        for table in Table::ALL {
            state.table_indexes[table as usize] = header.table_indexes.get(table.name()).copied().unwrap_or(0);
        }
        state.scheduler_configuration = Arc::new(header.scheduler_configuration);
        state.autopilot_configuration = header.autopilot.map(Arc::new);
        state.cluster = header.cluster.map(Arc::new);
        state.command_set = CommandSet::of(header.command_set);
        state.rehearsal = header.rehearsal;
        Ok(Self { state, job: None, resources: Vec::new(), metrics: Vec::new(), texts: Vec::new() })
    }

    fn frame<R: Read>(&mut self, kind: Kind, reader: &Reader<R>) -> Result<(), SnapshotError> {
        if !matches!(kind, Kind::Resources | Kind::Metrics | Kind::Allocation) {
            self.end_job();
        }
        match kind {
            Kind::Namespace => {
                let namespace: Namespace = reader.decode()?;
                self.state.namespaces.insert(Text::from(&namespace.name), Arc::new(namespace));
            }
            Kind::NodePool => {
                let pool: NodePool = reader.decode()?;
                self.state.node_pools.insert(Text::from(&pool.name), Arc::new(pool));
            }
            Kind::RootKey => {
                let key: RootKey = reader.decode()?;
                self.state.root_keys.insert(key.meta.key_id, Arc::new(key));
            }
            Kind::Node => {
                let StoredNode { node, secret, generation, reported } = reader.decode()?;
                let capacity = Arc::new(Capacity::of(&node));
                let id = node.id;
                let record = NodeRecord { node, capacity, usage: NodeUsage::default(), secret, generation };
                self.state.nodes.insert(id, Arc::new(record));
                if reported > 0 {
                    self.state.reports.insert(id, reported);
                }
            }
            Kind::Job => self.start_job(reader.decode()?),
            Kind::Resources => self.resources.push(Arc::new(reader.decode()?)),
            Kind::Metrics => self.metrics.push(Arc::new(reader.decode()?)),
            Kind::Allocation => self.allocation(reader.decode()?).map_err(|reason| reader.inconsistent(reason))?,
            Kind::Evaluation => self.evaluation(reader.decode()?).map_err(|reason| reader.inconsistent(reason))?,
            Kind::Deployment => self.deployment(reader.decode()?).map_err(|reason| reader.inconsistent(reason))?,
            Kind::Header | Kind::End => return Err(reader.inconsistent("there is a second header")),
        }
        Ok(())
    }

    fn start_job(&mut self, stored: StoredJob) {
        let StoredJob {
            key,
            number,
            purged,
            versions,
            pinned,
            summary,
            submissions,
            scaling,
            has_history,
            last_plan_index,
            tracked_versions,
        } = stored;
        let mut record = JobRecord {
            number,
            job: versions.first().filter(|_| !purged).cloned(),
            versions,
            summary,
            submissions,
            scaling,
            has_history,
            last_plan_index,
            tracked_versions,
            ..JobRecord::default()
        };
        for job in pinned {
            record.pins.insert((job.create_index, job.version), Pin { allocations: 0, job: Some(job) });
        }
        if let Some(job) = &record.job
            && !job.parent_id.is_empty()
        {
            let parent = JobKey { namespace: key.namespace.clone(), id: job.parent_id.clone() };
            self.state.children.insert((parent, key.clone()));
        }
        self.job = Some((key, record));
    }

    fn end_job(&mut self) {
        if let Some((key, record)) = self.job.take() {
            self.state.jobs.insert(key, Arc::new(record));
        }
        self.resources.clear();
        self.metrics.clear();
    }

    fn share(&mut self, text: &Text) -> Text {
        if text.is_empty() {
            return Text::default();
        }
        if let Some(known) = self.texts.iter().find(|known| *known == text) {
            return known.clone();
        }
        if self.texts.len() < 64 {
            self.texts.push(text.clone());
        }
        text.clone()
    }

    fn allocation(&mut self, stored: StoredAllocation) -> Result<(), &'static str> {
        let StoredAllocation { mut allocation, resources, metrics, released } = stored;
        allocation.client_description = self.share(&allocation.client_description);
        allocation.desired_description = self.share(&allocation.desired_description);
        let Some((key, record)) = &mut self.job else { return Err("an allocation stands behind no job") };
        if allocation.namespace != key.namespace || allocation.job_id != key.id {
            return Err("an allocation stands behind another job");
        }
        let at = |number: u64| usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        allocation.allocated_resources = at(resources)
            .and_then(|at| self.resources.get(at))
            .ok_or("the resources of an allocation are missing")?
            .clone();
        if let Some(at) = at(metrics) {
            allocation.metrics = Some(self.metrics.get(at).ok_or("the metrics of an allocation are missing")?.clone());
        }
        allocation.namespace = key.namespace.clone();
        allocation.job_id = key.id.clone();
        if let Some(group) = record
            .version_of(allocation.job_create_index, allocation.job_version)
            .and_then(|job| job.group(&allocation.task_group))
        {
            allocation.task_group = group.name.clone();
        }
        let tasks = allocation.allocated_resources.clone();
        allocation.task_states.replace_keys(|name| {
            tasks.tasks.get_key_value(name).map_or_else(|| name.clone(), |(shared, _)| shared.clone())
        });
        record.allocations += 1;
        record.live_allocations += u32::from(is_live(&allocation));
        pin(record, allocation.job_create_index, allocation.job_version);

        let (id, node, number) = (allocation.id, allocation.node_id, record.number);
        let state = &mut self.state;
        state.allocations_by_job.insert((number, id));
        state.allocations_by_node.insert((node, id));
        state.allocations_by_evaluation.insert((allocation.eval_id, id));
        if allocation.deployment_id.is_some() {
            state.allocations_by_deployment.insert((allocation.deployment_id, id));
        }
        if released {
            state.released.insert(id);
        }
        let holds = state.holds_resources(&allocation);
        if let Some(record) = state.nodes.get_mut(&node) {
            let record = Arc::make_mut(record);
            if record.node.name == allocation.node_name {
                allocation.node_name = record.node.name.clone();
            }
            if holds {
                record.usage.add(&Footprint::of(&allocation.allocated_resources));
            }
        }
        if state.allocations.insert(id, Arc::new(allocation)).is_some() {
            return Err("an allocation stands there twice");
        }
        Ok(())
    }

    fn evaluation(&mut self, evaluation: Evaluation) -> Result<(), &'static str> {
        let record = self.record(&evaluation.namespace, &evaluation.job_id)?;
        record.evaluations += 1;
        record.live_evaluations += u32::from(!evaluation.status.is_terminal());
        record.blocked_evaluations += u32::from(evaluation.status == EvaluationStatus::Blocked);
        let number = record.number;
        self.state.evaluations_by_job.insert((number, evaluation.id));
        if self.state.evaluations.insert(evaluation.id, Arc::new(evaluation)).is_some() {
            return Err("an evaluation stands there twice");
        }
        Ok(())
    }

    fn deployment(&mut self, deployment: Deployment) -> Result<(), &'static str> {
        let record = self.record(&deployment.namespace, &deployment.job_id)?;
        record.deployments += 1;
        record.active_deployments += u32::from(deployment.status.is_active());
        let number = record.number;
        self.state.deployments_by_job.insert((number, deployment.create_index, deployment.id));
        if self.state.deployments.insert(deployment.id, Arc::new(deployment)).is_some() {
            return Err("a deployment stands there twice");
        }
        Ok(())
    }

    fn record(&mut self, namespace: &str, id: &str) -> Result<&mut JobRecord, &'static str> {
        let record = self.state.jobs.get_mut(&Pair(namespace, id)).ok_or("the job that is referred to is missing")?;
        Ok(Arc::make_mut(record))
    }

    fn finish<R: Read>(mut self, reader: &Reader<R>) -> Result<State, SnapshotError> {
        self.end_job();
        if self.state.jobs.values().any(|record| record.number >= self.state.next_number) {
            return Err(reader.inconsistent("a job has a number that was not given out"));
        }
        Ok(self.state)
    }
}
