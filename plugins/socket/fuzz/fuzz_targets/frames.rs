//! Any bytes as a frame, and as the message within one: nothing panics, and what is understood
//! survives the way back.
#![no_main]

#[path = "../../src/frame.rs"]
#[allow(dead_code, missing_docs)]
mod frame;

use frame::{Body, Frame, HEAD_BYTES, Head, Malformed, Message, Seal};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let seal = || Seal::new([7; 32]);
    if let Some((head, payload)) = bytes.split_first_chunk::<HEAD_BYTES>()
        && let Ok(head) = Head::parse(head)
        && let Some(payload) = payload.get(..head.length())
    {
        // Right by chance only, and then it is a frame.
        seal().decode(&head, payload.to_vec()).ok();
    }
    let Ok((message, [])) = postcard::take_from_bytes::<Message>(bytes) else { return };
    let frame = Frame { stream: 1, body: Body::Message(message) };
    let (head, payload) = match seal().encode(frame.clone()) {
        Ok(encoded) => encoded,
        Err(Malformed::TooMuchToSay(_)) => return,
        Err(error) => panic!("{error}"),
    };
    let head = Head::parse(&head).expect("what was said can be read");
    let again = seal().decode(&head, payload).expect("what was said can be read");
    assert_eq!(again, frame);
});
