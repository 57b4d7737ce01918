//! A stream: one session's part of a connection, with its own flow control.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ferryway_core::bytes::Buffer;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::{sleep, timeout},
};

use crate::{
    failure::Failure,
    frame::{Answer, Body, CHUNK_BYTES, Message, Offer, WINDOW},
    link::{Link, Shared},
    squeeze::unpack,
    window::Window,
};

/// How long one piece of work may take, such as the hash of a huge file.
const WORK: Duration = Duration::from_secs(60 * 60);

/// Streams that may share a line, each with a frame on its way: the next word on one of them comes
/// after that many bytes at the latest.
const TURN_BYTES: u64 = 256 * CHUNK_BYTES as u64;

/// One end of a stream. Dropped, the stream is over, and the other end is told.
pub(crate) struct Stream {
    number: u32,
    shared: Arc<Shared>,
    inbound: mpsc::Receiver<Queued>,
    /// Frames that the other end takes now.
    credit: u32,
    /// What we let the other end have under way.
    window: Window,
    /// Frames that we used up and have not granted anew.
    owed: u32,
    granted: Instant,
    /// `None` only while it is dropped.
    hold: Option<Hold>,
}

/// A frame's content while it waits in a queue, which keeps memory for some 30 of them, of each stream:
/// it is small.
pub(crate) enum Queued {
    Message(Box<Message>),
    Data(Buffer),
    Packed(Buffer),
}

/// What has come of a transfer's data.
pub(crate) struct Heard {
    pub(crate) pieces: Vec<Buffer>,
    pub(crate) word: Option<Message>,
}

/// What a stream holds for as long as it lives.
#[expect(dead_code, reason = "what it has is held, not used")]
pub(crate) enum Hold {
    /// A visitor's: the connection, which stays up.
    Link(Arc<Link>),
    /// A host's: its place at the door.
    Place(OwnedSemaphorePermit),
}

impl Stream {
    pub(crate) fn new(
        number: u32,
        shared: Arc<Shared>,
        inbound: mpsc::Receiver<Queued>,
        window: Window,
        hold: Hold,
    ) -> Self {
        let (granted, hold) = (Instant::now(), Some(hold));
        Self { number, shared, inbound, credit: WINDOW, window, owed: 0, granted, hold }
    }

    /// Does a piece of work, and says meanwhile that it goes on. What comes in waits.
    ///
    /// # Errors
    /// The stream is over, or the work takes too long.
    pub(crate) async fn busy<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::pin!(work);
        let begun = Instant::now();
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = sleep(self.shared.pause) => self.still_busy(begun).await?,
            }
        }
    }

    /// Does a piece of work, as [`busy`](Self::busy), and listens meanwhile. Whoever goes away or
    /// speaks out of turn ends it.
    ///
    /// # Errors
    /// The stream is over, or the work takes too long.
    pub(crate) async fn attended<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        tokio::pin!(work);
        let (begun, pause) = (Instant::now(), self.shared.pause);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = sleep(pause) => self.still_busy(begun).await?,
                word = self.wait() => match word? {
                    // Room that was granted for data that is all sent.
                    Body::Message(Message::Credit { .. }) => {}
                    other => return Err(Failure::out_of_place(&other)),
                },
            }
        }
    }

    async fn still_busy(&self, begun: Instant) -> Result<(), Failure> {
        if begun.elapsed() > WORK {
            return Err(Failure::Silent("at its own disk"));
        }
        self.say(Message::Working).await
    }

    /// Says something.
    ///
    /// # Errors
    /// The stream is over.
    pub(crate) async fn say(&self, message: Message) -> Result<(), Failure> {
        self.shared.send(self.number, Body::Message(message)).await
    }

    /// Says that the stream is open. Data that comes before that breaks the connection.
    ///
    /// # Errors
    /// The stream is over.
    pub(crate) async fn say_opened(&self, offer: Offer) -> Result<(), Failure> {
        let opened = Message::Done(Answer::Opened(offer));
        self.shared.send_opened(self.number, opened).await
    }

    /// A transfer begins: both windows are whole.
    pub(crate) fn begin_transfer(&mut self) {
        (self.credit, self.owed) = (WINDOW, 0);
        self.window.reset();
    }

    /// All data of a transfer has come: what its window had grown by is free for others.
    pub(crate) fn end_transfer(&mut self) {
        self.window.reset();
    }

    /// What the other end says next, within the limit. While a slow line carries what others
    /// have to say, the clock starts anew.
    ///
    /// # Errors
    /// The stream is over, or nothing came in time.
    pub(crate) async fn hear(&mut self) -> Result<Body, Failure> {
        let mut patience = Patience::new(self.shared.carried());
        loop {
            match timeout(self.shared.limit, self.inbound.recv()).await {
                Ok(next) => return self.heard(next),
                Err(_) if patience.lasts(self.shared.carried()) => {}
                Err(_) => return Err(Failure::Silent("in the middle of an operation")),
            }
        }
    }

    /// Data that the other end sends next, as far as it has come: up to `most` pieces, and the word behind
    /// them where that is none. Within the limit, as [`hear`](Self::hear).
    ///
    /// # Errors
    /// The stream is over, or nothing came in time.
    pub(crate) async fn hear_data(&mut self, most: usize) -> Result<Heard, Failure> {
        let mut heard = Heard { pieces: Vec::new(), word: None };
        let mut next = self.hear().await?;
        loop {
            match next {
                Body::Message(word) => {
                    heard.word = Some(word);
                    return Ok(heard);
                }
                Body::Data(piece) | Body::Packed(piece) => heard.pieces.push(piece),
            }
            if heard.pieces.len() == most {
                return Ok(heard);
            }
            next = match self.inbound.try_recv() {
                Ok(queued) => self.heard(Some(queued))?,
                // Also at the end: whoever hears on learns of it.
                Err(_) => return Ok(heard),
            };
        }
    }

    /// What the other end says next, whenever that is.
    ///
    /// # Errors
    /// The stream is over.
    pub(crate) async fn wait(&mut self) -> Result<Body, Failure> {
        let next = self.inbound.recv().await;
        self.heard(next)
    }

    /// Sends a piece of a file when the other end has room for it. Gives what it said instead of
    /// granting room, if it did; the piece was not sent then.
    ///
    /// # Errors
    /// The stream is over, or there was no room in time.
    pub(crate) async fn send(&mut self, piece: Body) -> Result<Option<Message>, Failure> {
        loop {
            let word = match self.inbound.try_recv() {
                Ok(queued) => queued.into(),
                Err(_) if self.credit > 0 => break,
                Err(_) => self.hear().await?,
            };
            match word {
                Body::Message(Message::Credit { frames }) => {
                    self.credit = self.credit.saturating_add(frames);
                }
                Body::Message(Message::Working) => {}
                Body::Message(message) => return Ok(Some(message)),
                data => return Err(Failure::out_of_place(&data)),
            }
        }
        self.credit -= 1;
        self.shared.send(self.number, piece).await?;
        Ok(None)
    }

    /// Grants room for a frame that was used up.
    ///
    /// # Errors
    /// The stream is over.
    pub(crate) async fn grant(&mut self) -> Result<(), Failure> {
        self.owed += 1;
        self.window.use_up();
        // Half a window at a time: the other end never stands still for want of a word. Who is
        // slow to use frames up grants each.
        if self.owed < self.window.frames() / 2 && self.granted.elapsed() < self.shared.pause / 2 {
            return Ok(());
        }
        self.granted = Instant::now();
        let more = self.window.grow(self.shared.round_trip(), !self.inbound.is_empty());
        let frames = std::mem::take(&mut self.owed) + more;
        self.say(Message::Credit { frames }).await
    }

    fn heard(&self, queued: Option<Queued>) -> Result<Body, Failure> {
        match queued {
            Some(Queued::Packed(packed)) => Ok(Body::Data(unpack(&packed)?)),
            Some(queued) => Ok(queued.into()),
            None => Err(self.shared.cause().unwrap_or(Failure::Closed)),
        }
    }
}

impl From<Body> for Queued {
    fn from(body: Body) -> Self {
        match body {
            Body::Message(message) => Self::Message(Box::new(message)),
            Body::Data(bytes) => Self::Data(bytes),
            Body::Packed(bytes) => Self::Packed(bytes),
        }
    }
}

impl From<Queued> for Body {
    fn from(queued: Queued) -> Self {
        match queued {
            Queued::Message(message) => Self::Message(*message),
            Queued::Data(bytes) => Self::Data(bytes),
            Queued::Packed(bytes) => Self::Packed(bytes),
        }
    }
}

/// Whether to wait on when nothing came within the limit.
struct Patience {
    begun: u64,
    carried: u64,
}

impl Patience {
    /// Begins to wait when the line has carried so many bytes.
    fn new(carried: u64) -> Self {
        Self { begun: carried, carried }
    }

    /// Whether the line has carried something since the last look, and not yet so much that the
    /// word waited for must have been among it.
    fn lasts(&mut self, carried: u64) -> bool {
        let moves = carried > std::mem::replace(&mut self.carried, carried);
        moves && carried - self.begun < TURN_BYTES
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // What is queued goes at once; the good-bye may have to wait.
        self.inbound.close();
        while self.inbound.try_recv().is_ok() {}
        self.shared.forget(self.number, self.hold.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_lasts_while_a_slow_line_carries_the_words_of_others() {
        let mut patience = Patience::new(100);
        assert!(patience.lasts(101), "one byte is a sign of life");
        assert!(patience.lasts(100 + TURN_BYTES - 1));
        assert!(!patience.lasts(100 + TURN_BYTES - 1), "nothing moves");
        let mut patience = Patience::new(100);
        assert!(!patience.lasts(100), "nothing moves");
        let mut patience = Patience::new(100);
        assert!(!patience.lasts(100 + TURN_BYTES), "it was not among all that");
    }
}
