//! Gives libFuzzer's bytes to `nomadd_fuzz::gossip_message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    nomadd_fuzz::gossip_message(data);
});
