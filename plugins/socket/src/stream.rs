//! A stream: one session's part of a connection, with its own flow control.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::timeout,
};

use crate::{
    failure::Failure,
    frame::{Answer, Body, Message, Offer, WINDOW},
    link::{Link, Shared},
};

/// One end of a stream. Dropped, the stream is over, and the other end is told.
pub(crate) struct Stream {
    voice: Voice,
    inbound: mpsc::Receiver<Body>,
    /// Frames that the other end takes now.
    credit: u32,
    /// Frames that we used up and have not granted anew.
    owed: u32,
    /// `None` only while it is dropped.
    hold: Option<Hold>,
}

/// What a stream holds for as long as it lives.
#[expect(dead_code, reason = "what it has is held, not used")]
pub(crate) enum Hold {
    /// A visitor's: the connection, which stays up.
    Link(Arc<Link>),
    /// A host's: its place at the door.
    Place(OwnedSemaphorePermit),
}

/// The speaking half of a stream, for whoever has to speak while another listens.
#[derive(Clone)]
pub(crate) struct Voice {
    number: u32,
    shared: Arc<Shared>,
}

impl Stream {
    pub(crate) fn new(
        number: u32,
        shared: Arc<Shared>,
        inbound: mpsc::Receiver<Body>,
        hold: Hold,
    ) -> Self {
        let voice = Voice { number, shared };
        Self { voice, inbound, credit: WINDOW, owed: 0, hold: Some(hold) }
    }

    /// The speaking half.
    pub(crate) fn voice(&self) -> Voice {
        self.voice.clone()
    }

    /// How long to work without a word to the other end.
    pub(crate) fn pause(&self) -> Duration {
        self.voice.shared.pause
    }

    /// Says something.
    ///
    /// # Errors
    /// The stream is over.
    pub(crate) async fn say(&self, message: Message) -> Result<(), Failure> {
        self.voice.say(message).await
    }

    /// Says that the stream is open. Data that comes before that breaks the connection.
    ///
    /// # Errors
    /// The stream is over.
    pub(crate) async fn say_opened(&self, offer: Offer) -> Result<(), Failure> {
        let opened = Message::Done(Answer::Opened(offer));
        self.voice.shared.send_opened(self.voice.number, opened).await
    }

    /// A transfer begins: both windows are whole.
    pub(crate) fn begin_transfer(&mut self) {
        (self.credit, self.owed) = (WINDOW, 0);
    }

    /// What the other end says next, within the limit.
    ///
    /// # Errors
    /// The stream is over, or nothing came in time.
    pub(crate) async fn hear(&mut self) -> Result<Body, Failure> {
        let next = timeout(self.voice.shared.limit, self.inbound.recv()).await;
        self.heard(next.map_err(|_| Failure::Silent("in the middle of an operation"))?)
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
    pub(crate) async fn send(&mut self, piece: Vec<u8>) -> Result<Option<Message>, Failure> {
        loop {
            let word = match self.inbound.try_recv() {
                Ok(body) => body,
                Err(_) if self.credit > 0 => break,
                Err(_) => self.hear().await?,
            };
            match word {
                Body::Message(Message::Credit { frames }) => {
                    self.credit = self.credit.saturating_add(frames).min(WINDOW);
                }
                Body::Message(Message::Working) => {}
                Body::Message(message) => return Ok(Some(message)),
                data @ Body::Data(_) => return Err(Failure::out_of_place(&data)),
            }
        }
        self.credit -= 1;
        self.voice.shared.send(self.voice.number, Body::Data(piece)).await?;
        Ok(None)
    }

    /// Grants room for a frame that was used up.
    ///
    /// # Errors
    /// The stream is over.
    pub(crate) async fn grant(&mut self) -> Result<(), Failure> {
        self.owed += 1;
        // Half a window at a time: the other end never stands still for want of a word.
        if self.owed < WINDOW / 2 {
            return Ok(());
        }
        let frames = std::mem::take(&mut self.owed);
        self.say(Message::Credit { frames }).await
    }

    fn heard(&self, body: Option<Body>) -> Result<Body, Failure> {
        body.ok_or_else(|| self.voice.shared.cause().unwrap_or(Failure::Closed))
    }
}

impl Voice {
    /// Says something.
    ///
    /// # Errors
    /// The stream is over.
    pub(crate) async fn say(&self, message: Message) -> Result<(), Failure> {
        self.shared.send(self.number, Body::Message(message)).await
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // What is queued goes at once; the good-bye may have to wait.
        self.inbound.close();
        while self.inbound.try_recv().is_ok() {}
        self.voice.shared.forget(self.voice.number, self.hold.take());
    }
}
