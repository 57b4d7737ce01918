//! Any bytes as a frame, as the message within one, and as a compressed one.
#![no_main]

#[path = "../any_bytes.rs"]
mod any_bytes;
#[path = "../../src/frame.rs"]
#[allow(dead_code, missing_docs)]
mod frame;
#[path = "../../src/squeeze.rs"]
#[allow(dead_code, missing_docs)]
mod squeeze;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    any_bytes::take(bytes);
});
