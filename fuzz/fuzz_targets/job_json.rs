//! Gives libFuzzer's bytes to `nomadd_fuzz::job_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    nomadd_fuzz::job_json(data);
});
