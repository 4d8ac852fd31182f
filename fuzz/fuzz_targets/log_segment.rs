//! Gives libFuzzer's bytes to `nomadd_fuzz::log_segment`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    nomadd_fuzz::log_segment(data);
});
