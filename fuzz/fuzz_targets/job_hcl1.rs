//! Gives libFuzzer's bytes to `nomadd_fuzz::job_hcl1`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    nomadd_fuzz::job_hcl1(data);
});
