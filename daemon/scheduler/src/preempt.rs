//! Preemption: which allocations of less important jobs have to go so that one of this job fits (facts 1.4).
//!
//! Tried when no node is free, for the kinds of jobs that the scheduler configuration names. Called by the generic and
//! the system scheduler.

use std::cmp::Ordering;
use std::sync::Arc;

use nomadd_model::{Allocation, JobType, SchedulerConfiguration};
use nomadd_state::{Footprint, State};

use crate::offer::amount_on;
use crate::placer::{Choice, Placer, Request, Run};
use crate::rank::binpack::{self, Amount};

/// How much less important a victim has to be.
const PRIORITY_DISTANCE: i64 = 10;
/// How many nodes with victims are compared; a fleet may have thousands.
const NODES_COMPARED: usize = 256;
/// What taking one more than `max_parallel` of a group costs.
const PARALLEL_PENALTY: f64 = 50.0;

/// Whether jobs of a kind may preempt.
pub fn is_enabled(configuration: &SchedulerConfiguration, kind: JobType) -> bool {
    let preemption = &configuration.preemption_config;
    match kind {
        JobType::Service => preemption.service_scheduler_enabled,
        JobType::Batch => preemption.batch_scheduler_enabled,
        JobType::System => preemption.system_scheduler_enabled,
        JobType::SystemBatch => preemption.sys_batch_scheduler_enabled,
    }
}

/// An allocation that may have to go.
#[derive(Debug, Clone)]
struct Victim {
    allocation: Arc<Allocation>,
    priority: i64,
    amount: Amount,
    /// How many of its group may go at once; 0: any number.
    parallel: i64,
}

/// Finds the node where preempting costs least, and takes it.
pub fn place(run: &mut Run<'_, '_>, placer: &mut Placer<'_>, request: &Request) -> Option<Choice> {
    let state = placer.state;
    if !is_enabled(state.scheduler_configuration(), run.ask.job.kind) {
        return None;
    }
    let rows = run.feasible_rows();
    let start = placer.random.below(rows.len() as u64) as usize;
    let mut options = Vec::new();
    for row in rows.iter().cycle().skip(start).take(rows.len()).copied() {
        if let Some((score, victims)) = option_on(run, placer, row) {
            options.push((score, row, victims));
            if options.len() == NODES_COMPARED {
                break;
            }
        }
    }
    options.sort_by(|left, right| right.0.partial_cmp(&left.0).unwrap_or(Ordering::Equal).then(left.1.cmp(&right.1)));
    options.into_iter().find_map(|(_, row, victims)| take(run, placer, request, row, victims))
}

/// Preempts on one certain node (system jobs).
pub fn place_on(run: &mut Run<'_, '_>, placer: &mut Placer<'_>, request: &Request, row: u32) -> Option<Choice> {
    if !is_enabled(placer.state.scheduler_configuration(), run.ask.job.kind) {
        return None;
    }
    let (_, victims) = option_on(run, placer, row)?;
    take(run, placer, request, row, victims)
}

/// The victims on a node that make room in numbers, and the score of the node without them.
fn option_on(run: &Run<'_, '_>, placer: &Placer<'_>, row: u32) -> Option<(f64, Vec<Victim>)> {
    let (found, node) = placer.fleet.row(row).zip(placer.fleet.node(row))?;
    if found.allocations == 0 {
        return None;
    }
    let amount = amount_on(run.ask, node);
    let candidates = candidates(placer, run, row);
    let free = found.capacity.minus(found.used);
    let preempted = |victim: &Victim| placer.preempted_of(&victim.allocation);
    let victims = choose(amount, free, candidates, &preempted)?;
    let freed = victims.iter().fold(Amount::default(), |sum, victim| sum.plus(victim.amount));
    let used = found.used.minus(freed).plus(amount);
    let fill = binpack::fill(placer.algorithm(), used, found.capacity);
    let score = match victims.is_empty() {
        true => fill,
        false => (fill + binpack::preemption(victims.iter().map(|victim| victim.priority))) / 2.0,
    };
    Some((score, victims))
}

/// Takes a node with its victims; ports, cores and devices may need more of them.
fn take(
    run: &mut Run<'_, '_>,
    placer: &mut Placer<'_>,
    request: &Request,
    row: u32,
    mut victims: Vec<Victim>,
) -> Option<Choice> {
    for victim in &victims {
        run.stop(placer, &victim.allocation);
    }
    run.update(placer, row);
    let mut choice = run.place_on(placer, row, request);
    if choice.is_none() && run.ask.is_individual() {
        for victim in candidates(placer, run, row).into_iter().filter(holds_named) {
            run.stop(placer, &victim.allocation);
            victims.push(victim);
            run.update(placer, row);
            choice = run.place_on(placer, row, request);
            if choice.is_some() {
                break;
            }
        }
    }
    match &mut choice {
        Some(choice) if !victims.is_empty() => {
            choice.preempted = victims.iter().map(|victim| victim.allocation.id).collect();
            for victim in &victims {
                placer.note_preempted(&victim.allocation);
            }
        }
        _ => {
            for victim in &victims {
                run.unstop(placer, &victim.allocation);
            }
            if choice.is_none() {
                run.recheck(placer, row, request);
            }
        }
    }
    choice
}

/// Whether it holds something that has a name: a port, a core, a device.
fn holds_named(victim: &Victim) -> bool {
    let footprint = Footprint::of(&victim.allocation.allocated_resources);
    !(footprint.ports.is_empty() && footprint.cores.is_empty() && footprint.devices.is_empty())
}

/// What may go on a node: other jobs' allocations that are less important by far, least important first.
fn candidates(placer: &Placer<'_>, run: &Run<'_, '_>, row: u32) -> Vec<Victim> {
    let (state, job) = (placer.state, run.ask.job);
    let Some(node) = placer.fleet.node(row) else { return Vec::new() };
    let mut victims: Vec<Victim> = state
        .allocations_by_node(node.id)
        .filter(|allocation| {
            state.holds_resources(allocation)
                && !allocation.desired_status.is_terminal()
                && !placer.is_stopped(allocation.id)
                && (allocation.job_id != job.id || allocation.namespace != job.namespace)
        })
        .filter_map(|allocation| victim(state, allocation))
        .filter(|victim| victim.priority <= job.priority - PRIORITY_DISTANCE)
        .collect();
    victims.sort_by_key(|victim| (victim.priority, victim.allocation.id));
    victims
}

fn victim(state: &State, allocation: &Arc<Allocation>) -> Option<Victim> {
    let job = state.job_of(allocation)?;
    let group = job.group(&allocation.task_group);
    Some(Victim {
        allocation: allocation.clone(),
        priority: job.priority,
        amount: Amount::of(&Footprint::of(&allocation.allocated_resources)),
        parallel: group.and_then(|group| group.migrate.as_ref()).map_or(0, |migrate| migrate.max_parallel),
    })
}

/// Chooses victims, by priority and then by how close they are to what is missing; none when that is not enough.
fn choose(
    ask: Amount,
    mut free: Amount,
    candidates: Vec<Victim>,
    preempted: &dyn Fn(&Victim) -> i64,
) -> Option<Vec<Victim>> {
    let enough = |free: Amount| Amount::default().exceeds(ask, free).is_none();
    let before = free;
    let mut needed = ask;
    let mut chosen: Vec<Victim> = Vec::new();
    let mut left = candidates;
    while !enough(free) {
        let lowest = left.iter().map(|victim| victim.priority).min()?;
        let cost = |victim: &Victim| {
            let of_group = |other: &&Victim| {
                let (one, other) = (&victim.allocation, &other.allocation);
                one.job_id == other.job_id && one.namespace == other.namespace && one.task_group == other.task_group
            };
            let count = preempted(victim) + chosen.iter().filter(of_group).count() as i64;
            distance(needed, victim, count)
        };
        let (at, _) = left
            .iter()
            .enumerate()
            .filter(|(_, victim)| victim.priority == lowest)
            .map(|(at, victim)| (at, cost(victim)))
            .min_by(|left, right| left.1.partial_cmp(&right.1).unwrap_or(Ordering::Equal))?;
        let victim = left.remove(at);
        free = free.plus(victim.amount);
        needed = needed.minus(victim.amount);
        chosen.push(victim);
    }
    // The farthest first: a large one may make the small ones before it needless.
    let mut by_distance: Vec<(f64, Victim)> =
        chosen.into_iter().map(|victim| (distance(ask, &victim, 0), victim)).collect();
    by_distance.sort_by(|left, right| right.0.partial_cmp(&left.0).unwrap_or(Ordering::Equal));
    let mut kept = Vec::new();
    let mut free = before;
    for (_, victim) in by_distance {
        if enough(free) {
            break;
        }
        free = free.plus(victim.amount);
        kept.push(victim);
    }
    Some(kept)
}

fn distance(ask: Amount, victim: &Victim, preempted: i64) -> f64 {
    let part = |ask: i64, used: i64| if ask > 0 { (ask - used) as f64 / ask as f64 } else { 0.0 };
    let amount = victim.amount;
    let (cpu, memory, disk) = (part(ask.cpu, amount.cpu), part(ask.memory, amount.memory), part(ask.disk, amount.disk));
    let penalty = match victim.parallel {
        limit if limit > 0 && preempted >= limit => (preempted + 1 - limit) as f64 * PARALLEL_PENALTY,
        _ => 0.0,
    };
    (cpu * cpu + memory * memory + disk * disk).sqrt() + penalty
}

#[cfg(test)]
mod tests {
    use super::*;

    fn victim(name: &str, priority: i64, cpu: i64, memory: i64) -> Victim {
        Victim {
            allocation: Arc::new(Allocation { name: name.into(), ..Allocation::default() }),
            priority,
            amount: Amount { cpu, memory, disk: 0 },
            parallel: 0,
        }
    }

    fn chosen(cpu: i64, free: i64, candidates: Vec<Victim>) -> Option<Vec<String>> {
        let free = Amount { cpu: free, memory: 10_000, disk: 10_000 };
        let victims = choose(Amount { cpu, memory: 0, disk: 0 }, free, candidates, &|_| 0)?;
        Some(victims.iter().map(|victim| victim.allocation.name.to_string()).collect())
    }

    #[test]
    fn the_least_important_go_first_and_no_more_than_needed() {
        let all = || vec![victim("small", 10, 100, 0), victim("close", 10, 480, 0), victim("big", 20, 5000, 0)];
        for (cpu, free, expected) in [
            (500, 20, Some(vec!["close"])),
            (500, 500, Some(vec![])),
            (560, 0, Some(vec!["small", "close"])),
            (600, 0, Some(vec!["big"])),
            (9000, 0, None),
        ] {
            let expected = expected.map(|names: Vec<&str>| names.iter().map(|name| (*name).to_owned()).collect());
            assert_eq!(chosen(cpu, free, all()), expected, "{cpu} with {free} free");
        }
    }
}
