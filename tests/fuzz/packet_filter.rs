//! Rules of packet filters, as a fuzzer makes them up.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fourtuple::kernel::packet_filter::read_any(bytes));
