//! A host's end of a connection against a visitor that keeps to no rules, over a line in memory.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncWrite, DuplexStream, duplex};

use super::*;
use crate::frame::{Answer, CHUNK_BYTES, Offer, WINDOW};

const LIMIT: Duration = Duration::from_secs(20);

/// Streams that the door serves.
const SERVED: usize = 4;

/// Bytes on the line until somebody reads.
const LINE_BYTES: usize = 64;

/// What becomes of a stream that the host takes in.
type Serve = fn(Stream, mpsc::UnboundedSender<Stream>);

/// The visitor, the host's end, and the streams that this end keeps.
struct Ends {
    visitor: DuplexStream,
    seal: Seal,
    host: Link,
    places: Arc<Places>,
    kept: mpsc::UnboundedReceiver<Stream>,
}

impl Ends {
    fn new(serve: Serve) -> Self {
        let (visitor, door) = duplex(LINE_BYTES);
        let ready = Ready::in_memory(door, LIMIT);
        let (keep, kept) = mpsc::unbounded_channel();
        let places = Arc::new(Places::new(SERVED));
        let on_open: OnOpen = Box::new(move |stream, _opening| serve(stream, keep.clone()));
        let host = Link::of_host(ready, LIMIT, Stock::default(), Arc::clone(&places), on_open);
        Self { visitor, seal: Seal::keyed([1; 32]), host, places, kept }
    }

    /// Says something as the visitor; `false` when the host has hung up.
    async fn say(&mut self, stream: u32, body: Body) -> bool {
        let (head, payload) = self.seal.encode(Frame { stream, body }).unwrap();
        let bytes = [&head[..], &payload].concat();
        timeout(LIMIT, self.visitor.write_all(&bytes)).await.unwrap().is_ok()
    }

    async fn over(&self) -> Failure {
        timeout(LIMIT, self.host.over()).await.expect("the connection is cut")
    }

    fn living(&self) -> usize {
        2 * SERVED - self.places.free.available_permits()
    }

    /// Waits until so many streams live.
    async fn until_living(&self, count: usize) {
        let freed = self.places.free.acquire_many((2 * SERVED - count) as u32);
        drop(timeout(LIMIT, freed).await.expect("streams live for ever").unwrap());
        assert_eq!(self.living(), count);
    }
}

fn open() -> Body {
    let (host, instance) = ("flood.example".to_owned(), "flood".to_owned());
    Body::Message(Message::Open { host, instance, epoch: 1 })
}

fn opened() -> Offer {
    Offer {
        resume: true,
        replaces: true,
        checksums: Vec::new(),
        notices: true,
        packs: true,
        rooms: 4,
    }
}

/// As the relay does: says that the stream is open, however long that takes.
fn answer(mut stream: Stream, keep: mpsc::UnboundedSender<Stream>) {
    tokio::spawn(async move {
        let said = stream.say_opened(opened()).await;
        if said.is_ok() {
            // It is closed by then, or the visitor has read the answer.
            while stream.wait().await.is_ok() {}
        }
        drop(keep);
    });
}

/// Streams that are opened and closed at once by a visitor that does not read: the living are
/// counted, not those that the visitor has not closed.
#[tokio::test]
async fn a_flood_of_streams_that_are_closed_at_once() {
    let mut ends = Ends::new(answer);
    let mut most = 0;
    let mut number = 0;
    let cut = loop {
        number += 1;
        assert!(number < 1000, "{most} streams live");
        let goes_on =
            ends.say(number, open()).await && ends.say(number, Body::Message(Message::Close)).await;
        most = most.max(ends.living());
        if !goes_on {
            break ends.over().await;
        }
    };
    assert!(matches!(cut, Failure::Crowd), "{cut}");
    assert!((SERVED..=2 * SERVED).contains(&most), "{most}");
    // All of them end with the connection.
    ends.until_living(0).await;
}

/// Good-byes that nobody reads keep the places of their streams until they are in line.
#[tokio::test]
async fn a_flood_of_streams_that_the_host_closes() {
    let mut ends = Ends::new(|stream, _| drop(stream));
    let mut number = 0;
    while ends.say(number + 1, open()).await {
        number += 1;
        assert!(number < 1000, "{} streams live", ends.living());
    }
    assert!(matches!(ends.over().await, Failure::Crowd));
    assert!(number as usize >= WAITING + 2 * SERVED, "{number}");
    ends.until_living(0).await;
}

/// Nothing of a file is kept for a stream that the host has not said to be open.
#[tokio::test]
async fn data_on_a_stream_that_is_not_open_yet() {
    let keep: Serve = |stream, keep| drop(keep.send(stream));
    let mut ends = Ends::new(keep);
    assert!(ends.say(1, open()).await);
    let mut stream = timeout(LIMIT, ends.kept.recv()).await.unwrap().unwrap();
    let data = || Body::Data(vec![0; CHUNK_BYTES].into());
    stream.say_opened(opened()).await.unwrap();
    assert!(ends.say(1, data()).await, "an open stream takes data");
    assert_eq!(timeout(LIMIT, stream.wait()).await.unwrap().unwrap(), data());
    assert!(ends.say(2, open()).await);
    ends.say(2, data()).await;
    let cut = ends.over().await;
    assert!(matches!(&cut, Failure::Garbage(why) if why.contains("not open yet")), "{cut}");
}

/// What nobody has granted is not kept, however much a window could grow.
#[tokio::test]
async fn more_frames_than_were_granted() {
    let keep: Serve = |stream, keep| drop(keep.send(stream));
    let mut ends = Ends::new(keep);
    assert!(ends.say(1, open()).await);
    let stream = timeout(LIMIT, ends.kept.recv()).await.unwrap().unwrap();
    stream.say_opened(opened()).await.unwrap();
    let mut said = 0;
    while said < INBOUND && ends.say(1, Body::Data(vec![0; CHUNK_BYTES].into())).await {
        said += 1;
    }
    let cut = ends.over().await;
    assert!(matches!(&cut, Failure::Garbage(why) if why.contains("granted")), "{cut}");
    assert!(said <= 2 * WINDOW as usize + 1, "{said}");
}

/// A compressed frame that stands for more than a frame may carry is no data.
#[tokio::test]
async fn a_bomb() {
    let keep: Serve = |stream, keep| drop(keep.send(stream));
    let mut ends = Ends::new(keep);
    assert!(ends.say(1, open()).await);
    let mut stream = timeout(LIMIT, ends.kept.recv()).await.unwrap().unwrap();
    stream.say_opened(opened()).await.unwrap();
    let packed = |length| Body::Packed(zstd::bulk::compress(&vec![0; length], 1).unwrap().into());
    assert!(ends.say(1, packed(CHUNK_BYTES)).await);
    let heard = timeout(LIMIT, stream.wait()).await.unwrap().unwrap();
    assert_eq!(heard, Body::Data(vec![0; CHUNK_BYTES].into()));
    assert!(ends.say(1, packed(CHUNK_BYTES + 1)).await);
    let heard = timeout(LIMIT, stream.wait()).await.unwrap();
    assert!(matches!(heard, Err(Failure::Garbage(_))), "{heard:?}");
}

/// What cannot be encoded ends the stream that wanted to say it, and no other.
#[tokio::test]
async fn a_word_that_cannot_be_said() {
    let keep: Serve = |stream, keep| drop(keep.send(stream));
    let mut ends = Ends::new(keep);
    let mut streams = Vec::new();
    for number in [1, 2] {
        assert!(ends.say(number, open()).await);
        streams.push(timeout(LIMIT, ends.kept.recv()).await.unwrap().unwrap());
    }
    let modified = Some(std::time::SystemTime::UNIX_EPOCH - Duration::from_secs(1));
    let stat = Answer::Stat { folder: false, size: None, modified };
    streams[0].say(Message::Done(stat)).await.unwrap();
    let ended = timeout(LIMIT, streams[0].wait()).await.expect("the stream is over");
    assert!(matches!(ended, Err(Failure::Closed)), "{ended:?}");
    let mut head = [0; HEAD_BYTES];
    timeout(LIMIT, ends.visitor.read_exact(&mut head)).await.unwrap().unwrap();
    let head = Head::parse(&head).unwrap();
    let mut payload = Buffer::of(head.length());
    timeout(LIMIT, ends.visitor.read_exact(&mut payload)).await.unwrap().unwrap();
    let told = Seal::keyed([2; 32]).decode(&head, payload).unwrap();
    assert_eq!(told, message(1, Message::Close));
    assert!(ends.say(2, Body::Message(Message::Abort)).await);
    let heard = timeout(LIMIT, streams[1].wait()).await.unwrap().unwrap();
    assert_eq!(heard, Body::Message(Message::Abort));
}

/// Tells how much it takes at a time.
struct Telling(mpsc::UnboundedSender<usize>);

impl AsyncWrite for Telling {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.send(bytes.len()).unwrap();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn small_words_that_wait_go_out_in_one_go_and_no_large_one_is_copied() {
    let (_far, near) = duplex(LINE_BYTES);
    let (told, mut writes) = mpsc::unbounded_channel();
    let ready = Ready { writer: Box::new(Telling(told)), ..Ready::in_memory(near, LIMIT) };
    let link = Arc::new(Link::of_visitor(ready, LIMIT, Stock::default()));
    let mut stream = link.open().unwrap();
    // On a runtime of one thread the writer has its turn when all are in line.
    for bytes in [10, CHUNK_BYTES, 20] {
        stream.send(Body::Data(vec![7; bytes].into())).await.unwrap();
    }
    let mut written = Vec::new();
    while written.iter().sum::<usize>() < 3 * HEAD_BYTES + 10 + CHUNK_BYTES + 20 {
        written.push(timeout(LIMIT, writes.recv()).await.unwrap().unwrap());
    }
    let start = 2 * HEAD_BYTES + 10 + SMALL_BYTES;
    assert_eq!(written, [start, CHUNK_BYTES - SMALL_BYTES, HEAD_BYTES + 20]);
}
