//! What must hold for any bytes: nothing panics, and what is understood survives the way back.
//! Run by the fuzz target for as long as one likes, and by the tests for a moment.

use crate::{
    frame::{Body, CHUNK_BYTES, Frame, HEAD_BYTES, Head, Malformed, Message, Seal},
    squeeze::unpack,
};

/// Takes the bytes for all that comes from outside; `true` when they were a message.
pub(crate) fn take(bytes: &[u8]) -> bool {
    let seal = || Seal::keyed([7; 32]);
    if let Some((head, payload)) = bytes.split_first_chunk::<HEAD_BYTES>()
        && let Ok(head) = Head::parse(head)
        && let Some(payload) = payload.get(..head.length())
    {
        // A right tag comes by chance only where none is asked for.
        seal().decode(&head, payload.into()).ok();
        Seal::of_channel().decode(&head, payload.into()).ok();
    }
    if let Ok(plain) = unpack(bytes) {
        assert!(plain.len() <= CHUNK_BYTES, "{} bytes from one frame", plain.len());
    }
    let Ok((message, [])) = postcard::take_from_bytes::<Message>(bytes) else { return false };
    let frame = Frame { stream: 1, body: Body::Message(message) };
    let (head, payload) = match seal().encode(frame.clone()) {
        Ok(encoded) => encoded,
        Err(Malformed::TooMuchToSay(_)) => return true,
        Err(error) => panic!("{error}"),
    };
    let again = Head::parse(&head).and_then(|head| seal().decode(&head, payload));
    assert_eq!(again, Ok(frame), "what was said can be read");
    true
}
