//! What the fuzz targets call: one function per parser of bytes from outside. Each returns, whatever the bytes are: whether
//! they were understood. What it asserts is what holds for every input beyond not panicking.
//!
//! `fuzz/fuzz_targets` gives them to libFuzzer; `tests/corpus.rs` runs them over `fuzz/corpus` and mutations of it.

pub mod reseal;
mod stored;
mod text;
mod wire;

pub use stored::{archive, command, executor_record, log_segment, snapshot};
pub use text::{address, agent_config, filter, job_file, job_hcl1, job_json};
pub use wire::{gossip_message, gossip_packet, raft_message, rpc_frame};

/// A target: its name (of its corpus folder, too) and its function.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// All of them.
pub const TARGETS: &[Target] = &[
    ("address", address),
    ("agent_config", agent_config),
    ("archive", archive),
    ("command", command),
    ("executor_record", executor_record),
    ("filter", filter),
    ("gossip_message", gossip_message),
    ("gossip_packet", gossip_packet),
    ("job_file", job_file),
    ("job_hcl1", job_hcl1),
    ("job_json", job_json),
    ("log_segment", log_segment),
    ("raft_message", raft_message),
    ("rpc_frame", rpc_frame),
    ("snapshot", snapshot),
];
