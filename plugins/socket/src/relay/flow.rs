//! The queues between a connection and the host's work on a file, as the host sees them: a source of
//! what comes in, a sink for what goes out.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use ferryway_core::bytes::{Buffer, ByteSink, ByteSource, Room};
use tokio::sync::mpsc;

use crate::{
    frame::{Body, CHUNK_BYTES},
    squeeze::Packer,
    stream::Queued,
};

/// What is in the queue of a file that comes in.
pub(super) enum Piece {
    Bytes(Buffer),
    End,
}

/// The host's source of a file that comes in.
pub(super) struct Inflow {
    pieces: mpsc::Receiver<Piece>,
    piece: Buffer,
    at: usize,
    end: Option<End>,
}

/// How what comes in has ended.
#[derive(Clone, Copy)]
enum End {
    Whole,
    BrokenOff,
}

impl Inflow {
    /// What comes through this queue.
    pub(super) fn new(pieces: mpsc::Receiver<Piece>) -> Self {
        Self { pieces, piece: Buffer::default(), at: 0, end: None }
    }

    fn put(&mut self, piece: Option<Piece>) {
        match piece {
            Some(Piece::Bytes(piece)) => (self.piece, self.at) = (piece, 0),
            Some(Piece::End) => {
                self.pieces.close();
                self.end = Some(End::Whole);
            }
            None => self.end = Some(End::BrokenOff),
        }
    }

    /// Nothing is at hand, and nobody has said that it was all.
    fn is_waiting(&self) -> bool {
        self.at == self.piece.len() && self.end.is_none()
    }
}

impl ByteSource for Inflow {
    fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        while self.is_waiting() {
            let piece = self.pieces.blocking_recv();
            self.put(piece);
        }
        let length = chunk.len().min(self.piece.len() - self.at);
        if length == 0 && matches!(self.end, Some(End::BrokenOff)) {
            return Err(broken_off());
        }
        chunk[..length].copy_from_slice(&self.piece[self.at..self.at + length]);
        self.at += length;
        if self.at == self.piece.len() {
            // Whoever waits for the next one holds none.
            (self.piece, self.at) = (Buffer::default(), 0);
        }
        Ok(length)
    }

    fn poll_ready(&mut self, bytes: usize, context: &mut Context<'_>) -> Poll<usize> {
        while self.is_waiting() {
            let piece = ready!(self.pieces.poll_recv(context));
            self.put(piece);
        }
        Poll::Ready(match self.piece.len() - self.at {
            0 => bytes,
            left => left.min(bytes),
        })
    }
}

/// What is in the queue of a file that goes out, and its part of the memory until it is in line.
pub(super) struct Outgoing {
    pub(super) body: Queued,
    pub(super) room: Room,
}

/// The host's sink of a file that goes out.
pub(super) struct Outflow {
    queue: mpsc::Sender<Outgoing>,
    packer: Option<Packer>,
    /// While a place in the queue is waited for.
    asked: Option<Asked>,
    /// A place in the queue, and room for what goes there.
    place: Option<(mpsc::OwnedPermit<Outgoing>, Room)>,
}

type Asked = Pin<
    Box<
        dyn Future<
                Output = std::result::Result<
                    mpsc::OwnedPermit<Outgoing>,
                    mpsc::error::SendError<()>,
                >,
            > + Send,
    >,
>;

impl Outflow {
    /// What goes through this queue, compressed where that is wanted.
    pub(super) fn new(queue: mpsc::Sender<Outgoing>, packer: Option<Packer>) -> Self {
        Self { queue, packer, asked: None, place: None }
    }
}

impl ByteSink for Outflow {
    fn write(&mut self, mut chunk: &[u8]) -> io::Result<()> {
        while !chunk.is_empty() {
            let (permit, room) = match self.place.take() {
                Some((permit, room)) => (Some(permit), room),
                None => (None, Room::take(CHUNK_BYTES)),
            };
            let (piece, rest) = chunk.split_at(chunk.len().min(room.bytes()));
            let body = match &mut self.packer {
                Some(packer) => packer.pack(piece.into()),
                None => Body::Data(piece.into()),
            };
            let outgoing = Outgoing { body: body.into(), room };
            match permit {
                Some(permit) => drop(permit.send(outgoing)),
                None => {
                    // It is in line before us, and nobody would take its place.
                    self.asked = None;
                    self.queue.blocking_send(outgoing).map_err(|_| broken_off())?;
                }
            }
            chunk = rest;
        }
        Ok(())
    }

    fn poll_ready(&mut self, bytes: usize, context: &mut Context<'_>) -> Poll<usize> {
        if self.place.is_none() {
            let queue = &self.queue;
            let ask = || Box::pin(queue.clone().reserve_owned()) as Asked;
            let place = ready!(self.asked.get_or_insert_with(ask).as_mut().poll(context));
            self.asked = None;
            // Where nobody takes it any more, the write tells.
            self.place = place.ok().map(|permit| (permit, Room::take(CHUNK_BYTES)));
        }
        let room = self.place.as_ref().map_or(bytes, |(_, room)| room.bytes());
        Poll::Ready(room.min(bytes))
    }
}

fn broken_off() -> io::Error {
    io::Error::other("the visitor broke off")
}
