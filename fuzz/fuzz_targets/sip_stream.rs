//! The promises of `carrick::wire::exercise::sip_stream`, over bytes that the fuzzer makes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carrick::wire::exercise::sip_stream(bytes));
