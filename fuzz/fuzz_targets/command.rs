//! Gives libFuzzer's bytes to `nomadd_fuzz::command`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    nomadd_fuzz::command(data);
});
