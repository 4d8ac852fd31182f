//! Gives libFuzzer's bytes to `nomadd_fuzz::agent_config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    nomadd_fuzz::agent_config(data);
});
