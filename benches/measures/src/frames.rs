//! The wire format of the socket transport, as its plugin has it.

#[path = "../../../plugins/socket/src/frame.rs"]
// Its tests are where its own package looks for them.
#[rustfmt::skip]
#[allow(dead_code, missing_docs, reason = "the plugin uses more of it, and keeps it for itself")]
mod frame;

use ferryway_core::bytes::Buffer;
use frame::{Body, CHUNK_BYTES, Frame, Head, Malformed, Message, Seal};

use crate::Failure;

/// Both ends of one direction of a connection.
pub struct Line {
    near: Seal,
    far: Seal,
    chunk: Buffer,
}

/// What shows that a frame was changed.
#[derive(Clone, Copy, Debug)]
pub enum LineKind {
    /// A tag with a key.
    Keyed,
    /// A checksum.
    Summed,
    /// The channel.
    Channel,
}

impl Line {
    /// A line of this kind.
    pub fn new(kind: LineKind) -> Self {
        let seal = || match kind {
            LineKind::Keyed => Seal::keyed([7; 32]),
            LineKind::Summed => Seal::summed([7; 32]),
            LineKind::Channel => Seal::of_channel(),
        };
        Self { near: seal(), far: seal(), chunk: vec![5; CHUNK_BYTES].into() }
    }

    /// Bytes of a file in one frame.
    pub const CHUNK_BYTES: usize = CHUNK_BYTES;

    /// Sends and takes a full frame of a file.
    ///
    /// # Errors
    /// When the frame does not come through.
    pub fn data(&mut self) -> Result<(), Failure> {
        let chunk = std::mem::take(&mut self.chunk);
        match self.pass(Body::Data(chunk))? {
            Body::Data(chunk) => self.chunk = chunk,
            other => return Err(format!("{other:?} came").into()),
        }
        Ok(())
    }

    /// Sends and takes the shortest message: more frames may come.
    ///
    /// # Errors
    /// When it does not come through.
    pub fn message(&mut self) -> Result<(), Failure> {
        self.pass(Body::Message(Message::Credit { frames: 4 }))?;
        Ok(())
    }

    fn pass(&mut self, body: Body) -> Result<Body, Malformed> {
        let (head, payload) = self.near.encode(Frame { stream: 3, body })?;
        Ok(self.far.decode(&Head::parse(&head)?, payload)?.body)
    }
}
