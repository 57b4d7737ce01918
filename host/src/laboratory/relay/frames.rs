//! What two hosts say to each other by socket, read off the wire without taking part in it.
//!
//! Only what a relay needs is read: where a frame ends, which stream it belongs to, and what a
//! visitor asks for. `docs/socket.md` has the protocol. A plugin that speaks another version is
//! not understood, and whoever waits for a word of it waits in vain.

use ferryway_core::words;

words! {
    /// What a visitor asks for.
    Ask {
        Open = "open",
        Stat = "stat",
        List = "list",
        Fetch = "fetch",
        Store = "store",
        Rename = "rename",
        Remove = "remove",
        MakeFolder = "make folder",
        RemoveFolder = "remove folder",
        Checksum = "checksum",
        Announce = "announce",
        Delivered = "delivered",
        Withdraw = "withdraw",
        Back = "back",
        Ping = "ping",
    }
}

/// Bytes that belong together, as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A greeting, or the head of bytes of a file.
    Other(Vec<u8>),
    /// A whole message of a stream.
    Message { raw: Vec<u8>, stream: u32, says: Says },
    /// Bytes of a file, as many as there were.
    Data { raw: Vec<u8>, stream: u32 },
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// A visitor asks for something: what, and the path that it is about, which for a rename is
    /// the new one.
    Asks(Ask, String),
    /// The answer to what was asked: whether it is done, and why not.
    Answers(Result<(), String>),
    /// Who sends data has sent all of it.
    End,
    /// Signs of life, credit and the like.
    Else,
}

/// Cuts one direction of a connection into pieces.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    /// What has come of the piece that is not whole yet.
    waiting: Vec<u8>,
    greeted: bool,
    /// The bytes of a file that are still to come of the frame under way, and its stream.
    data: Option<(u32, usize)>,
}

const GREETING_BYTES: usize = 48;
const HEAD_BYTES: usize = 25;
const MESSAGE: u8 = 0;

/// Requests in the order of their numbers; behind them is what is told of jobs, then the ping.
const REQUESTS: [Ask; 9] = [
    Ask::Stat,
    Ask::List,
    Ask::Fetch,
    Ask::Store,
    Ask::Rename,
    Ask::Remove,
    Ask::MakeFolder,
    Ask::RemoveFolder,
    Ask::Checksum,
];
const NOTICES: [Ask; 4] = [Ask::Announce, Ask::Delivered, Ask::Withdraw, Ask::Back];

impl Cutter {
    /// The next piece of what has come, which is taken off the front of `bytes`; `None` when it
    /// is not whole yet.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Option<Piece> {
        if let Some((stream, left)) = self.data {
            let raw = take(bytes, left)?;
            self.data = Some((stream, left - raw.len())).filter(|(_, left)| *left > 0);
            return Some(Piece::Data { raw, stream });
        }
        if !self.greeted {
            let raw = self.whole(bytes, GREETING_BYTES)?;
            self.greeted = true;
            return Some(Piece::Other(raw));
        }
        self.gather(bytes, HEAD_BYTES)?;
        let word =
            |at: usize| self.waiting[at..at + 4].iter().fold(0, |n, b| n << 8 | u32::from(*b));
        let (length, stream) = (word(0) as usize, word(4));
        if self.waiting[8] == MESSAGE {
            let raw = self.whole(bytes, HEAD_BYTES + length)?;
            let says = Says::read(&raw[HEAD_BYTES..]);
            return Some(Piece::Message { raw, stream, says });
        }
        self.data = Some((stream, length)).filter(|(_, left)| *left > 0);
        Some(Piece::Other(std::mem::take(&mut self.waiting)))
    }

    fn whole(&mut self, bytes: &mut &[u8], length: usize) -> Option<Vec<u8>> {
        self.gather(bytes, length)?;
        Some(std::mem::take(&mut self.waiting))
    }

    /// Waits until so many bytes are there.
    fn gather(&mut self, bytes: &mut &[u8], length: usize) -> Option<()> {
        let missing = length.saturating_sub(self.waiting.len());
        self.waiting.extend(take(bytes, missing).unwrap_or_default());
        (self.waiting.len() >= length).then_some(())
    }
}

impl Says {
    /// Reads a message. What cannot be read says nothing of interest.
    fn read(payload: &[u8]) -> Self {
        let mut rest = payload;
        let rest = &mut rest;
        let said = match number(rest) {
            Some(0) => text(rest).map(|host| Self::Asks(Ask::Open, host)),
            Some(1) => request(rest).map(|(ask, path)| Self::Asks(ask, path)),
            Some(2) => Some(Self::End),
            Some(5) => Some(Self::Answers(Ok(()))),
            Some(6) => Some(Self::Answers(Err(reason(rest).unwrap_or_default()))),
            _ => None,
        };
        said.unwrap_or(Self::Else)
    }
}

fn request(rest: &mut &[u8]) -> Option<(Ask, String)> {
    let number_of_it = usize::try_from(number(rest)?).ok()?;
    let Some(&ask) = REQUESTS.get(number_of_it) else {
        return match number_of_it == REQUESTS.len() {
            true => Some((*NOTICES.get(usize::try_from(number(rest)?).ok()?)?, String::new())),
            false => Some((Ask::Ping, String::new())),
        };
    };
    let path = match ask {
        Ask::List => match number(rest)? {
            0 => String::new(),
            _ => text(rest)?,
        },
        Ask::Rename => {
            text(rest)?;
            text(rest)?
        }
        _ => text(rest)?,
    };
    Some((ask, path))
}

/// The words of a refusal, behind its ground and whether another try makes sense.
fn reason(rest: &mut &[u8]) -> Option<String> {
    let _ground = number(rest)?;
    if number(rest)? == 0 && number(rest)? == 1 {
        let _after_ms = number(rest)?;
    }
    text(rest)
}

/// A number: seven bits a byte, the lowest first.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn text(rest: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(number(rest)?).ok()?;
    let (text, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    String::from_utf8(text.to_vec()).ok()
}

/// At most so many bytes off the front; `None` for none.
fn take(bytes: &mut &[u8], most: usize) -> Option<Vec<u8>> {
    let (taken, behind) = bytes.split_at(most.min(bytes.len()));
    *bytes = behind;
    (!taken.is_empty()).then(|| taken.to_vec())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A frame as it goes over the wire, with a tag that nobody proves here.
    pub(in crate::laboratory::relay) fn frame(stream: u8, kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[..], &[0, 0, 0, stream, kind], &[0; 16], payload].concat()
    }

    /// A request to store.
    pub(in crate::laboratory::relay) fn store(path: &str) -> Vec<u8> {
        let length = u8::try_from(path.len()).unwrap();
        frame(1, 0, &[&[1, 3, length], path.as_bytes(), &[0, 9]].concat())
    }

    pub(in crate::laboratory::relay) const GREETING: [u8; GREETING_BYTES] = [7; GREETING_BYTES];

    #[test]
    fn a_dialogue_is_cut_into_its_pieces_however_it_comes() {
        let rename = frame(3, 0, b"\x01\x04\x01a\x02bc");
        let refusal = frame(3, 0, b"\x06\x03\x00\x01\x90\x4e\x04full\x00");
        let data = frame(1, 1, b"0123456789");
        let all = [&GREETING[..], &store("in/a"), &data, &rename, &refusal].concat();
        for step in [1, 7, 100, all.len()] {
            let (mut cutter, mut said, mut bytes, mut raw) =
                (Cutter::default(), Vec::new(), 0, Vec::new());
            for mut chunk in all.chunks(step) {
                while let Some(piece) = cutter.next(&mut chunk) {
                    match piece {
                        Piece::Other(piece) => raw.extend(piece),
                        Piece::Data { raw: piece, stream } => {
                            assert_eq!(stream, 1);
                            bytes += piece.len();
                            raw.extend(piece);
                        }
                        Piece::Message { raw: piece, stream, says } => {
                            said.push((stream, says));
                            raw.extend(piece);
                        }
                    }
                }
            }
            let expected = [
                (1, Says::Asks(Ask::Store, "in/a".to_owned())),
                (3, Says::Asks(Ask::Rename, "bc".to_owned())),
                (3, Says::Answers(Err("full".to_owned()))),
            ];
            assert_eq!((said.as_slice(), bytes), (&expected[..], 10), "in steps of {step}");
            assert_eq!(raw, all, "nothing is lost in steps of {step}");
        }
    }

    #[test]
    fn notices_are_told_apart() {
        let asked = |payload: &[u8]| match Says::read(payload) {
            Says::Asks(ask, _) => Some(ask),
            _ => None,
        };
        assert_eq!(asked(b"\x01\x09\x00"), Some(Ask::Announce));
        assert_eq!(asked(b"\x01\x09\x01"), Some(Ask::Delivered));
        assert_eq!(asked(b"\x01\x0a"), Some(Ask::Ping));
        assert_eq!(asked(b"\x09"), None);
    }
}
