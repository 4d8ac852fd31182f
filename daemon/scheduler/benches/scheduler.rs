//! How fast the scheduler is alone, and how good: `cargo bench -p nomadd-scheduler`.
//!
//! Prints one JSON object per line with name, unit, better, samples, value, goal. No timing decides a test.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]

use std::collections::BTreeMap;
use std::hint::black_box;

use nomadd_model::spec::{Constraint, SpreadTarget};
use nomadd_model::{Affinity, Job, Node, Spread, Trigger};
use nomadd_scheduler::ask::Ask;
use nomadd_scheduler::feasible;
use nomadd_scheduler::rank::binpack::{self, Algorithm, Amount};

#[path = "../fixture/world.rs"]
#[expect(dead_code, reason = "the tests use the rest of it")]
mod world;
use world::{World, job};

const COUNT: i64 = 1_000;
const ROUNDS: usize = 15;

fn main() {
    // `cargo bench -p nomadd-scheduler -- growth` runs one part.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let part = |name: &str| wanted.is_empty() || wanted.iter().any(|one| one == name);
    if part("speed") {
        speed();
    }
    if part("growth") {
        growth();
    }
    if part("small") {
        small_jobs();
    }
    if part("quality") {
        quality(false);
        quality(true);
    }
}

fn speed() {
    for (with, name, goal) in [
        (false, "scheduler: count 1,000 on 5,000 nodes", 100_000.0),
        (true, "scheduler: count 1,000 on 5,000 nodes with a constraint, an affinity and a spread", 30_000.0),
    ] {
        let rates = rates(5_000, with, COUNT);
        print(name, "placements/s", "higher", &rates, median(&rates), goal);
        let cold: Vec<f64> = rates_cold(5_000, with);
        print(&format!("{name}, first evaluation of a worker"), "placements/s", "higher", &cold, median(&cold), goal);
    }
}

/// Cost per placement against the logarithm of the fleet.
fn growth() {
    for with in [false, true] {
        let suffix = if with { " with a constraint, an affinity and a spread" } else { "" };
        let (mut base, mut base_of_one) = (0.0, 0.0);
        for nodes in [500, 1_000, 2_000, 5_000, 10_000] {
            let nanos = |count: i64| -> Vec<f64> {
                rates(nodes, with, count).iter().map(|rate| 1e9 * count as f64 / rate).collect()
            };
            let (once, twice) = (nanos(COUNT), nanos(2 * COUNT));
            let cost = median(&once) / COUNT as f64;
            // What an evaluation pays once for looking at the fleet is not in this.
            let of_one = (median(&twice) - median(&once)) / COUNT as f64;
            if nodes == 500 {
                (base, base_of_one) = (cost, of_one);
            }
            let growth = (nodes as f64).ln() / 500f64.ln();
            let name = format!("scheduler: cost per placement, count 1,000 on {nodes} nodes{suffix}");
            print(&name, "ns", "lower", &[], cost, base * growth);
            let name = format!("scheduler: cost of one more placement on {nodes} nodes{suffix}");
            print(&name, "ns", "lower", &[], of_one, base_of_one * growth);
        }
    }
}

/// CPU time of this thread: the goals are per core, and other processes must not count.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn print(name: &str, unit: &str, better: &str, samples: &[f64], value: f64, goal: f64) {
    let samples: Vec<String> = samples.iter().map(|sample| format!("{sample:.1}")).collect();
    println!(
        "{{\"name\":\"{name}\",\"unit\":\"{unit}\",\"better\":\"{better}\",\"samples\":[{}],\"value\":{value:.4},\"goal\":{goal:.4},\
         \"command\":\"cargo bench -p nomadd-scheduler\",\"load\":\"one core\"}}",
        samples.join(",")
    );
}

/// A fleet of four sizes, three datacenters, some racks, filled to different degrees.
fn fleet(nodes: usize) -> World {
    let mut world = World::new();
    world.add_nodes(nodes, shape);
    world
}

fn shape(at: usize, node: &mut Node) {
    let size = [1, 2, 2, 4][at % 4];
    node.node_resources.cpu.cpu_shares = 8_000 * size;
    node.node_resources.memory.memory_mb = 16_384 * size;
    // What others use already, as if reserved.
    let used = (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    node.reserved_resources.cpu.cpu_shares = used % 4_000;
    node.reserved_resources.memory.memory_mb = (used >> 4) % 8_192;
    node.datacenter = ["dc1", "dc2", "dc3"][at % 3].into();
    node.meta.insert("rack".into(), format!("r{}", at % 40).into());
    node.attributes.insert("cpu.arch".into(), if at % 10 == 9 { "arm64" } else { "amd64" }.into());
    node.attributes.insert("unique.hostname".into(), format!("host-{at}").into());
    node.attributes.insert("os.version".into(), format!("12.{}", at % 5).into());
}

fn wanted(id: &str, with: bool, count: i64) -> Job {
    let mut job = job(id, count);
    if with {
        job.constraints = vec![
            Constraint { l_target: "${attr.cpu.arch}".into(), operand: "=".into(), r_target: "amd64".into() },
            Constraint { l_target: "${attr.os.version}".into(), operand: "version".into(), r_target: ">= 12.1".into() },
        ];
        job.affinities = vec![Affinity {
            l_target: "${meta.rack}".into(),
            operand: "regexp".into(),
            r_target: "^r1".into(),
            weight: 50,
        }];
        let target = |value: &str, percent| SpreadTarget { value: value.into(), percent };
        job.spreads = vec![Spread {
            attribute: "${node.datacenter}".into(),
            weight: 50,
            spread_target: vec![target("dc1", 50), target("dc2", 30), target("dc3", 20)],
        }];
    }
    job
}

/// Placements per second of evaluations one after the other, each of another job, their plans committed in between.
fn rates(nodes: usize, with: bool, count: i64) -> Vec<f64> {
    let mut world = fleet(nodes);
    let mut rates = Vec::new();
    for round in 0..ROUNDS {
        let id = format!("job-{round}");
        world.register(wanted(&id, with, count));
        let evaluation = world.evaluation(&id, Trigger::JobRegister);
        let start = cpu_seconds();
        let outcome = black_box(world.look(&evaluation));
        let seconds = cpu_seconds() - start;
        let plan = outcome.plan.as_ref().map_or(0, |plan| plan.placements.iter().map(|b| b.placements.len()).sum());
        assert_eq!(plan as i64, count, "everything finds a place");
        rates.push(count as f64 / seconds);
        // The fleet would be full after some rounds otherwise.
        if round % 5 == 0 {
            world.write(&outcome);
        }
    }
    // The first pays for the fleet, which later evaluations keep.
    rates.split_off(1)
}

fn rates_cold(nodes: usize, with: bool) -> Vec<f64> {
    let mut world = fleet(nodes);
    world.register(wanted("cold", with, COUNT));
    (0..5)
        .map(|_| {
            world.scheduler = Default::default();
            let evaluation = world.evaluation("cold", Trigger::JobRegister);
            let start = cpu_seconds();
            black_box(world.look(&evaluation));
            COUNT as f64 / (cpu_seconds() - start)
        })
        .collect()
}

/// Evaluations of jobs with one allocation.
fn small_jobs() {
    let mut world = fleet(5_000);
    let mut samples = Vec::new();
    for round in 0..5 {
        let ids: Vec<String> = (0..200).map(|at| format!("small-{round}-{at}")).collect();
        for id in &ids {
            world.register(job(id, 1));
        }
        let evaluations: Vec<_> = ids.iter().map(|id| world.evaluation(id, Trigger::JobRegister)).collect();
        let start = cpu_seconds();
        for evaluation in &evaluations {
            black_box(world.look(evaluation));
        }
        samples.push(evaluations.len() as f64 / (cpu_seconds() - start));
    }
    print(
        "scheduler: evaluations of jobs with count 1 on 5,000 nodes",
        "1/s",
        "higher",
        &samples,
        median(&samples),
        0.0,
    );
}

/// Replays plans against an exhaustive search by the formulas.
fn quality(with: bool) {
    let mut world = fleet(5_000);
    let (mut chosen_sum, mut best_sum, mut worst_spread) = (0.0, 0.0, 0.0f64);
    let mut broken = 0;
    let rounds = 10_000 / COUNT;
    for round in 0..rounds {
        let id = format!("quality-{round}");
        let job = world.register(wanted(&id, with, COUNT));
        let evaluation = world.evaluation(&id, Trigger::JobRegister);
        let outcome = world.look(&evaluation);
        let mut replay = Replay::new(&world, &job);
        let plan = outcome.plan.clone().unwrap();
        // Placements are numbered in the order in which they were made.
        let mut placements: Vec<_> = plan.placements.iter().flat_map(|batch| &batch.placements).collect();
        placements.sort_by_key(|placement| placement.index);
        for placement in placements {
            let (best, chosen) = replay.place(placement.node_id);
            broken += u32::from(chosen.is_none());
            chosen_sum += chosen.unwrap_or(0.0);
            best_sum += best;
        }
        worst_spread = worst_spread.max(replay.spread_error());
        world.write(&outcome);
    }
    let suffix = if with { " with a constraint, an affinity and a spread" } else { "" };
    let ratio = chosen_sum / best_sum;
    print(
        &format!("scheduler: mean chosen score of the exhaustive best{suffix}"),
        "share",
        "higher",
        &[ratio],
        ratio,
        0.98,
    );
    print(&format!("scheduler: hard constraints broken{suffix}"), "count", "lower", &[], f64::from(broken), 0.0);
    if with {
        print(
            "scheduler: distance from the spread targets",
            "allocations",
            "lower",
            &[worst_spread],
            worst_spread,
            1.0,
        );
    }
}

struct Replay {
    rows: Vec<ReplayRow>,
    by_id: BTreeMap<nomadd_model::NodeId, usize>,
    ask: Amount,
    count: f64,
    affinity: bool,
    spread: BTreeMap<&'static str, (f64, f64)>,
}

struct ReplayRow {
    capacity: Amount,
    used: Amount,
    feasible: bool,
    affinity: f64,
    datacenter: &'static str,
    own: u32,
}

impl Replay {
    fn new(world: &World, job: &Job) -> Self {
        let ask = Ask::new(job, &job.task_groups[0], &world.state);
        let mut rows = Vec::new();
        let mut by_id = BTreeMap::new();
        for node in world.state.nodes() {
            let usage = world.state.node_usage(node.id).unwrap();
            by_id.insert(node.id, rows.len());
            rows.push(ReplayRow {
                capacity: nomadd_scheduler::fleet::capacity(node),
                used: Amount { cpu: usage.cpu_shares, memory: usage.memory_mb, disk: usage.disk_mb },
                feasible: feasible::is_in_reach(job, node) && feasible::verdict(&ask, node).is_ok(),
                affinity: ask.affinities.iter().map(|(rule, _)| f64::from(u8::from(rule.holds(node)))).sum(),
                datacenter: ["dc1", "dc2", "dc3"].into_iter().find(|name| node.datacenter == *name).unwrap(),
                own: 0,
            });
        }
        let targets = [("dc1", 500.0), ("dc2", 300.0), ("dc3", 200.0)];
        let spread =
            if job.spreads.is_empty() { [].into() } else { targets.map(|(name, want)| (name, (want, 0.0))).into() };
        Self { rows, by_id, ask: ask.amount, count: COUNT as f64, affinity: !job.affinities.is_empty(), spread }
    }

    fn score(&self, row: &ReplayRow) -> Option<f64> {
        let used = row.used.plus(self.ask);
        if !row.feasible || row.used.exceeds(self.ask, row.capacity).is_some() {
            return None;
        }
        let mut scores = vec![binpack::fill(Algorithm::Binpack, used, row.capacity)];
        if row.own > 0 {
            scores.push(-(f64::from(row.own) + 1.0) / self.count);
        }
        if self.affinity {
            scores.push(row.affinity);
        }
        if let Some((want, used)) = self.spread.get(row.datacenter) {
            let boost = (want - (used + 1.0)) / want;
            if boost != 0.0 {
                scores.push(boost);
            }
        }
        Some(scores.iter().sum::<f64>() / scores.len() as f64)
    }

    /// The best score there was, and the one that was taken.
    fn place(&mut self, node: nomadd_model::NodeId) -> (f64, Option<f64>) {
        let best = self.rows.iter().filter_map(|row| self.score(row)).fold(f64::NEG_INFINITY, f64::max);
        let at = self.by_id[&node];
        let chosen = self.score(&self.rows[at]);
        let row = &mut self.rows[at];
        row.used = row.used.plus(self.ask);
        row.own += 1;
        if let Some((_, used)) = self.spread.get_mut(row.datacenter) {
            *used += 1.0;
        }
        (best, chosen)
    }

    fn spread_error(&self) -> f64 {
        self.spread.values().map(|(want, used)| (want - used).abs()).fold(0.0, f64::max)
    }
}
