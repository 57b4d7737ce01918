//! Data on its way, as the visitor sees it: from the host's source to a stream, and from a stream to the
//! host's sink.

use std::{io, sync::Arc};

use ferryway_core::{
    Digest,
    bytes::{Buffer, Draining, Meter, Room, Sink, Source},
    transport::Stored,
};
use tokio::task::spawn_blocking;

use super::{Outcome, answer};
use crate::{
    failure::Failure,
    frame::{Answer, Body, CHUNK_BYTES, Message, Request},
    squeeze::Packer,
    stream::{Heard, Queued, Stream},
};

/// Pieces of a file that go to a thread, or come from one, at a time: the way there and back has a
/// price of its own.
const AT_ONCE: usize = 4;

/// The longest list of names that is taken, in bytes.
const LIST_BYTES: usize = 64 * 1024 * 1024;

/// Where data goes that comes in.
pub(super) enum Taker {
    /// Names, each ended by NUL.
    Names(Vec<u8>),
    /// A file; without its sink once that has failed.
    File { sink: Option<Sink>, meter: Arc<Meter> },
}

impl Taker {
    async fn take(&mut self, pieces: Vec<Buffer>) -> Outcome<()> {
        match self {
            Self::Names(names) => {
                let length: usize = pieces.iter().map(|piece| piece.len()).sum();
                if names.len() + length > LIST_BYTES {
                    let text = format!("more than {LIST_BYTES} bytes of names");
                    return Err(Failure::Garbage(text));
                }
                pieces.iter().for_each(|piece| names.extend_from_slice(piece));
                Ok(())
            }
            Self::File { sink, meter } => {
                let taken = sink.take().ok_or(Failure::Closed)?;
                let written = write_all(Draining::new(taken, pieces), meter).await;
                *sink = Some(written.map_err(Failure::local)?);
                Ok(())
            }
        }
    }

    pub(super) fn into_names(self) -> Outcome<Vec<String>> {
        let Self::Names(names) = self else { return Ok(Vec::new()) };
        let names = String::from_utf8(names)
            .map_err(|_| Failure::Garbage("names that are not UTF-8".to_owned()))?;
        Ok(names.split_terminator('\0').map(str::to_owned).collect())
    }
}

/// Asks for data and takes it as it comes; tells how many bytes. When some cannot be taken, the
/// transfer is broken off and the stream stays in step.
pub(super) async fn take(stream: &mut Stream, request: Request, taker: &mut Taker) -> Outcome<u64> {
    stream.begin_transfer();
    stream.say(Message::Ask(request)).await?;
    let (mut bytes, mut failed) = (0, None);
    let told = loop {
        let Heard { pieces, word } = stream.hear_data(AT_ONCE).await?;
        let (frames, length) =
            (pieces.len(), pieces.iter().map(|piece| piece.len() as u64).sum::<u64>());
        if frames > 0 && failed.is_none() {
            match stream.busy(taker.take(pieces)).await? {
                Ok(()) => bytes += length,
                Err(failure) => {
                    stream.say(Message::Abort).await?;
                    failed = Some(failure);
                }
            }
        }
        for _ in 0..frames {
            stream.grant().await?;
        }
        match word {
            None | Some(Message::Working) => {}
            Some(Message::Done(Answer::Bytes(told))) => break told,
            Some(Message::Refused(refusal)) => {
                stream.end_transfer();
                return Err(failed.unwrap_or(Failure::Refused(refusal)));
            }
            Some(other) => return Err(Failure::out_of_place(&other)),
        }
    };
    stream.end_transfer();
    match failed {
        Some(failure) => Err(failure),
        None if told == bytes => Ok(bytes),
        None => Err(Failure::Garbage(format!("{bytes} bytes came, and {told} were declared"))),
    }
}

/// Writes pieces as their sink is ready for them, on threads that may wait for a disk, counts what is written,
/// and gives the sink back.
async fn write_all(mut draining: Draining, meter: &Meter) -> io::Result<Sink> {
    while draining.left() > 0 {
        let ready = draining.ready().await;
        let write = spawn_blocking(move || draining.write(ready).map(|()| draining));
        draining = write.await.unwrap_or_else(|error| Err(io::Error::other(error)))?;
        meter.add(ready as u64);
    }
    Ok(draining.into_sink())
}

/// Where data comes from that goes out.
pub(super) struct Giver {
    source: Source,
    /// `None` when they go as they are.
    packer: Option<Packer>,
}

/// What a source gave.
#[derive(Default)]
struct Given {
    pieces: Vec<Piece>,
    /// How it ended, if it did.
    end: Option<io::Result<()>>,
}

/// A piece as it goes out, how many bytes of the file it is, and its part of the memory until it is
/// in line.
struct Piece {
    bytes: u64,
    body: Queued,
    room: Room,
}

impl Giver {
    /// Compresses what it gives, when that is wanted.
    ///
    /// # Errors
    /// When there is no memory for that.
    pub(super) fn new(source: Source, packs: bool) -> Outcome<Self> {
        let packer = if packs { Some(Packer::new().map_err(Failure::local)?) } else { None };
        Ok(Self { source, packer })
    }

    /// The next pieces, on a thread that may wait for a disk where it has to.
    async fn give(mut self) -> io::Result<(Self, Given)> {
        let ready = self.source.ready(CHUNK_BYTES).await;
        if !self.source.blocks() {
            let given = self.read(ready);
            return Ok((self, given));
        }
        let read = spawn_blocking(move || {
            let given = self.read(ready);
            (self, given)
        });
        read.await.map_err(io::Error::other)
    }

    /// As many pieces as need not be waited for, and as there is memory for. Blocks.
    fn read(&mut self, mut ready: usize) -> Given {
        let mut given = Given::default();
        loop {
            let piece = match self.next(Room::take(ready)) {
                Ok(Some(piece)) => piece,
                end => {
                    given.end = Some(end.map(drop));
                    return given;
                }
            };
            let ample = piece.room.is_ample();
            given.pieces.push(piece);
            match self.source.ready_now(CHUNK_BYTES) {
                Some(more) if ample && given.pieces.len() < AT_ONCE => ready = more,
                _ => return given,
            }
        }
    }

    /// The next piece, for which there is this room; `None` at the end.
    fn next(&mut self, room: Room) -> io::Result<Option<Piece>> {
        let mut piece = Buffer::of(room.bytes());
        // Not filled up: a source that gives little at a time takes its time.
        let read = self.source.read(&mut piece)?;
        if read == 0 {
            return Ok(None);
        }
        piece.truncate(read);
        let body = match &mut self.packer {
            Some(packer) => packer.pack(piece),
            None => Body::Data(piece),
        };
        Ok(Some(Piece { bytes: read as u64, body: body.into(), room }))
    }
}

/// Offers data and gives it piece by piece; tells what the host has taken.
pub(super) async fn give(
    stream: &mut Stream,
    request: Request,
    mut giver: Giver,
    meter: &Meter,
) -> Outcome<Stored> {
    stream.begin_transfer();
    stream.say(Message::Ask(request)).await?;
    let mut given = 0;
    let end = loop {
        let (back, Given { pieces, end }) = match stream.busy(giver.give()).await? {
            Ok(given) => given,
            Err(error) => break Err(error),
        };
        giver = back;
        for Piece { bytes, body, room } in pieces {
            match stream.send(body.into()).await? {
                None => meter.add(bytes),
                Some(Message::Refused(refusal)) => {
                    stream.say(Message::Abort).await?;
                    return Err(Failure::Refused(refusal));
                }
                Some(other) => return Err(Failure::out_of_place(&other)),
            }
            drop(room);
            given += bytes;
        }
        if let Some(end) = end {
            break end;
        }
    };
    if let Err(error) = end {
        stream.say(Message::Abort).await?;
        // Refused or done makes no difference: the host is through with it.
        return match answer(stream).await {
            Ok(_) | Err(Failure::Refused(_)) => Err(Failure::local(error)),
            Err(failure) => Err(failure),
        };
    }
    stream.say(Message::End { bytes: given }).await?;
    match answer(stream).await? {
        Answer::Stored { bytes, size, digest } if bytes == given => {
            let digest = digest.and_then(|(algorithm, hex)| Digest::from_hex(algorithm, &hex));
            Ok(Stored { bytes, size, digest })
        }
        other => Err(Failure::out_of_place(&other)),
    }
}

#[cfg(test)]
mod tests;
