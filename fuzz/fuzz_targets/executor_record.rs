//! Gives libFuzzer's bytes to `nomadd_fuzz::executor_record`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    nomadd_fuzz::executor_record(data);
});
