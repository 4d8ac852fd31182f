//! Gives libFuzzer's bytes to `nomadd_fuzz::address`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    nomadd_fuzz::address(data);
});
