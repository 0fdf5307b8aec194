//! Foreign bytes, as a fuzzer makes them up.
#![no_main]

mod property;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| property::check(bytes));
