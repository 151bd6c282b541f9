#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::fuzz::condition::check_bytes(bytes));
