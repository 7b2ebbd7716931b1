#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pointsman::fuzzing::users(bytes));
