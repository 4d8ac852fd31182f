//! The placements of one group: its feasible nodes in an index, its counts, and why each other node is out.

use std::sync::Arc;

use nomadd_model::{AllocatedResources, Allocation, Node};

use super::standing::{CANDIDATE, OutKind, Standings, UNSEEN};
use super::{Choice, Live, Placer, Request};
use crate::ask::{Ask, Scope};
use crate::feasible;
use crate::feasible::distinct::Properties;
use crate::fleet::{Memo, Row};
use crate::offer::amount_on;
use crate::rank::binpack::{self, Amount};
use crate::rank::index::{Cost, Entry, Index};
use crate::rank::spread::Spreads;

/// The placements of one group.
pub struct Run<'a, 'b> {
    /// What is asked.
    pub ask: &'b Ask<'a>,
    pub(super) index: Index,
    pub(super) standings: Standings,
    pub(super) tuples: Vec<u32>,
    pub(super) affinity: Vec<f64>,
    pub(super) group_count: Vec<u32>,
    job_count: Vec<u32>,
    /// What the choice that is to be taken cost the spreads' budget.
    cost: Cost,
    properties: Properties,
    property_parked: Vec<u32>,
}

impl<'a, 'b> Run<'a, 'b> {
    /// Looks at all nodes for a group.
    pub fn new(placer: &mut Placer<'_>, ask: &'b Ask<'a>) -> Self {
        let nodes = placer.fleet.len();
        let seed = placer.random.draw();
        let buffers = &mut placer.fleet.buffers;
        let spreads = Spreads::new(&ask.spreads, ask.spread_weights, ask.group.count);
        let mut run = Self {
            ask,
            index: Index::new(buffers.take(nodes), std::mem::take(&mut buffers.entries), seed, spreads),
            standings: Standings::new(buffers.take(nodes)),
            tuples: buffers.take(if ask.spreads.is_empty() { 0 } else { nodes }),
            affinity: if ask.affinities.is_empty() { Vec::new() } else { vec![0.0; nodes] },
            group_count: buffers.take(nodes),
            job_count: buffers.take(if ask.distinct_hosts == Some(Scope::Job) { nodes } else { 0 }),
            cost: Cost::default(),
            properties: Properties::new(ask),
            property_parked: Vec::new(),
        };
        run.count_live(placer);
        // Reserved cores take a different share of each node.
        let mut memo = (ask.cores == 0).then(|| placer.fleet.recall(placer.algorithm, ask.amount));
        run.look(placer, &mut memo);
        if let Some(memo) = memo {
            placer.fleet.remember(memo);
        }
        run.index.settle();
        run
    }

    /// Gives back what it lent.
    pub fn finish(self, placer: &mut Placer<'_>) {
        let Self { standings, tuples, group_count, job_count, index, .. } = self;
        let (stamps, entries) = index.into_lists();
        for list in [standings.of, tuples, group_count, job_count, stamps] {
            placer.fleet.buffers.put(list);
        }
        placer.fleet.buffers.entries = entries;
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
    fn look(&mut self, placer: &Placer<'_>, memo: &mut Option<Memo>) {
        let ask = self.ask;
        let per_node = feasible::needs_node_verdict(ask);
        let unique_affinity = ask.affinities.iter().any(|(rule, _)| rule.unique);
        let unique_spread = self.index.spreads.is_unique();
        // What a class decides for all its nodes: the reason against it, or affinity and tuple.
        let mut classes: Vec<Option<(u32, f64, u32)>> = vec![None; placer.fleet.classes().len()];
        for (at, mark) in placer.fleet.marks().iter().enumerate() {
            let class = mark.class();
            if !mark.is_ready() || placer.reach.by_class.get(class).is_none_or(|count| *count == 0) {
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
                if per_node && let Err(reason) = feasible::node_verdict(ask, node) {
                    let reason = self.reason(reason, OutKind::Filtered);
                    self.stand(placer, number, reason);
                    continue;
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
            let mut memo = memo.as_mut().and_then(|memo| memo.fills.get_mut(at)).filter(|_| !mark.is_changed());
            // Only what fits is remembered, and whether other allocations are in the way is not.
            let known = memo.as_deref().copied().filter(|fill| !fill.is_nan() && ask.distinct_hosts.is_none());
            let fill = match known {
                Some(fill) => fill,
                None => {
                    let Some(row) = placer.fleet.row(number) else { continue };
                    let Some(amount) = self.amount(placer, number, row) else { continue };
                    let fill = binpack::fill(placer.algorithm, row.used.plus(amount), row.capacity);
                    if let Some(slot) = &mut memo {
                        **slot = fill;
                    }
                    fill
                }
            };
            let (scores, sum) = self.sum(number, fill);
            self.index.add(number, tuple, scores, sum);
        }
    }

    /// Whether a row's node is ready and one of those that the job may use.
    pub fn is_in_reach(&self, row: u32) -> bool {
        self.standings.get(row) != UNSEEN
    }

    /// Whether a row is feasible for the group, whatever its resources.
    pub fn is_feasible(&self, row: u32) -> bool {
        self.standings.get(row) == CANDIDATE || self.standings.out_kind(row) == Some(OutKind::Exhausted)
    }

    /// Whether a row could run the group, were no other allocation there.
    pub fn is_suitable(&self, row: u32) -> bool {
        self.is_feasible(row) || self.standings.out_kind(row) == Some(OutKind::Distinct)
    }

    /// The rows that only lack resources.
    pub fn feasible_rows(&self) -> Vec<u32> {
        (0..self.standings.of.len() as u32).filter(|row| self.is_feasible(*row)).collect()
    }

    fn stand(&mut self, placer: &Placer<'_>, row: u32, standing: u32) {
        self.standings.set(placer.fleet, row, standing);
    }

    fn reason(&mut self, text: impl Into<String> + AsRef<str>, kind: OutKind) -> u32 {
        self.standings.reason(text, kind)
    }

    /// Number and sum of the scores of a row without spread and penalty; none when it is out, with its standing set.
    fn score(&mut self, placer: &Placer<'_>, row: u32) -> Option<(u32, f64)> {
        let found = placer.fleet.row(row)?;
        let amount = self.amount(placer, row, found)?;
        Some(self.sum(row, binpack::fill(placer.algorithm, found.used.plus(amount), found.capacity)))
    }

    /// What the group would take of a row; none when it is out, with its standing set.
    fn amount(&mut self, placer: &Placer<'_>, row: u32, found: &Row) -> Option<Amount> {
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
        Some(amount)
    }

    /// Number and sum of the scores of a row that it would fill so far.
    fn sum(&self, row: u32, fill: f64) -> (u32, f64) {
        let (mut scores, mut sum) = (1, fill);
        let collisions = get(&self.group_count, row);
        if collisions > 0 {
            scores += 1;
            sum += binpack::anti_affinity(collisions, self.ask.group.count);
        }
        if !self.ask.affinities.is_empty() {
            scores += 1;
            sum += self.affinity.get(row as usize).copied().unwrap_or(0.0);
        }
        (scores, sum)
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
                let known = self.standings.get(row) == CANDIDATE;
                let tuple = if known { get(&self.tuples, row) } else { self.index.spreads.tuple(node) };
                self.index.count(tuple, by);
            }
        }
        self.properties.count(node, same_group, by > 0);
    }

    /// Finds the best node for one allocation. What is found has to be taken (`take`) before the next is looked for.
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
            if let Some((held, best)) = penalised.take_if(|(_, best)| *best > score)
                && let Some(resources) = self.verify(placer, held.row, request)
            {
                aside.push(entry);
                chosen = Some((held, best, resources));
                break;
            }
            if let Some(resources) = self.verify(placer, entry.row, request) {
                chosen = Some((entry, score, resources));
                break;
            }
        }
        if chosen.is_none()
            && let Some((held, best)) = penalised.take()
            && let Some(resources) = self.verify(placer, held.row, request)
        {
            chosen = Some((held, best, resources));
        }
        let cost = self.index.last_cost();
        aside.extend(penalised.map(|(entry, _)| entry));
        for entry in aside {
            self.index.put_back(entry);
        }
        let (entry, score, resources) = chosen?;
        self.cost = cost;
        let metrics = request.detailed.then(|| Arc::new(self.describe(placer, entry.row, request)));
        Some(Choice { row: entry.row, resources, score, metrics, preempted: Vec::new() })
    }

    /// Finds one certain node, when it fits.
    pub fn place_on(&mut self, placer: &mut Placer<'_>, row: u32, request: &Request) -> Option<Choice> {
        if self.standings.get(row) != CANDIDATE {
            return None;
        }
        let resources = self.verify(placer, row, request)?;
        let meta = self.explain(placer, row, &request.penalties);
        let score = meta.norm_score;
        self.cost = Cost::default();
        let metrics = request.detailed.then(|| Arc::new(self.describe(placer, row, request)));
        Some(Choice { row, resources, score, metrics, preempted: Vec::new() })
    }

    /// What only shows when a node is about to be taken; a node that fails is out.
    fn verify(
        &mut self,
        placer: &mut Placer<'_>,
        row: u32,
        request: &Request,
    ) -> Option<Option<Arc<AllocatedResources>>> {
        let node = placer.fleet.node(row)?.clone();
        if let Err(reason) = self.properties.check(&node) {
            let reason = self.reason(reason, OutKind::Distinct);
            self.out(placer, row, reason);
            self.property_parked.push(row);
            return None;
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
        if self.standings.get(row) == CANDIDATE
            && let Some(Some(resources)) = self.verify(placer, row, request)
        {
            placer.withdraw(row, &resources);
        }
    }

    fn out(&mut self, placer: &Placer<'_>, row: u32, reason: u32) {
        self.index.remove(row);
        self.stand(placer, row, reason);
    }

    fn with_penalty(&self, entry: &Entry) -> f64 {
        let (row, tuple) = (entry.row, get(&self.tuples, entry.row));
        let mut scores = 2;
        scores += u32::from(get(&self.group_count, row) > 0) + u32::from(!self.ask.affinities.is_empty());
        crate::rank::index::mean(entry.sum - 1.0, scores, self.index.spreads.boost(tuple))
    }

    /// Takes what was found: charges the node, counts the allocation, scores the node anew.
    pub fn take(&mut self, placer: &mut Placer<'_>, choice: &Choice) {
        let row = choice.row;
        self.index.spend(self.cost);
        let amount = match (self.ask.cores, placer.fleet.node(row)) {
            (1.., Some(node)) => amount_on(self.ask, node),
            _ => self.ask.amount,
        };
        placer.fleet.charge(row, amount, 1);
        self.count(placer, row, true, 1);
        self.update(placer, row);
    }
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

pub(super) fn get(counts: &[u32], row: u32) -> u32 {
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
