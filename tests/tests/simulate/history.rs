//! Whether what clients saw of one key can be explained by one order in which each operation happens at once, between its call
//! and its return (Wing and Gong's search, with Lowe's memory of what was tried). The model: a register with check-and-set.
//!
//! A value is the index of the write that made it; a write whose fate is not known may happen at any time after its call, or never.

use std::collections::{BTreeMap, HashSet};

/// What an operation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Saw what this write left; 0: nothing yet.
    Read { saw: u64 },
    /// Wrote over `over`.
    Wrote { over: u64, mark: u64 },
    /// Was told that `over` is not there any more.
    Refused { over: u64 },
    /// Perhaps wrote over `over`.
    Perhaps { over: u64, mark: u64 },
}

/// An operation; `returned` is `u64::MAX` where its fate is not known.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "the client is only printed")]
pub struct Operation {
    pub client: String,
    pub called: u64,
    pub returned: u64,
    pub what: What,
}

/// The operations of every key.
#[derive(Debug, Default)]
pub struct History {
    pub keys: BTreeMap<String, Vec<Operation>>,
    clock: u64,
}

impl History {
    /// The next moment.
    pub fn moment(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
    pub fn note(&mut self, key: &str, client: &str, called: u64, what: What) {
        let returned = if matches!(what, What::Perhaps { .. }) { u64::MAX } else { self.moment() };
        let operation = Operation { client: client.to_owned(), called, returned, what };
        self.keys.entry(key.to_owned()).or_default().push(operation);
    }
    /// What cannot be explained, in sentences.
    pub fn wrong(&self) -> Vec<String> {
        let wrong = self.keys.iter().filter_map(|(key, operations)| match linearizable(operations) {
            Verdict::Yes => None,
            Verdict::No(stuck) => Some(format!(
                "the history of {key} is not linearizable: at the latest {stuck:?} fits nowhere ({} operations)",
                operations.len()
            )),
            Verdict::Unknown => Some(format!("the history of {key} is too entangled to be checked")),
        });
        wrong.collect()
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Yes,
    No(String),
    Unknown,
}

/// How many steps are taken before giving up.
const STEPS: usize = 3_000_000;

fn apply(what: &What, now: u64) -> Option<u64> {
    match *what {
        What::Read { saw } => (saw == now).then_some(now),
        What::Wrote { over, mark } | What::Perhaps { over, mark } => (over == now).then_some(mark),
        What::Refused { over } => (over != now).then_some(now),
    }
}

/// Looks for an order.
pub fn linearizable(operations: &[Operation]) -> Verdict {
    let mut operations: Vec<&Operation> = operations.iter().collect();
    operations.sort_by_key(|operation| operation.called);
    let certain = operations.iter().filter(|operation| operation.returned != u64::MAX).count();
    let words = operations.len().div_ceil(64);
    let mut seen: HashSet<(Vec<u64>, u64)> = HashSet::new();
    let mut open = vec![(vec![0_u64; words], 0_u64, 0_usize)];
    let (mut steps, mut best, mut stuck) = (0, 0, String::new());
    while let Some((done, value, count)) = open.pop() {
        if count == certain {
            return Verdict::Yes;
        }
        steps += 1;
        if steps > STEPS {
            return Verdict::Unknown;
        }
        let is_done = |at: usize| done[at / 64] >> (at % 64) & 1 == 1;
        let rest = || operations.iter().enumerate().filter(|(at, _)| !is_done(*at));
        let Some(first_return) = rest().map(|(_, operation)| operation.returned).min() else { continue };
        if count >= best {
            best = count;
            let blocking = rest().find(|(_, operation)| operation.returned == first_return);
            stuck = format!("{:?} while {value} stood there", blocking.map(|(_, operation)| operation));
        }
        for (at, operation) in rest() {
            if operation.called > first_return {
                break;
            }
            let Some(next) = apply(&operation.what, value) else { continue };
            let mut done = done.clone();
            done[at / 64] |= 1 << (at % 64);
            if seen.insert((done.clone(), next)) {
                open.push((done, next, count + usize::from(operation.returned != u64::MAX)));
            }
        }
    }
    Verdict::No(stuck)
}

/// The checker itself is right about what is known; called by the test.
pub fn check_the_checker() {
    let operation = |called, returned, what| Operation { client: "c".into(), called, returned, what };
    let wrote = |called, returned, over, mark| operation(called, returned, What::Wrote { over, mark });
    let read = |called, returned, saw| operation(called, returned, What::Read { saw });
    let yes = |operations: &[Operation]| assert_eq!(linearizable(operations), Verdict::Yes);
    let no = |operations: &[Operation]| assert!(matches!(linearizable(operations), Verdict::No(_)));
    yes(&[wrote(1, 2, 0, 5), read(3, 4, 5)]);
    no(&[wrote(1, 2, 0, 5), read(3, 4, 0)]);
    yes(&[wrote(1, 4, 0, 5), read(2, 3, 0), read(5, 6, 5)]);
    no(&[wrote(1, 6, 0, 5), read(2, 3, 5), read(4, 5, 0)]);
    no(&[wrote(1, 2, 0, 5), wrote(3, 4, 0, 6)]);
    let perhaps = || operation(1, u64::MAX, What::Perhaps { over: 0, mark: 9 });
    yes(&[perhaps(), read(2, 3, 0), read(4, 5, 9)]);
    no(&[perhaps(), read(2, 3, 9), read(4, 5, 0)]);
    yes(&[perhaps(), read(2, 3, 0)]);
    no(&[operation(1, 2, What::Refused { over: 0 })]);
}
