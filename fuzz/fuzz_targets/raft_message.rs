//! Gives libFuzzer's bytes to `nomadd_fuzz::raft_message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    nomadd_fuzz::raft_message(data);
});
