//! Files that come in over a line in memory that is full.

use std::{sync::Arc, time::Duration};

use ferryway_core::{Kind, Operation, TransportError};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::yield_now,
    time::timeout,
};

use super::*;
use crate::{
    frame::{Frame, HEAD_BYTES, Head, Seal, WINDOW},
    handshake::Ready,
    link::Link,
    window::Stock,
};

const LIMIT: Duration = Duration::from_secs(20);

/// Bytes on the line until somebody reads.
const LINE_BYTES: usize = 64;

/// The other end, which reads only when it is told to.
struct Visitor {
    line: DuplexStream,
    incoming: Seal,
    outgoing: Seal,
    /// Keeps the connection up.
    _link: Arc<Link>,
}

impl Visitor {
    /// A visitor, and the only stream to it.
    fn new() -> (Self, Stream) {
        let (line, door) = duplex(LINE_BYTES);
        let ready = Ready::in_memory(door, LIMIT);
        let link = Arc::new(Link::of_visitor(ready, LIMIT, Stock::default()));
        let stream = link.open().unwrap();
        let (incoming, outgoing) = (Seal::keyed([2; 32]), Seal::keyed([1; 32]));
        (Self { line, incoming, outgoing, _link: link }, stream)
    }

    async fn say(&mut self, body: Body) {
        let (head, payload) = self.outgoing.encode(Frame { stream: 1, body }).unwrap();
        let words = [&head[..], &payload].concat();
        timeout(LIMIT, self.line.write_all(&words)).await.unwrap().unwrap();
    }

    /// What it is told next.
    async fn hear(&mut self) -> Message {
        let mut head = [0; HEAD_BYTES];
        timeout(LIMIT, self.line.read_exact(&mut head)).await.unwrap().unwrap();
        let head = Head::parse(&head).unwrap();
        let mut payload = vec![0; head.length()];
        timeout(LIMIT, self.line.read_exact(&mut payload)).await.unwrap().unwrap();
        match self.incoming.decode(&head, payload.into()).unwrap().body {
            Body::Message(message) => message,
            other => panic!("{other:?}"),
        }
    }
}

/// Lets everybody else do what can be done now.
async fn others() {
    for _ in 0..100 {
        yield_now().await;
    }
}

/// Says things until nothing more fits on the line.
async fn fill(stream: &Stream) {
    loop {
        tokio::select! {
            biased;
            said = stream.say(Message::Working) => said.unwrap(),
            () = others() => return,
        }
    }
}

/// Who asks whether there is a place, and waits for one all the same, gets the next one.
#[tokio::test]
async fn a_place_that_was_asked_for_is_left_to_who_waits() {
    let (pieces, mut outflow) = mpsc::channel(1);
    let mut sink = Sink::new(Outflow::new(pieces, None));
    sink.ready(3).await;
    sink.write(b"one").unwrap();
    assert_eq!(sink.ready_now(3), None, "the queue is full");
    let writing = tokio::task::spawn_blocking(move || sink.write(b"two"));
    for piece in [b"one", b"two"] {
        let next = timeout(LIMIT, outflow.recv()).await;
        let Outgoing { body, .. } = next.expect("the writer waits for good").unwrap();
        assert_eq!(Body::from(body), Body::Data(piece[..].into()));
    }
    writing.await.unwrap().unwrap();
}

/// A disk that is full while room is granted, on a line that is full: what comes after the refusal
/// would count for the next transfer, beyond what may wait there.
#[tokio::test]
async fn no_room_is_granted_after_a_refusal() {
    let (mut visitor, mut stream) = Visitor::new();
    let frames = WINDOW / 2;
    for _ in 0..frames {
        visitor.say(Body::Data(vec![0].into())).await;
    }
    fill(&stream).await;
    let (pieces, mut inflow) = mpsc::channel(IN_HAND);
    let (fails, failed) = oneshot::channel();
    let store = async move {
        for _ in 0..frames {
            inflow.recv().await.unwrap();
        }
        // The room for them is being granted.
        others().await;
        fails.send(()).unwrap();
        Err(TransportError::retryable(Kind::Space, Operation::Store, "as planned"))
    };
    let host = async move {
        let reply = take_in(&mut stream, pieces, store).await.unwrap();
        assert_eq!(reply, None, "it is said");
    };
    let words = async move {
        failed.await.unwrap();
        let mut words = Vec::new();
        loop {
            let word = visitor.hear().await;
            if matches!(word, Message::Refused(_)) {
                visitor.say(Body::Message(Message::Abort)).await;
            }
            let last = word == Message::Close;
            if word != Message::Working {
                words.push(word);
            }
            if last {
                return words;
            }
        }
    };
    let ((), words) = tokio::join!(host, words);
    assert!(
        matches!(words[..], [Message::Credit { .. }, Message::Refused(_), Message::Close]),
        "{words:?}"
    );
}
