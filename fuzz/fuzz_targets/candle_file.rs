#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    candlewick_fuzz::candle_file(data);
});
