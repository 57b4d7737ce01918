//! The wire format, without I/O.
//!
//! After the handshake a connection carries frames: a head of 25 bytes, then the payload.
//!
//! | bytes | field | |
//! |---|---|---|
//! | 4 | length | of the payload, big-endian; bounded by the kind |
//! | 4 | stream | which session the frame belongs to, big-endian; 0 is the connection itself |
//! | 1 | kind | 0: a [`Message`] in postcard's encoding; 1: bytes of a file; 2: the same in zstd's |
//! | 16 | tag | of the frame's number, the three fields above, and the payload: keyed BLAKE3 where the ends know a secret, else CRC32 and zeros; zeros where the channel proves each byte itself |
//!
//! The number counts the frames of one direction from 0, so that a frame that was changed, lost,
//! repeated or put elsewhere breaks the connection before a byte of it is used.

use std::time::SystemTime;

use ferryway_core::{
    Algorithm,
    bytes::Buffer,
    notice::{Notice, Standing},
};
use serde::{Deserialize, Serialize};

/// The version of the protocol. Both ends speak the same one.
pub(crate) const VERSION: u16 = 3;

/// The most bytes of a file in one frame.
pub(crate) const CHUNK_BYTES: usize = 256 * 1024;

/// The longest encoded message, in bytes: two paths, or the longest refusal, fit in.
pub(crate) const MESSAGE_BYTES: usize = 8 * 1024;

/// Frames of a file that may be under way on one stream when a transfer begins. With
/// [`CHUNK_BYTES`] it bounds what a stream holds in memory: 2 MiB. The end that takes the file
/// lets it grow where the line is long and fast.
pub(crate) const WINDOW: u32 = 8;

/// Length of a head, in bytes.
pub(crate) const HEAD_BYTES: usize = FIELDS_BYTES + TAG_BYTES;

const FIELDS_BYTES: usize = 9;
const TAG_BYTES: usize = 16;

/// What a frame carries.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frame {
    /// The stream it belongs to.
    pub(crate) stream: u32,
    /// Its content.
    pub(crate) body: Body,
}

/// A frame's content.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    /// Something to say.
    Message(Message),
    /// Bytes of a file, or of a list of names.
    Data(Buffer),
    /// The same, compressed; as data they have no more than [`CHUNK_BYTES`] either.
    Packed(Buffer),
}

/// What the ends say to each other. The visitor opens streams and asks, one request at a time on
/// a stream; the host answers each with [`Done`](Self::Done) or [`Refused`](Self::Refused).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Message {
    /// Visitor: a new stream, and who wants it. Answered like a request.
    Open {
        /// Its host name.
        host: String,
        /// Its instance.
        instance: String,
        /// The number of its ownership.
        epoch: u64,
    },
    /// Visitor: a request.
    Ask(Request),
    /// Who sends data: that was all of it.
    End {
        /// How many bytes there were.
        bytes: u64,
    },
    /// Visitor: the transfer under way is broken off. The answer still comes.
    Abort,
    /// Who receives data: so many frames more may come.
    Credit {
        /// How many.
        frames: u32,
    },
    /// Host: the request was carried out.
    Done(Answer),
    /// Host: it was not, or not wholly.
    Refused(Refusal),
    /// Either: what is under way takes its time, and is being worked on.
    Working,
    /// Either: the stream is over.
    Close,
    /// Either, on stream 0: a sign of life.
    Ping,
}

/// What a visitor wants; the operations of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Look at a path.
    Stat { path: String },
    /// Name what is in a folder. The names come as data, each ended by NUL.
    List { folder: Option<String> },
    /// Send a file from an offset on, as data; compressed where that helps, if that is wanted.
    Fetch { path: String, offset: u64, packed: bool },
    /// Take a file; data follows, up to `End` or `Abort`.
    Store { path: String, offset: u64, length: u64 },
    /// Rename.
    Rename { from: String, to: String },
    /// Remove a file.
    Remove { path: String },
    /// Make a folder.
    MakeFolder { path: String },
    /// Remove a folder.
    RemoveFolder { path: String },
    /// Hash the first bytes of a file.
    Checksum { path: String, algorithm: Algorithm, length: u64 },
    /// Take in what is told about a job.
    Tell { notice: Notice },
    /// Give a sign of life of the whole way through the host.
    Ping,
}

/// What a host answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// It is done, and that is all.
    Nothing,
    /// The stream is open, with these capabilities.
    Opened(Offer),
    /// What the path is.
    Stat { folder: bool, size: Option<u64>, modified: Option<SystemTime> },
    /// How many bytes moved.
    Bytes(u64),
    /// How many bytes of a file were taken, the size that it has then, and the hash of all of it.
    Stored { bytes: u64, size: Option<u64>, digest: Option<(Algorithm, String)> },
    /// A hash, in hexadecimal digits.
    Digest(String),
    /// How the job stands that a notice was about.
    Standing(Option<Standing>),
}

/// The capabilities of a host's session, as far as they may differ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Offer {
    /// A transfer can start at an offset.
    pub(crate) resume: bool,
    /// A rename replaces what is there.
    pub(crate) replaces: bool,
    /// The hashes that it computes.
    pub(crate) checksums: Vec<Algorithm>,
    /// It can be told about jobs.
    pub(crate) notices: bool,
    /// It takes and gives compressed data.
    pub(crate) packs: bool,
    /// How many sessions it has room for.
    pub(crate) rooms: u32,
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    /// What is wrong.
    pub(crate) ground: Ground,
    /// Whether another try makes sense.
    pub(crate) again: Again,
    /// The reason, for people.
    pub(crate) message: String,
    /// The reply's code and text; without one, the outcome is unknown.
    pub(crate) reply: Option<(u16, String)>,
}

/// What is wrong. There is no way to say "you lost your instance": only a host's own journal
/// says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ground {
    NotFound,
    Unavailable,
    Denied,
    Login,
    Locked,
    Space,
    Unsupported,
    Refused,
    OldEpoch,
    Broken,
}

/// Whether another try makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Again {
    /// After a while; not before so many milliseconds, where the host says so.
    Later { after_ms: Option<u32> },
    /// Not as things are.
    Never,
    /// When another session lets go.
    WhenFree,
}

/// Bytes that are no frame of the protocol, or break its limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// No such kind.
    #[error("there is no frame of kind {0}")]
    Kind(u8),
    /// The payload would be longer than its kind may be.
    #[error("a frame of {length} bytes is longer than the {limit} allowed")]
    Long { length: usize, limit: usize },
    /// The tag is wrong: the bytes changed on the way, or come from somebody else.
    #[error("frame {0} was changed on the way, or does not belong here")]
    Tag(u64),
    /// The payload is not compressed data, or stands for too much.
    #[error("a compressed frame cannot be read, or stands for more than a frame may carry")]
    Packed,
    /// The payload is no message.
    #[error("a frame holds no message")]
    Message,
    /// A message that is too long to send: our own mistake.
    #[error("a message of {0} bytes is too long to send")]
    TooMuchToSay(usize),
}

/// The fields of a head, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    fields: [u8; FIELDS_BYTES],
    tag: [u8; TAG_BYTES],
    stream: u32,
    kind: Kind,
    length: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Message,
    Data,
    Packed,
}

impl Kind {
    const fn limit(self) -> usize {
        match self {
            Self::Message => MESSAGE_BYTES,
            Self::Data | Self::Packed => CHUNK_BYTES,
        }
    }
}

impl Head {
    /// Reads a head. Nothing is taken for granted but its length.
    ///
    /// # Errors
    /// When the kind is unknown or the length beyond its limit.
    pub(crate) fn parse(bytes: &[u8; HEAD_BYTES]) -> Result<Self, Malformed> {
        let [a, b, c, d, e, f, g, h, kind, tag @ ..] = *bytes;
        let kind = match kind {
            0 => Kind::Message,
            1 => Kind::Data,
            2 => Kind::Packed,
            other => return Err(Malformed::Kind(other)),
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > kind.limit() {
            return Err(Malformed::Long { length, limit: kind.limit() });
        }
        let stream = u32::from_be_bytes([e, f, g, h]);
        let fields = [a, b, c, d, e, f, g, h, kind as u8];
        Ok(Self { fields, tag, stream, kind, length })
    }

    /// How many bytes of payload follow.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Whether that is of a file.
    pub(crate) fn is_data(&self) -> bool {
        self.kind != Kind::Message
    }
}

/// Tags the frames of one direction, or checks their tags, in their order.
#[derive(Clone)]
pub(crate) struct Seal {
    kind: SealKind,
    number: u64,
}

#[derive(Clone)]
enum SealKind {
    /// Keyed BLAKE3: nobody without the key makes a tag.
    Keyed([u8; 32]),
    /// CRC32, begun with this. Anybody can make a tag, so it shows what the line garbled, and no more,
    /// for less of the processor.
    Summed(u32),
    /// The channel itself proves each byte and its place.
    OfChannel,
}

impl Seal {
    /// The seal of a direction's first frame, with a key that only the ends know.
    pub(crate) fn keyed(key: [u8; 32]) -> Self {
        Self { kind: SealKind::Keyed(key), number: 0 }
    }

    /// The same where everybody knows the key: it is only of this direction of this connection.
    pub(crate) fn summed([a, b, c, d, ..]: [u8; 32]) -> Self {
        Self { kind: SealKind::Summed(u32::from_be_bytes([a, b, c, d])), number: 0 }
    }

    /// No seal: for a channel that proves each byte and its place, as TLS does.
    pub(crate) fn of_channel() -> Self {
        Self { kind: SealKind::OfChannel, number: 0 }
    }

    /// A frame as bytes: head and payload.
    ///
    /// # Errors
    /// When there is too much to say.
    pub(crate) fn encode(&mut self, frame: Frame) -> Result<([u8; HEAD_BYTES], Buffer), Malformed> {
        let (kind, payload) = match frame.body {
            Body::Data(bytes) => (Kind::Data, bytes),
            Body::Packed(bytes) => (Kind::Packed, bytes),
            Body::Message(message) => {
                let encoded = postcard::to_extend(&message, Vec::new());
                (Kind::Message, encoded.map_err(|_| Malformed::Message)?.into())
            }
        };
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        if length as usize > kind.limit() {
            return Err(Malformed::TooMuchToSay(payload.len()));
        }
        let mut fields = [0; FIELDS_BYTES];
        fields[..4].copy_from_slice(&length.to_be_bytes());
        fields[4..8].copy_from_slice(&frame.stream.to_be_bytes());
        fields[8] = kind as u8;
        let mut head = [0; HEAD_BYTES];
        head[..FIELDS_BYTES].copy_from_slice(&fields);
        head[FIELDS_BYTES..].copy_from_slice(&self.tag(&fields, &payload));
        self.number += 1;
        Ok((head, payload))
    }

    /// The frame that head and payload are.
    ///
    /// # Errors
    /// When the tag is wrong, or the payload is no message.
    pub(crate) fn decode(&mut self, head: &Head, payload: Buffer) -> Result<Frame, Malformed> {
        // Who could guess a tag from the time this takes would have to break the connection
        // with every guess.
        if self.tag(&head.fields, &payload) != head.tag {
            return Err(Malformed::Tag(self.number));
        }
        self.number += 1;
        let body = match head.kind {
            Kind::Data => Body::Data(payload),
            Kind::Packed => Body::Packed(payload),
            Kind::Message => match postcard::take_from_bytes(&payload) {
                Ok((message, [])) => Body::Message(message),
                _ => return Err(Malformed::Message),
            },
        };
        Ok(Frame { stream: head.stream, body })
    }

    fn tag(&self, fields: &[u8; FIELDS_BYTES], payload: &[u8]) -> [u8; TAG_BYTES] {
        let (number, mut tag) = (self.number.to_be_bytes(), [0; TAG_BYTES]);
        match &self.kind {
            SealKind::Keyed(key) => {
                let mut hasher = blake3::Hasher::new_keyed(key);
                hasher.update(&number).update(fields).update(payload);
                tag.copy_from_slice(&hasher.finalize().as_bytes()[..TAG_BYTES]);
            }
            SealKind::Summed(first) => {
                let mut hasher = crc32fast::Hasher::new_with_initial(*first);
                [&number, fields.as_slice(), payload].into_iter().for_each(|b| hasher.update(b));
                tag[..4].copy_from_slice(&hasher.finalize().to_be_bytes());
            }
            SealKind::OfChannel => {}
        }
        tag
    }
}

#[cfg(test)]
mod tests;
