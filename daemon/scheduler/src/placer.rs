//! The placer: finds a node for each allocation of a group, and keeps count of what the plan takes and frees.
//!
//! One `Placer` serves an evaluation; it lends the fleet and puts it back. One `Run` serves a group: its feasible nodes
//! in an index, its counts, and why each other node is out. Called by the generic and the system scheduler and by
//! in-place updates.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use nomadd_model::{
    AllocatedResources, Allocation, AllocationId, AllocationMetric, Job, Node, NodeScoreMeta, Resources, TaskGroup,
};
use nomadd_state::{Footprint, State};

use crate::ask::{Ask, Scope};
use crate::feasible::distinct::Properties;
use crate::feasible::{self, Reach};
use crate::fleet::Fleet;
use crate::ids::Random;
use crate::offer::{Ledger, amount_on};
use crate::rank::binpack::{self, Algorithm, Amount};
use crate::rank::index::{Entry, Index};
use crate::rank::spread::Spreads;

/// How many alternatives a metric names.
const TOP: usize = 5;

/// An allocation of the job that counts for anti-affinity, spreads and `distinct_*`.
#[derive(Debug, Clone)]
struct Live {
    row: u32,
    group: nomadd_model::Text,
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
    preempted: HashMap<(nomadd_model::Text, nomadd_model::Text, nomadd_model::Text), i64>,
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
        fleet.refresh(state);
        let configuration = state.scheduler_configuration();
        let pool = feasible::pool_algorithm(state.node_pool(&job.node_pool).map(|pool| &**pool));
        let name = pool.map_or_else(|| configuration.scheduler_algorithm.clone(), |name| name.to_string());
        let mut live = BTreeMap::new();
        for allocation in state.allocations_by_job(&job.namespace, &job.id) {
            if is_live(allocation) {
                if let Some(row) = fleet.find(allocation.node_id) {
                    live.insert(allocation.id, Live { row, group: allocation.task_group.clone() });
                }
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
        if let Some(row) = self.fleet.find(allocation.node_id).filter(|_| is_live(allocation) && self.is_own(allocation)) {
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

fn group_key(allocation: &Allocation) -> (nomadd_model::Text, nomadd_model::Text, nomadd_model::Text) {
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

/// How a row stands in a run.
const UNSEEN: u16 = 0;
const CANDIDATE: u16 = 1;

/// A reason that takes nodes out.
#[derive(Debug)]
struct Out {
    text: String,
    kind: OutKind,
    /// How many rows are out by it, by node class.
    rows: Vec<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OutKind {
    /// The node may not run the group.
    Filtered,
    /// Other allocations of the job are in the way.
    Distinct,
    /// Something of the node is used up.
    Exhausted,
}

/// The placements of one group.
pub struct Run<'a, 'b> {
    /// What is asked.
    pub ask: &'b Ask<'a>,
    index: Index,
    /// Per row: unseen, candidate, or 2 + the number of the reason.
    standing: Vec<u16>,
    reasons: Vec<Out>,
    tuples: Vec<u32>,
    affinity: Vec<f64>,
    group_count: Vec<u32>,
    job_count: Vec<u32>,
    properties: Properties,
    property_parked: Vec<u32>,
}

impl<'a, 'b> Run<'a, 'b> {
    /// Looks at all nodes for a group.
    pub fn new(placer: &mut Placer<'_>, ask: &'b Ask<'a>) -> Self {
        let nodes = placer.fleet.len();
        let mut run = Self {
            ask,
            index: Index::new(nodes, placer.random.next(), Spreads::new(&ask.spreads, ask.spread_weights, ask.group.count)),
            standing: vec![UNSEEN; nodes],
            reasons: Vec::new(),
            tuples: vec![0; nodes],
            affinity: if ask.affinities.is_empty() { Vec::new() } else { vec![0.0; nodes] },
            group_count: vec![0; nodes],
            job_count: vec![0; nodes],
            properties: Properties::new(ask),
            property_parked: Vec::new(),
        };
        run.count_live(placer);
        let candidates = run.look(placer);
        run.index.fill(candidates.into_iter());
        run
    }

    /// Counts what is there already.
    fn count_live(&mut self, placer: &Placer<'_>) {
        for Live { row, group } in placer.live.values() {
            let same_group = *group == self.ask.group.name;
            bump(&mut self.job_count, *row, 1);
            let Some(node) = placer.fleet.node(*row) else { continue };
            if same_group {
                bump(&mut self.group_count, *row, 1);
                let tuple = self.index.spreads.tuple(node);
                self.index.spreads.count(tuple, 1);
            }
            self.properties.count(node, same_group, true);
        }
    }

    /// Finds the candidates and why the others are none.
    fn look(&mut self, placer: &Placer<'_>) -> Vec<(u32, u32, u32, f64)> {
        let ask = self.ask;
        let per_node = feasible::needs_node_verdict(ask);
        let unique_affinity = ask.affinities.iter().any(|(rule, _)| rule.unique);
        let unique_spread = self.index.spreads.is_unique();
        // What a class decides for all its nodes: the reason against it, or affinity and tuple.
        let mut classes: Vec<Option<(u16, f64, u32)>> = vec![None; placer.fleet.classes().len()];
        let mut candidates = Vec::with_capacity(placer.reach.total as usize);
        for (at, row) in placer.fleet.rows().iter().enumerate() {
            let class = row.class as usize;
            if !row.ready || placer.reach.by_class.get(class).is_none_or(|count| *count == 0) {
                continue;
            }
            let number = at as u32;
            let (verdict, mut affinity, mut tuple) = match classes.get(class).copied().flatten() {
                Some(known) => known,
                None => {
                    let Some(entry) = placer.fleet.classes().get(class) else { continue };
                    let known = match feasible::class_verdict(ask, &entry.sample) {
                        Err(reason) => (self.reason(reason, OutKind::Filtered), 0.0, 0),
                        Ok(()) => {
                            let affinity = if unique_affinity { 0.0 } else { affinity_of(ask, &entry.sample) };
                            let tuple = if unique_spread { 0 } else { self.index.spreads.tuple(&entry.sample) };
                            (CANDIDATE, affinity, tuple)
                        }
                    };
                    if let Some(slot) = classes.get_mut(class) {
                        *slot = Some(known);
                    }
                    known
                }
            };
            if verdict != CANDIDATE {
                self.stand(placer, number, verdict);
                continue;
            }
            if per_node || unique_affinity || unique_spread {
                let Some(node) = placer.fleet.node(number) else { continue };
                if per_node {
                    if let Err(reason) = feasible::node_verdict(ask, node) {
                        let reason = self.reason(reason, OutKind::Filtered);
                        self.stand(placer, number, reason);
                        continue;
                    }
                }
                if unique_affinity {
                    affinity = affinity_of(ask, node);
                }
                if unique_spread {
                    tuple = self.index.spreads.tuple(node);
                }
            }
            set(&mut self.tuples, number, tuple);
            set(&mut self.affinity, number, affinity);
            self.stand(placer, number, CANDIDATE);
            if let Some((scores, sum)) = self.score(placer, number) {
                candidates.push((number, tuple, scores, sum));
            }
        }
        candidates
    }

    /// Whether a row's node is ready and one of those that the job may use.
    pub fn is_in_reach(&self, row: u32) -> bool {
        self.standing.get(row as usize).is_some_and(|standing| *standing != UNSEEN)
    }

    /// Whether a row is feasible for the group, whatever its resources.
    pub fn is_feasible(&self, row: u32) -> bool {
        match self.standing.get(row as usize) {
            Some(&UNSEEN) | None => false,
            Some(&CANDIDATE) => true,
            Some(&reason) => self.out_kind(reason) == Some(OutKind::Exhausted),
        }
    }

    /// Whether a row could run the group, were no other allocation there.
    pub fn is_suitable(&self, row: u32) -> bool {
        let standing = self.standing.get(row as usize).copied().unwrap_or(UNSEEN);
        self.is_feasible(row) || self.out_kind(standing) == Some(OutKind::Distinct)
    }

    fn out_kind(&self, standing: u16) -> Option<OutKind> {
        usize::from(standing).checked_sub(2).and_then(|at| self.reasons.get(at)).map(|out| out.kind)
    }

    /// The rows that only lack resources.
    pub fn feasible_rows(&self) -> Vec<u32> {
        (0..self.standing.len() as u32).filter(|row| self.is_feasible(*row)).collect()
    }

    fn stand(&mut self, placer: &Placer<'_>, row: u32, standing: u16) {
        let Some(slot) = self.standing.get_mut(row as usize) else { return };
        let before = std::mem::replace(slot, standing);
        if before <= CANDIDATE && standing <= CANDIDATE {
            return;
        }
        let class = placer.fleet.row(row).and_then(|row| placer.fleet.classes().get(row.class as usize));
        let Some(class) = class.map(|class| class.node_class as usize) else { return };
        for (standing, by) in [(before, -1), (standing, 1)] {
            let out = usize::from(standing).checked_sub(2).and_then(|at| self.reasons.get_mut(at));
            let Some(out) = out else { continue };
            if out.rows.len() <= class {
                out.rows.resize(class + 1, 0);
            }
            if let Some(count) = out.rows.get_mut(class) {
                *count += by;
            }
        }
    }

    fn reason(&mut self, text: impl Into<String> + AsRef<str>, kind: OutKind) -> u16 {
        let known = self.reasons.iter().position(|out| out.kind == kind && out.text == text.as_ref());
        let at = known.unwrap_or_else(|| {
            self.reasons.push(Out { text: text.into(), kind, rows: Vec::new() });
            self.reasons.len() - 1
        });
        u16::try_from(at + 2).unwrap_or(u16::MAX)
    }

    /// Number and sum of the scores of a row without spread and penalty; none when it is out, with its standing set.
    fn score(&mut self, placer: &Placer<'_>, row: u32) -> Option<(u32, f64)> {
        let Some(found) = placer.fleet.row(row).copied() else { return None };
        let taken = match self.ask.distinct_hosts {
            Some(Scope::Job) => get(&self.job_count, row) > 0,
            Some(Scope::Group) => get(&self.group_count, row) > 0,
            None => false,
        };
        if taken {
            let reason = self.reason("distinct_hosts", OutKind::Distinct);
            self.stand(placer, row, reason);
            return None;
        }
        let amount = match (self.ask.cores, placer.fleet.node(row)) {
            (1.., Some(node)) => amount_on(self.ask, node),
            _ => self.ask.amount,
        };
        if let Some(dimension) = found.misfit(amount) {
            let reason = self.reason(dimension, OutKind::Exhausted);
            self.stand(placer, row, reason);
            return None;
        }
        let mut scores = 1;
        let mut sum = binpack::fill(placer.algorithm, found.used.plus(amount), found.capacity);
        let collisions = get(&self.group_count, row);
        if collisions > 0 {
            scores += 1;
            sum += binpack::anti_affinity(collisions, self.ask.group.count);
        }
        if !self.ask.affinities.is_empty() {
            scores += 1;
            sum += self.affinity.get(row as usize).copied().unwrap_or(0.0);
        }
        Some((scores, sum))
    }

    /// Scores a row anew and puts it where it belongs.
    pub fn update(&mut self, placer: &Placer<'_>, row: u32) {
        if !self.is_suitable(row) {
            return;
        }
        self.index.remove(row);
        self.stand(placer, row, CANDIDATE);
        if let Some((scores, sum)) = self.score(placer, row) {
            let tuple = get(&self.tuples, row);
            self.index.put(row, tuple, scores, sum);
        }
    }

    /// Stops an allocation (of whatever job) for the placements to come.
    pub fn stop(&mut self, placer: &mut Placer<'_>, allocation: &Allocation) {
        let counted = placer.live.get(&allocation.id).map(|live| live.row);
        placer.stop(allocation);
        self.recount(placer, allocation, counted, false);
    }

    /// Takes a stop back.
    pub fn unstop(&mut self, placer: &mut Placer<'_>, allocation: &Allocation) {
        placer.unstop(allocation);
        let counted = placer.live.get(&allocation.id).map(|live| live.row);
        self.recount(placer, allocation, counted, true);
    }

    fn recount(&mut self, placer: &Placer<'_>, allocation: &Allocation, counted: Option<u32>, add: bool) {
        let Some(row) = placer.fleet.find(allocation.node_id) else { return };
        if counted.is_some() {
            let same_group = allocation.task_group == self.ask.group.name;
            let by = if add { 1 } else { -1 };
            self.count(placer, row, same_group, by);
            if !add {
                // A freed value may let nodes in again that were set aside for it.
                for parked in std::mem::take(&mut self.property_parked) {
                    self.stand(placer, parked, CANDIDATE);
                    self.update(placer, parked);
                }
            }
        }
        self.update(placer, row);
    }

    fn count(&mut self, placer: &Placer<'_>, row: u32, same_group: bool, by: i64) {
        bump(&mut self.job_count, row, by);
        let Some(node) = placer.fleet.node(row) else { return };
        if same_group {
            bump(&mut self.group_count, row, by);
            if !self.index.spreads.is_empty() {
                // Existing allocations may be on nodes that are no candidates and have no tuple of their own.
                let known = self.standing.get(row as usize) == Some(&CANDIDATE);
                let tuple = if known { get(&self.tuples, row) } else { self.index.spreads.tuple(node) };
                self.index.count(tuple, by);
            }
        }
        self.properties.count(node, same_group, by > 0);
    }

    /// Finds the best node for one allocation and takes it; otherwise nothing changes.
    pub fn place(&mut self, placer: &mut Placer<'_>, request: &Request) -> Option<Choice> {
        if let Some(choice) = request.preferred.and_then(|row| self.place_on(placer, row, request)) {
            return Some(choice);
        }
        let mut aside: Vec<Entry> = Vec::new();
        let mut penalised: Option<(Entry, f64)> = None;
        let mut chosen = None;
        while let Some(entry) = self.index.pop() {
            let score = self.index.final_score(&entry);
            if request.penalties.contains(&entry.row) {
                let score = self.with_penalty(&entry);
                match &mut penalised {
                    Some((held, best)) if *best < score => {
                        aside.push(std::mem::replace(held, entry));
                        *best = score;
                    }
                    Some(_) => aside.push(entry),
                    None => penalised = Some((entry, score)),
                }
                continue;
            }
            // A node where it failed before is still better than one that scores lower.
            if let Some((held, best)) = penalised.take_if(|(_, best)| *best > score) {
                if let Some(resources) = self.verify(placer, held.row, request) {
                    aside.push(entry);
                    chosen = Some((held, best, resources));
                    break;
                }
            }
            if let Some(resources) = self.verify(placer, entry.row, request) {
                chosen = Some((entry, score, resources));
                break;
            }
        }
        if chosen.is_none() {
            if let Some((held, best)) = penalised.take() {
                if let Some(resources) = self.verify(placer, held.row, request) {
                    chosen = Some((held, best, resources));
                }
            }
        }
        let cost = self.index.last_cost();
        aside.extend(penalised.map(|(entry, _)| entry));
        for entry in aside {
            self.index.put_back(entry);
        }
        let (entry, score, resources) = chosen?;
        let metrics = request.detailed.then(|| Arc::new(self.describe(placer, entry.row, request)));
        self.index.spend(cost);
        self.commit(placer, entry.row);
        Some(Choice { row: entry.row, resources, score, metrics, preempted: Vec::new() })
    }

    /// Takes one certain node, when it fits.
    pub fn place_on(&mut self, placer: &mut Placer<'_>, row: u32, request: &Request) -> Option<Choice> {
        if self.standing.get(row as usize) != Some(&CANDIDATE) {
            return None;
        }
        let resources = self.verify(placer, row, request)?;
        let meta = self.explain(placer, row, &request.penalties);
        let score = meta.norm_score;
        let metrics = request.detailed.then(|| Arc::new(self.describe(placer, row, request)));
        self.commit(placer, row);
        Some(Choice { row, resources, score, metrics, preempted: Vec::new() })
    }

    /// What only shows when a node is about to be taken; a node that fails is out.
    fn verify(&mut self, placer: &mut Placer<'_>, row: u32, request: &Request) -> Option<Option<Arc<AllocatedResources>>> {
        let node = placer.fleet.node(row)?.clone();
        if !self.properties.is_empty() {
            if let Err(reason) = self.properties.check(&node) {
                let reason = self.reason(reason, OutKind::Distinct);
                self.out(placer, row, reason);
                self.property_parked.push(row);
                return None;
            }
        }
        if !feasible::has_own_volumes(self.ask, &node, request.index) {
            let reason = self.reason("missing compatible host volumes", OutKind::Filtered);
            self.out(placer, row, reason);
            return None;
        }
        match placer.offer(self.ask, row) {
            Ok(resources) => Some(resources),
            Err(dimension) => {
                let reason = self.reason(dimension, OutKind::Exhausted);
                self.out(placer, row, reason);
                None
            }
        }
    }

    /// Finds out again why a row is out, after stops on it were taken back.
    pub fn recheck(&mut self, placer: &mut Placer<'_>, row: u32, request: &Request) {
        self.update(placer, row);
        if self.standing.get(row as usize) == Some(&CANDIDATE) {
            if let Some(Some(resources)) = self.verify(placer, row, request) {
                placer.withdraw(row, &resources);
            }
        }
    }

    fn out(&mut self, placer: &Placer<'_>, row: u32, reason: u16) {
        self.index.remove(row);
        self.stand(placer, row, reason);
    }

    fn with_penalty(&self, entry: &Entry) -> f64 {
        let (row, tuple) = (entry.row, get(&self.tuples, entry.row));
        let mut scores = 2;
        scores += u32::from(get(&self.group_count, row) > 0) + u32::from(!self.ask.affinities.is_empty());
        crate::rank::index::mean(entry.sum - 1.0, scores, self.index.spreads.boost(tuple))
    }

    /// Takes a row: charges it, counts it, scores it anew.
    pub fn commit(&mut self, placer: &mut Placer<'_>, row: u32) {
        let amount = match (self.ask.cores, placer.fleet.node(row)) {
            (1.., Some(node)) => amount_on(self.ask, node),
            _ => self.ask.amount,
        };
        placer.fleet.charge(row, amount, 1);
        self.count(placer, row, true, 1);
        self.update(placer, row);
    }

    /// The scores of a row, before it is taken.
    pub fn explain(&self, placer: &Placer<'_>, row: u32, penalties: &[u32]) -> NodeScoreMeta {
        let mut scores = BTreeMap::new();
        let Some((found, node)) = placer.fleet.row(row).zip(placer.fleet.node(row)) else {
            return NodeScoreMeta::default();
        };
        let amount = amount_on(self.ask, node);
        let mut list = vec![binpack::fill(placer.algorithm, found.used.plus(amount), found.capacity)];
        scores.insert("binpack".to_owned(), list[0]);
        let collisions = get(&self.group_count, row);
        let anti = if collisions > 0 { binpack::anti_affinity(collisions, self.ask.group.count) } else { 0.0 };
        let penalty = if penalties.contains(&row) { -1.0 } else { 0.0 };
        let affinity = self.affinity.get(row as usize).copied().unwrap_or(0.0);
        for (name, score, counts) in [
            ("job-anti-affinity", anti, collisions > 0),
            ("node-reschedule-penalty", penalty, penalty != 0.0),
            ("node-affinity", affinity, !self.ask.affinities.is_empty()),
        ] {
            scores.insert(name.to_owned(), score);
            if counts {
                list.push(score);
            }
        }
        let boost = self.index.spreads.boost(get(&self.tuples, row));
        if boost != 0.0 {
            scores.insert("allocation-spread".to_owned(), boost);
            list.push(boost);
        }
        let norm_score = list.iter().sum::<f64>() / list.len() as f64;
        NodeScoreMeta { node_id: node.id, norm_score, scores }
    }

    /// What was seen, with the best nodes; `row` is the one that is about to be taken.
    pub fn describe(&mut self, placer: &Placer<'_>, row: u32, request: &Request) -> AllocationMetric {
        let mut metric = self.metric(placer);
        metric.score_meta_data.push(self.explain(placer, row, &request.penalties));
        let mut others = Vec::new();
        while others.len() < TOP - 1 {
            let Some(entry) = self.index.pop() else { break };
            others.push(entry);
        }
        for entry in others {
            if entry.row != row {
                metric.score_meta_data.push(self.explain(placer, entry.row, &request.penalties));
            }
            self.index.put_back(entry);
        }
        metric
    }

    /// What was seen of the fleet so far: exact over all nodes that the job may use.
    pub fn metric(&self, placer: &Placer<'_>) -> AllocationMetric {
        let mut metric = AllocationMetric {
            nodes_evaluated: placer.reach.total,
            nodes_in_pool: placer.reach.in_pool,
            nodes_available: placer.reach.by_datacenter.clone(),
            node_pool: self.ask.job.node_pool.clone(),
            ..AllocationMetric::default()
        };
        for out in &self.reasons {
            let count: i64 = out.rows.iter().sum();
            if count == 0 {
                continue;
            }
            let (total, reasons, classes) = if out.kind != OutKind::Exhausted {
                (&mut metric.nodes_filtered, &mut metric.constraint_filtered, &mut metric.class_filtered)
            } else {
                (&mut metric.nodes_exhausted, &mut metric.dimension_exhausted, &mut metric.class_exhausted)
            };
            *total += count;
            *reasons.entry(out.text.clone()).or_default() += count;
            for (count, name) in out.rows.iter().zip(placer.fleet.node_classes()) {
                if *count > 0 && !name.is_empty() {
                    *classes.entry(name.to_string()).or_default() += count;
                }
            }
        }
        if metric.dimension_exhausted.keys().any(|dimension| matches!(dimension.as_str(), "memory" | "cpu")) {
            metric.resources_exhausted = resources_asked(self.ask.group);
        }
        metric
    }

    /// Which computed classes may run the group, for a blocked evaluation. A class is eligible when only resources
    /// are missing on its nodes.
    pub fn class_eligibility(&self, placer: &Placer<'_>) -> BTreeMap<String, bool> {
        let mut eligibility = BTreeMap::new();
        for (class, ready) in placer.fleet.classes().iter().zip(&placer.reach.by_class) {
            if *ready > 0 {
                let eligible = feasible::class_verdict(self.ask, &class.sample).is_ok();
                *eligibility.entry(class.computed.to_string()).or_insert(false) |= eligible;
            }
        }
        eligibility
    }
}

fn resources_asked(group: &TaskGroup) -> BTreeMap<String, Resources> {
    let asked = |resources: &Resources| Resources {
        cpu: resources.cpu,
        memory_mb: resources.memory_mb,
        ..Resources::default()
    };
    group.tasks.iter().map(|task| (task.name.to_string(), asked(&task.resources))).collect()
}

fn affinity_of(ask: &Ask<'_>, node: &Node) -> f64 {
    let (mut sum, mut total) = (0.0, 0.0);
    for (rule, weight) in &ask.affinities {
        total += weight.abs();
        if rule.holds(node) {
            sum += weight;
        }
    }
    if total > 0.0 { sum / total } else { 0.0 }
}

fn get(counts: &[u32], row: u32) -> u32 {
    counts.get(row as usize).copied().unwrap_or(0)
}

fn set<T>(values: &mut [T], row: u32, value: T) {
    if let Some(slot) = values.get_mut(row as usize) {
        *slot = value;
    }
}

fn bump(counts: &mut [u32], row: u32, by: i64) {
    if let Some(count) = counts.get_mut(row as usize) {
        *count = u32::try_from(i64::from(*count) + by).unwrap_or(0);
    }
}
