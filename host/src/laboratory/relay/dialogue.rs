//! The dialogue of two hosts that passes through a relay: what was said, what was sent, and a
//! point at which it stands still.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
    sync::watch,
    time::timeout,
};

use super::{
    CHUNK_BYTES, Moved, Path,
    flow::Flow,
    frames::{Ask, Cutter, Piece, Says},
    keep,
};
use crate::{
    laboratory::{Failure, wire::Point},
    locks::lock,
};

/// What passes through all connections of a relay.
#[derive(Debug, Default)]
pub(crate) struct Dialogue {
    book: Mutex<Book>,
    standstill: watch::Sender<Standstill>,
}

/// A point in a dialogue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    pub(crate) ask: Ask,
    /// Which paths are meant.
    pub(crate) on: fn(&str) -> bool,
    pub(crate) point: Point,
}

/// A stop that was set. The connection that comes there first stands still, in both directions,
/// until it is released.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    dialogue: Arc<Dialogue>,
    stop: Stop,
}

/// Something that was said.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) at: Instant,
    /// The connection's number, from 1.
    pub(crate) connection: u64,
    /// Whether the visitor said it, and not the host.
    pub(crate) by_visitor: bool,
    pub(crate) what: String,
}

/// A file that was sent to a host, or a part of it.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) path: String,
    pub(crate) from: Instant,
    /// When the last of its bytes so far was handed on.
    pub(crate) to: Instant,
    pub(crate) bytes: u64,
}

/// One connection's part in the dialogue; both of its directions share it.
#[derive(Debug)]
pub(super) struct Connection {
    dialogue: Arc<Dialogue>,
    number: u64,
    /// What was asked last on each stream.
    asked: Mutex<HashMap<u32, Asked>>,
}

/// Where a direction of a connection leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Towards {
    Host,
    Visitor,
}

#[derive(Debug, Default)]
struct Book {
    said: Vec<Said>,
    sent: Vec<Sent>,
    connections: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Standstill {
    stop: Option<Stop>,
    /// The connection that stands still.
    at: Option<u64>,
}

#[derive(Clone, Debug)]
struct Asked {
    ask: Ask,
    path: String,
    /// Its place in the book, once bytes of a file have come.
    sent: Option<usize>,
    bytes: u64,
}

impl Dialogue {
    /// Sets a stop; one that was set before is forgotten.
    pub(super) fn stop(self: &Arc<Self>, stop: Stop) -> Gate {
        self.standstill.send_replace(Standstill { stop: Some(stop), at: None });
        Gate { dialogue: Arc::clone(self), stop }
    }

    /// A connection that is made now.
    pub(super) fn connection(self: &Arc<Self>) -> Connection {
        let mut book = lock(&self.book);
        book.connections += 1;
        let number = book.connections;
        Connection { dialogue: Arc::clone(self), number, asked: Mutex::default() }
    }

    /// What was said so far, but for signs of life.
    pub(crate) fn said(&self) -> Vec<Said> {
        lock(&self.book).said.clone()
    }

    /// The files that were sent so far.
    pub(crate) fn sent(&self) -> Vec<Sent> {
        lock(&self.book).sent.clone()
    }

    /// Lets a connection stand still here if this is the stop.
    fn strike(&self, connection: u64, here: impl FnOnce(&Stop) -> bool) {
        self.standstill.send_if_modified(|standstill| {
            let stops = standstill.stop.as_ref().is_some_and(here);
            if stops {
                *standstill = Standstill { stop: None, at: Some(connection) };
            }
            stops
        });
    }
}

impl Stop {
    fn means(&self, asked: &Asked) -> bool {
        self.ask == asked.ask && (self.on)(&asked.path)
    }
}

impl Gate {
    /// Waits until a connection stands still.
    ///
    /// # Errors
    /// When none has come to the stop within `limit`.
    pub(crate) async fn reached(&self, limit: Duration) -> Result<(), Failure> {
        let mut standstill = self.dialogue.standstill.subscribe();
        let reached = timeout(limit, standstill.wait_for(|standstill| standstill.at.is_some()));
        // Its sender lives as long as the gate.
        let _open = reached.await.map_err(|_| {
            Failure(format!("no connection came to {:?} within {limit:?}", self.stop))
        })?;
        Ok(())
    }

    /// Lets everything pass.
    pub(crate) fn release(&self) {
        self.dialogue.standstill.send_replace(Standstill::default());
    }
}

impl Connection {
    /// Hands on what a message is, up to the stop, and what comes behind it.
    async fn pass(
        &self,
        piece: Piece,
        towards: Towards,
        wire: (&Flow, &mut OwnedWriteHalf),
        path: &mut Path,
    ) -> Result<io::Result<()>, Moved> {
        let (flow, to) = wire;
        match piece {
            Piece::Other(raw) => {
                self.stand_still(path).await?;
                Ok(flow.pass(&raw, to).await)
            }
            Piece::Message { raw, stream, says } => {
                self.hear(stream, &says, towards);
                self.stand_still(path).await?;
                let passed = flow.pass(&raw, to).await;
                self.has_passed(stream, &says, towards);
                Ok(passed)
            }
            Piece::Data { raw, stream } => {
                let stop = self.stop_within(stream, raw.len()).filter(|_| towards == Towards::Host);
                let (before, behind) = raw.split_at(stop.unwrap_or(raw.len()));
                for part in [before, behind] {
                    self.stand_still(path).await?;
                    if let Err(error) = flow.pass(part, to).await {
                        return Ok(Err(error));
                    }
                    self.count(stream, part.len(), towards);
                    if stop.is_some() {
                        self.strike_at_byte(stream);
                    }
                }
                Ok(Ok(()))
            }
        }
    }

    /// Notes a message, before it passes.
    fn hear(&self, stream: u32, says: &Says, towards: Towards) {
        let visitor = towards == Towards::Host;
        match says {
            Says::Asks(ask, path) if visitor => {
                let asked = Asked { ask: *ask, path: path.clone(), sent: None, bytes: 0 };
                self.strike(&asked, Point::Before);
                if *ask != Ask::Ping {
                    self.note(true, format!("{ask} {path}"));
                }
                lock(&self.asked).insert(stream, asked);
            }
            Says::Answers(answer) if !visitor => {
                let Some(asked) = lock(&self.asked).get(&stream).cloned() else { return };
                self.strike(&asked, Point::After);
                match answer {
                    Ok(()) if asked.ask == Ask::Ping => {}
                    Ok(()) => self.note(false, format!("done: {}", asked.ask)),
                    Err(reason) => self.note(false, format!("refused: {}: {reason}", asked.ask)),
                }
            }
            Says::End if visitor => {
                let sent = lock(&self.asked).get(&stream).map_or(0, |asked| asked.bytes);
                self.note(true, format!("end, after {sent} bytes"));
            }
            _ => {}
        }
    }

    /// Notes a message that has passed.
    fn has_passed(&self, stream: u32, says: &Says, towards: Towards) {
        if towards == Towards::Visitor && matches!(says, Says::Answers(_)) {
            let asked = lock(&self.asked).get(&stream).cloned();
            if let Some(asked) = asked {
                self.strike(&asked, Point::Answered);
            }
        }
    }

    fn strike(&self, asked: &Asked, here: Point) {
        self.dialogue.strike(self.number, |stop| stop.point == here && stop.means(asked));
    }

    fn strike_at_byte(&self, stream: u32) {
        let Some(asked) = lock(&self.asked).get(&stream).cloned() else { return };
        self.strike(&asked, Point::Byte(asked.bytes));
    }

    /// After how many of so many more bytes of a file the connection is to stand still, if it is.
    fn stop_within(&self, stream: u32, bytes: usize) -> Option<usize> {
        let asked = lock(&self.asked).get(&stream).cloned()?;
        let stop = self.dialogue.standstill.borrow().stop.filter(|stop| stop.means(&asked))?;
        let Point::Byte(byte) = stop.point else { return None };
        let after = usize::try_from(byte.checked_sub(asked.bytes)?).ok()?;
        (after < bytes).then_some(after)
    }

    /// Counts bytes of a file that have passed.
    fn count(&self, stream: u32, bytes: usize, towards: Towards) {
        if towards == Towards::Visitor || bytes == 0 {
            return;
        }
        let mut asked = lock(&self.asked);
        let Some(asked) = asked.get_mut(&stream) else { return };
        asked.bytes += bytes as u64;
        let (mut book, now) = (lock(&self.dialogue.book), Instant::now());
        let place = *asked.sent.get_or_insert(book.sent.len());
        if place == book.sent.len() {
            book.sent.push(Sent { path: asked.path.clone(), from: now, to: now, bytes: 0 });
        }
        book.sent[place].to = now;
        book.sent[place].bytes = asked.bytes;
    }

    fn note(&self, by_visitor: bool, what: String) {
        let said = Said { at: Instant::now(), connection: self.number, by_visitor, what };
        lock(&self.dialogue.book).said.push(said);
    }

    /// Waits as long as this connection has to stand still, and then until the way is free: that
    /// may have been cut meanwhile.
    async fn stand_still(&self, path: &mut Path) -> Result<(), Moved> {
        let mut standstill = self.dialogue.standstill.subscribe();
        let still = |standstill: &Standstill| standstill.at == Some(self.number);
        if !still(&standstill.borrow()) {
            return Ok(());
        }
        tokio::select! {
            // Its sender lives as long as the connection.
            _released = standstill.wait_for(|standstill| !still(standstill)) => {}
            () = path.clone().moved() => return Err(Moved),
        }
        path.free().await
    }
}

/// Carries one direction of a connection, until the end of the stream, which it passes on.
pub(super) async fn carry(
    (mut from, mut to): (OwnedReadHalf, OwnedWriteHalf),
    mut path: Path,
    flow: Arc<Flow>,
    (connection, towards): (Arc<Connection>, Towards),
) {
    let (mut chunk, mut cutter) = (vec![0; CHUNK_BYTES], Cutter::default());
    loop {
        let Ok(length) = path.read(&mut from, &mut chunk).await else {
            return keep((from, to)).await;
        };
        if length == 0 {
            // The end is held up as everything else is.
            match connection.stand_still(&mut path).await {
                Ok(()) => return,
                Err(Moved) => return keep((from, to)).await,
            }
        }
        let mut bytes = &chunk[..length];
        while let Some(piece) = cutter.next(&mut bytes) {
            let wire = (&*flow, &mut to);
            match connection.pass(piece, towards, wire, &mut path).await {
                Ok(Ok(())) => {}
                Ok(Err(_ended)) => return,
                Err(Moved) => return keep((from, to)).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::laboratory::{
        relay::{
            Line, Relay,
            frames::tests::{GREETING, frame, store},
        },
        wire,
    };

    const LIMIT: Duration = Duration::from_secs(5);

    /// A visitor and a host that have greeted each other through a relay with this stop.
    async fn meet(point: Point) -> (Relay, Gate, TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let relay = Relay::start(Ipv4Addr::LOCALHOST, 0, addr, Line::HOSTS).unwrap();
        let gate = relay.stop(Stop { ask: Ask::Store, on: wire::is_partial, point });
        let mut visitor = TcpStream::connect(relay.addr()).await.unwrap();
        let (mut host, _) = listener.accept().await.unwrap();
        visitor.write_all(&GREETING).await.unwrap();
        host.write_all(&GREETING).await.unwrap();
        for end in [&mut visitor, &mut host] {
            timeout(LIMIT, end.read_exact(&mut [0; GREETING.len()])).await.unwrap().unwrap();
        }
        (relay, gate, visitor, host)
    }

    async fn read(from: &mut TcpStream, bytes: usize) -> Vec<u8> {
        let mut read = vec![0; bytes];
        timeout(LIMIT, from.read_exact(&mut read)).await.unwrap().unwrap();
        read
    }

    async fn is_silent(end: &mut TcpStream) -> bool {
        timeout(Duration::from_millis(50), end.read_u8()).await.is_err()
    }

    #[tokio::test]
    async fn a_connection_stands_still_at_its_byte() {
        let (relay, gate, mut visitor, mut host) = meet(Point::Byte(4)).await;
        let (other, store) = (store("in/other"), store("in/a.part"));
        let bytes = frame(1, 1, b"012345");
        visitor.write_all(&[other.clone(), bytes.clone()].concat()).await.unwrap();
        read(&mut host, other.len() + bytes.len()).await;
        visitor.write_all(&[store.clone(), bytes.clone()].concat()).await.unwrap();
        let passed = read(&mut host, store.len() + bytes.len() - 2).await;
        assert!(passed.ends_with(b"0123"));
        gate.reached(LIMIT).await.unwrap();
        host.write_all(&frame(1, 0, b"\x09")).await.unwrap();
        assert!(is_silent(&mut host).await && is_silent(&mut visitor).await);
        gate.release();
        assert_eq!(read(&mut host, 2).await, b"45");
        let sent: Vec<_> =
            relay.dialogue().sent().into_iter().map(|sent| (sent.path, sent.bytes)).collect();
        assert_eq!(sent, [("in/other".to_owned(), 6), ("in/a.part".to_owned(), 6)]);
    }

    #[tokio::test]
    async fn a_request_or_its_answer_is_kept_from_the_other_end() {
        for point in [Point::Before, Point::After, Point::Answered] {
            let (relay, gate, mut visitor, mut host) = meet(point).await;
            let (store, done) = (store("in/a.part"), frame(1, 0, b"\x05\x00"));
            visitor.write_all(&store).await.unwrap();
            if point != Point::Before {
                read(&mut host, store.len()).await;
                host.write_all(&done).await.unwrap();
            }
            if point == Point::Answered {
                read(&mut visitor, done.len()).await;
                visitor.write_all(&store).await.unwrap();
            }
            gate.reached(LIMIT).await.unwrap();
            assert!(is_silent(&mut host).await && is_silent(&mut visitor).await, "{point:?}");
            gate.release();
            match point {
                Point::After => read(&mut visitor, done.len()).await,
                _ => read(&mut host, store.len()).await,
            };
            let said: Vec<_> = relay.dialogue().said().into_iter().map(|said| said.what).collect();
            assert_eq!(said[0], "store in/a.part");
        }
    }
}
