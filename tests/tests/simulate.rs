//! The simulation of a cluster: real raft rooms, servers and schedulers over a simulated disk and network, nodes and people that
//! are played, and everything that can fail. One seed is one history; a seed that fails is replayed with `SEED=n`.
//!
//! Time is tokio's paused clock on one thread with a seeded scheduler, not turmoil: the seams of the code are `Disk`, `Connection` and
//! `Dial`, so no socket is needed, messages can be bent by mutants where they have a meaning, and a seed takes a fraction of a second.
//! What is below those seams (HTTP/2, TLS, sockets) has its own tests and takes no part here.
//!
//! `make simulate SEEDS=N [SEED=k] [MUTANT=name]`; without arguments (`cargo test`): 100 seeds, two of them twice, every mutant.

#![expect(clippy::unwrap_used, reason = "a simulation that cannot go on has failed")]

mod simulate {
    pub mod dice;
    pub mod disk;
    pub mod history;
    pub mod host;
    pub mod mutant;
    pub mod nemesis;
    pub mod net;
    pub mod node;
    pub mod run;
    pub mod tamper;
    pub mod watch;
    pub mod work;
}

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use simulate::history::check_the_checker;
use simulate::mutant::Mutant;
use simulate::run::{Outcome, catch_panics, simulate as run};

const HELP: &str = "\
usage: make simulate SEEDS=N [SEED=first] [MUTANT=name]

Without MUTANT: runs N seeds from SEED on (1 if it is not given); exits 0 when all of them are well. With SEED and without
SEEDS it replays that seed and prints what happened.
With MUTANT: plants that defect and exits 0 as soon as a seed finds it, and 1 if none of the N seeds does.
make simulate-mutants prints the names.";

/// How many seeds may be needed to find a mutant.
const MUTANT_SEEDS: u64 = 200;

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs seeds on all cores until one is wrong; gives that one, the lowest of those that were wrong.
fn many(first: u64, count: u64, mutant: Option<Mutant>) -> (Option<(u64, Outcome)>, BTreeMap<&'static str, u64>) {
    let next = Arc::new(AtomicU64::new(first));
    let found: Arc<Mutex<Option<(u64, Outcome)>>> = Arc::default();
    let totals: Arc<Mutex<BTreeMap<&'static str, u64>>> = Arc::default();
    std::thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= first + count || found.lock().unwrap().is_some() {
                        return;
                    }
                    let outcome = run(seed, mutant);
                    for (what, of) in &outcome.counts {
                        *totals.lock().unwrap().entry(what).or_default() += of;
                    }
                    if !outcome.wrong.is_empty() {
                        let mut found = found.lock().unwrap();
                        if found.as_ref().is_none_or(|(before, _)| seed < *before) {
                            *found = Some((seed, outcome));
                        }
                        return;
                    }
                }
            });
        }
    });
    let found = found.lock().unwrap().take();
    let totals = totals.lock().unwrap().clone();
    (found, totals)
}

fn tell(seed: u64, outcome: &Outcome, mutant: Option<Mutant>, lines: usize) {
    let skipped = outcome.lines.len().saturating_sub(lines);
    if skipped > 0 {
        println!("… {skipped} lines before; replay the seed for all of them");
    }
    outcome.lines.iter().skip(skipped).for_each(|line| println!("{line}"));
    let mutant = mutant.map(|mutant| format!(" MUTANT={}", mutant.name())).unwrap_or_default();
    println!("seed {seed} is wrong (trace {:016x}); replay it with: make simulate SEED={seed}{mutant}", outcome.hash);
}

fn seeds(first: u64, count: u64) -> bool {
    let begun = Instant::now();
    let (found, totals) = many(first, count, None);
    if let Some((seed, outcome)) = found {
        tell(seed, &outcome, None, 60);
        return false;
    }
    let took = begun.elapsed().as_secs_f64();
    println!("{count} seeds from {first} on are well: {took:.1} s, {:.1} seeds/s; {totals:?}", count as f64 / took);
    true
}

fn finds(mutant: Mutant, first: u64, count: u64) -> bool {
    let begun = Instant::now();
    let (found, _) = many(first, count, Some(mutant));
    match found {
        Some((seed, outcome)) => {
            let first = outcome.wrong.first().cloned().unwrap_or_default();
            println!("{:<26} found by seed {seed} ({:.1} s): {first}", mutant.name(), begun.elapsed().as_secs_f64());
            true
        }
        None => {
            println!("{:<26} NOT found within {count} seeds: {}", mutant.name(), mutant.says());
            false
        }
    }
}

fn replays(seed: u64) -> bool {
    let (first, second) = (run(seed, None), run(seed, None));
    if first.hash == second.hash {
        println!("seed {seed} gives the same trace twice ({:016x}, {} lines)", first.hash, first.lines.len());
        return true;
    }
    let differs = first.lines.iter().zip(&second.lines).find(|(a, b)| a != b);
    println!("seed {seed} gives two traces; they part at {differs:?} (MESSAGES=1 shows every message)");
    false
}

fn main() -> ExitCode {
    catch_panics();
    check_the_checker();
    let (mut count, mut first, mut mutant, mut quiet) = (None, None, None, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|value| value.parse::<u64>().ok());
        match argument.as_str() {
            "--seeds" => count = number(),
            "--seed" => first = number(),
            "--mutant" => {
                let name = arguments.next().unwrap_or_default();
                let Some(found) = Mutant::of(&name) else {
                    eprintln!("there is no mutant {name:?}; make simulate-mutants prints the names");
                    return ExitCode::from(2);
                };
                mutant = Some(found);
            }
            "--mutants" => {
                Mutant::ALL.iter().for_each(|mutant| println!("{:<26} {}", mutant.name(), mutant.says()));
                return ExitCode::SUCCESS;
            }
            "--help" | "-h" => {
                println!("{HELP}");
                return ExitCode::SUCCESS;
            }
            // What the test runner says to every test.
            _ => quiet |= argument == "--quiet" || argument == "-q",
        }
    }
    let well = match (count, first, mutant) {
        (None, None, None) => {
            let all = seeds(1, 100) && replays(7) && replays(8);
            all && Mutant::ALL.iter().filter(|mutant| !finds(**mutant, 1, MUTANT_SEEDS)).count() == 0
        }
        (None, Some(seed), None) => {
            let outcome = run(seed, None);
            let lines = if quiet { 60 } else { usize::MAX };
            outcome.lines.iter().for_each(|line| println!("{line}"));
            if outcome.wrong.is_empty() {
                println!("seed {seed} is well (trace {:016x}); {:?}", outcome.hash, outcome.counts);
            } else {
                tell(seed, &outcome, None, lines.min(1));
            }
            outcome.wrong.is_empty()
        }
        (None, Some(seed), Some(mutant)) => {
            let outcome = run(seed, Some(mutant));
            tell(seed, &outcome, Some(mutant), usize::MAX);
            !outcome.wrong.is_empty()
        }
        (count, first, Some(mutant)) => finds(mutant, first.unwrap_or(1), count.unwrap_or(MUTANT_SEEDS)),
        (count, first, None) => seeds(first.unwrap_or(1), count.unwrap_or(100)),
    };
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
