//! Gives libFuzzer's bytes to `nomadd_fuzz::archive`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    nomadd_fuzz::archive(data);
});
