#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    candlewick_fuzz::query_string(data);
});
