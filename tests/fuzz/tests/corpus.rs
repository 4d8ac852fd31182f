//! Every target over its committed inputs and over thousands of changes to them, the same in every run
//! (unless FUZZ_SEED and FUZZ_ROUNDS, two numbers, ask for others and for more).

#![expect(clippy::expect_used, reason = "a test that cannot read its input has failed")]

mod corpus {
    mod seeds;
}

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use nomadd_fuzz::TARGETS;

/// Changed inputs per target, unless FUZZ_ROUNDS says how many.
const ROUNDS: u64 = 6000;
/// Words that make texts interesting.
const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "\"",
    "${",
    "%{",
    "}}",
    "{{",
    "<<EOT\n",
    "<<-E\n",
    "EOT\n",
    "\n",
    "\\",
    "\u{0}",
    "\u{feff}",
    "é",
    "=",
    "==",
    "!=",
    " in ",
    " and ",
    " not ",
    "for ",
    "null",
    "-1",
    "1e999",
    "9223372036854775808",
    "0x",
    "...",
    "*",
    "/*",
    "//",
    "#",
    "?",
    ":",
    "job \"x\" {",
    "group \"g\" {",
    "variable \"v\" {",
    "locals {",
    "dynamic \"x\" {",
    "server {",
    "client {",
    "\"a\":",
    "matches \"(a*)*\"",
];

/// A small generator: what is tried depends on nothing else.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

fn changed(inputs: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = inputs[random.below(inputs.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len() + 1);
        let end = (at + 1 + random.below(16)).min(bytes.len());
        match random.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'0', b'"', b'\n'][random.below(8)],
            2 => drop(bytes.drain(at..end)),
            3 => {
                let piece = bytes[at..end].repeat(1 + random.below(40));
                bytes.splice(at..at, piece);
            }
            4 => {
                let other = &inputs[random.below(inputs.len())];
                let from = random.below(other.len() + 1);
                let to = (from + random.below(64)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            5 => bytes.truncate(at),
            _ => drop(bytes.splice(at..at, WORDS[random.below(WORDS.len())].bytes())),
        }
    }
    bytes.truncate(1 << 16);
    bytes
}

fn run(name: &str, target: fn(&[u8]) -> bool, input: &[u8]) -> bool {
    catch_unwind(AssertUnwindSafe(|| target(input))).unwrap_or_else(|panic| {
        eprintln!("target {name} fails for {:?}", input.escape_ascii().to_string());
        std::panic::resume_unwind(panic);
    })
}

fn check(name: &str) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("the target is listed");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let mut files: Vec<_> =
        std::fs::read_dir(&folder).expect("a corpus").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    assert!(files.len() >= 2, "too few inputs in {}", folder.display());
    let inputs: Vec<Vec<u8>> = files.iter().map(|path| std::fs::read(path).expect("a readable input")).collect();
    for input in &inputs {
        run(name, *target, input);
        for cut in 0..input.len().min(400) {
            run(name, *target, &input[..cut]);
        }
    }
    let number = |variable| std::env::var(variable).ok().and_then(|text| text.parse::<u64>().ok());
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ number("FUZZ_SEED").unwrap_or(0));
    let rounds = number("FUZZ_ROUNDS").unwrap_or(ROUNDS);
    let mut understood = 0;
    for _ in 0..rounds {
        let input = changed(&inputs, &mut random);
        understood += u64::from(run(name, *target, &input));
    }
    // Changes that never get past the first check, or that never hurt, would try nothing.
    assert!((rounds / 1000..rounds).contains(&understood), "{understood} of {rounds} changed inputs were understood");
}

macro_rules! targets {
    ($($target:ident)*) => {
        $(#[test]
        fn $target() {
            check(stringify!($target));
        })*

        #[test]
        fn every_target_is_run_here_and_has_a_fuzzer() {
            let here = [$(stringify!($target)),*];
            for (name, _) in TARGETS {
                assert!(here.contains(name), "{name} is not run");
                let fuzzer = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../fuzz/fuzz_targets/{name}.rs"));
                assert!(fuzzer.is_file(), "{} is missing", fuzzer.display());
            }
        }
    };
}

targets! {
    address agent_config archive command executor_record filter gossip_message gossip_packet job_file job_hcl1 job_json
    log_segment raft_message rpc_frame snapshot
}
