//! The placer: finds a node for each allocation of a group, and keeps count of what the plan takes and frees.
//!
//! One `Placer` serves an evaluation; it lends the fleet and puts it back. One `Run` serves a group: its feasible nodes
//! in an index, its counts, and why each other node is out. Called by the generic and the system scheduler and by
//! in-place updates.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use nomadd_model::{AllocatedResources, Allocation, AllocationId, AllocationMetric, Job, Text};
use nomadd_state::{Footprint, State};

use crate::ask::Ask;
use crate::feasible::{self, Reach};
use crate::fleet::Fleet;
use crate::ids::Random;
use crate::offer::Ledger;
use crate::rank::binpack::{Algorithm, Amount};

mod metric;
mod run;
mod standing;

pub use run::Run;

/// An allocation of the job that counts for anti-affinity, spreads and `distinct_*`.
#[derive(Debug, Clone)]
struct Live {
    row: u32,
    group: Text,
}

/// What one evaluation takes and frees.
pub struct Placer<'a> {
    /// The state that is looked at.
    pub state: &'a State,
    /// Its nodes.
    pub fleet: &'a mut Fleet,
    /// Which of them the job may use.
    pub reach: Reach,
    /// Ids and random choices.
    pub random: Random,
    job: &'a Job,
    algorithm: Algorithm,
    live: BTreeMap<AllocationId, Live>,
    ledgers: HashMap<u32, Ledger>,
    planned: HashMap<u32, Vec<Arc<AllocatedResources>>>,
    stopped: BTreeSet<AllocationId>,
    preempted: HashMap<(Text, Text, Text), i64>,
}

/// Where an allocation goes and what it gets there.
#[derive(Debug, Clone)]
pub struct Choice {
    /// The node's row.
    pub row: u32,
    /// Ports, cores and devices, where the group asks for some.
    pub resources: Option<Arc<AllocatedResources>>,
    /// The mean of its scores.
    pub score: f64,
    /// What was seen, when it was asked for.
    pub metrics: Option<Arc<AllocationMetric>>,
    /// Allocations that have to go for it.
    pub preempted: Vec<AllocationId>,
}

/// What is known of the one allocation to place.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Rows where it failed before.
    pub penalties: Vec<u32>,
    /// The row to try first (a sticky disk).
    pub preferred: Option<u32>,
    /// The number in its name.
    pub index: u64,
    /// Whether to describe what was seen.
    pub detailed: bool,
}

impl<'a> Placer<'a> {
    /// Looks at a state for a job.
    pub fn new(state: &'a State, fleet: &'a mut Fleet, job: &'a Job, random: Random) -> Self {
        if !crate::is_idle(state, &job.namespace, &job.id) {
            fleet.refresh(state);
        }
        let configuration = state.scheduler_configuration();
        let pool = feasible::pool_algorithm(state.node_pool(&job.node_pool).map(|pool| &**pool));
        let name = pool.map_or_else(|| configuration.scheduler_algorithm.clone(), |name| name.to_string());
        let mut live = BTreeMap::new();
        for allocation in state.allocations_by_job(&job.namespace, &job.id) {
            if let Some(row) = fleet.find(allocation.node_id).filter(|_| is_live(allocation)) {
                live.insert(allocation.id, Live { row, group: allocation.task_group.clone() });
            }
        }
        Self {
            reach: Reach::new(fleet, job),
            state,
            fleet,
            random,
            job,
            algorithm: if name == "spread" { Algorithm::Spread } else { Algorithm::Binpack },
            live,
            ledgers: HashMap::new(),
            planned: HashMap::new(),
            stopped: BTreeSet::new(),
            preempted: HashMap::new(),
        }
    }

    /// How the fleet is filled.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Frees what an allocation holds, as the plan stops it.
    pub fn stop(&mut self, allocation: &Allocation) {
        if !self.stopped.insert(allocation.id) {
            return;
        }
        self.live.remove(&allocation.id);
        self.charge(allocation, false);
    }

    /// Takes a stop back.
    pub fn unstop(&mut self, allocation: &Allocation) {
        if !self.stopped.remove(&allocation.id) {
            return;
        }
        if let Some(row) =
            self.fleet.find(allocation.node_id).filter(|_| is_live(allocation) && self.is_own(allocation))
        {
            self.live.insert(allocation.id, Live { row, group: allocation.task_group.clone() });
        }
        self.charge(allocation, true);
    }

    fn is_own(&self, allocation: &Allocation) -> bool {
        allocation.job_id == self.job.id && allocation.namespace == self.job.namespace
    }

    fn charge(&mut self, allocation: &Allocation, take: bool) {
        let Some(row) = self.fleet.find(allocation.node_id) else { return };
        if !self.state.holds_resources(allocation) {
            return;
        }
        let amount = Amount::of(&Footprint::of(&allocation.allocated_resources));
        let (amount, count) = if take { (amount, 1) } else { (Amount::default().minus(amount), -1) };
        self.fleet.charge(row, amount, count);
        self.ledgers.remove(&row);
    }

    /// How many allocations of an allocation's group this plan preempts already.
    pub fn preempted_of(&self, allocation: &Allocation) -> i64 {
        self.preempted.get(&group_key(allocation)).copied().unwrap_or(0)
    }

    /// Counts a preempted allocation.
    pub fn note_preempted(&mut self, allocation: &Allocation) {
        *self.preempted.entry(group_key(allocation)).or_default() += 1;
    }

    /// Whether the plan stops an allocation.
    pub fn is_stopped(&self, id: AllocationId) -> bool {
        self.stopped.contains(&id)
    }

    /// What is taken of a row's node one by one.
    pub fn ledger(&mut self, row: u32) -> Option<&mut Ledger> {
        let node = self.fleet.node(row)?.clone();
        let (state, stopped, planned) = (self.state, &self.stopped, &self.planned);
        Some(self.ledgers.entry(row).or_insert_with(|| {
            let held = state
                .allocations_by_node(node.id)
                .filter(|allocation| state.holds_resources(allocation) && !stopped.contains(&allocation.id))
                .map(|allocation| &*allocation.allocated_resources);
            let planned = planned.get(&row).into_iter().flatten().map(|resources| &**resources);
            Ledger::new(&node, held.chain(planned))
        }))
    }

    /// Ports, cores and devices for one allocation on a row.
    pub fn offer(&mut self, ask: &Ask<'_>, row: u32) -> Result<Option<Arc<AllocatedResources>>, String> {
        if !ask.is_individual() {
            return Ok(None);
        }
        let Some(node) = self.fleet.node(row).cloned() else { return Ok(None) };
        let mut random = self.random.clone();
        let offer = self.ledger(row).map(|ledger| ledger.offer(ask, &node, &mut random));
        self.random = random;
        let resources = offer.unwrap_or_else(|| Err("missing network".to_owned()))?;
        self.planned.entry(row).or_default().push(resources.clone());
        Ok(Some(resources))
    }

    /// Takes an offer back.
    pub fn withdraw(&mut self, row: u32, resources: &Arc<AllocatedResources>) {
        if let Some(planned) = self.planned.get_mut(&row) {
            planned.retain(|other| !Arc::ptr_eq(other, resources));
        }
        self.ledgers.remove(&row);
    }
}

fn group_key(allocation: &Allocation) -> (Text, Text, Text) {
    (allocation.namespace.clone(), allocation.job_id.clone(), allocation.task_group.clone())
}

impl Drop for Placer<'_> {
    fn drop(&mut self) {
        self.fleet.restore();
    }
}

/// Whether an allocation counts as one of its job's: wanted, and not ended.
pub fn is_live(allocation: &Allocation) -> bool {
    !allocation.desired_status.is_terminal() && !allocation.client_status.is_terminal()
}
