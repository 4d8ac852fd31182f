//! Gives libFuzzer's bytes to `nomadd_fuzz::rpc_frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    nomadd_fuzz::rpc_frame(data);
});
