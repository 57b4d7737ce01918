//! Peers that do what they should not: each is cut off within its limits, told of with its
//! cause, and nobody else suffers.

use std::time::{Duration, Instant};

use ferryway_core::{Kind, reception::Cause};
use ferryway_mocks::streams::content;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::ends::{Ends, LIMIT, Settings};

const GREETING_BYTES: usize = 48;

/// A greeting of this version without protection.
fn greeting() -> Vec<u8> {
    let mut bytes = b"FERRYWAY".to_vec();
    bytes.extend([0, 3, 0, 0, 0, 0, 0x75, 0x30]);
    bytes.resize(GREETING_BYTES, 7);
    bytes
}

/// What a stranger gets who says this and then nothing more; it must end.
async fn say(ends: &Ends, words: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(ends.address()).await.unwrap();
    stream.write_all(words).await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(LIMIT, stream.read_to_end(&mut answer)).await;
    // A connection that is cut with words unread is reset.
    let _reset = read.expect("the door hangs up");
    answer
}

async fn still_serves(ends: &Ends) {
    let mut session = ends.session().await;
    timeout(LIMIT, session.ping()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage() {
    let ends = Ends::new(Settings::plain()).await;
    for (words, cause) in [
        (&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], Cause::Garbage),
        (&content(4096, 1), Cause::Garbage),
        // Too few to tell what they are.
        (b"\x16\x03\x01\x02\x00\x01\x00", Cause::Silence),
    ] {
        assert_eq!(say(&ends, words).await, b"");
        ends.house.turned_away(cause).await;
    }
    still_serves(&ends).await;
    assert_eq!(ends.house.rebuffs(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version() {
    let ends = Ends::new(Settings::plain()).await;
    let mut words = greeting();
    words[9] = 9;
    let answer = say(&ends, &words).await;
    // It learns our version.
    assert_eq!((&answer[..8], &answer[8..10]), (&b"FERRYWAY"[..], &[0, 3][..]));
    let rebuff = ends.house.turned_away(Cause::Version).await;
    assert!(rebuff.detail.contains('9'), "{rebuff:?}");
    still_serves(&ends).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_none() {
    let ends = Ends::new(Settings::plain()).await;
    let oversized = [&[0xff_u8, 0xff, 0xff, 0xff, 0, 0, 0, 1, 1][..], &[0; 16]].concat();
    let untagged = [&[0_u8, 0, 0, 1, 0, 0, 0, 1, 0][..], &[0; 16], &[0]].concat();
    let unknown = [&[0_u8, 0, 0, 1, 0, 0, 0, 1, 77][..], &[0; 16], &[0]].concat();
    for (frame, word) in [(oversized, "longer"), (untagged, "changed"), (unknown, "kind 77")] {
        let answer = say(&ends, &[greeting(), frame].concat()).await;
        assert!(answer.len() >= GREETING_BYTES, "it was not greeted");
        let rebuff = ends.house.turned_away(Cause::Garbage).await;
        assert!(rebuff.detail.contains(word), "{rebuff:?}");
    }
    still_serves(&ends).await;
    assert_eq!(ends.house.rebuffs(), []);
}

/// Whatever stands in place of some bytes of a visitor's first words, the door hangs up.
#[tokio::test(flavor = "multi_thread")]
async fn any_words() {
    const ROUNDS: u64 = 500;
    let ends = Ends::new(Settings::plain()).await;
    let open = [&[0_u8, 0, 0, 9, 0, 0, 0, 1, 0][..], &[0; 16], &[0, 1, b'a', 1, b'b', 1]].concat();
    for seed in 0..ROUNDS {
        let mut words = [greeting(), open.clone()].concat();
        let random = content(10, seed);
        for pair in random[..8].chunks_exact(2) {
            let length = words.len();
            words[usize::from(pair[0]) % length] = pair[1];
        }
        words.truncate(usize::from(random[8]));
        let mut stream = TcpStream::connect(ends.address()).await.unwrap();
        stream.write_all(&words).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _reset = timeout(LIMIT, stream.read_to_end(&mut answer)).await.expect("it hangs up");
    }
    let garbage = ends.house.rebuffs().iter().filter(|r| r.cause == Cause::Garbage).count();
    assert!(garbage as u64 > ROUNDS / 10, "{garbage} of {ROUNDS} were garbage");
    still_serves(&ends).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_frame_and_silence() {
    let settings = Settings::same("security = 'plain'\ntimeout_s = 1\n");
    let ends = Ends::new(settings).await;
    let started = Instant::now();
    let half = [&[0_u8, 0, 0, 1, 0, 0, 0, 1, 0][..], &[0; 5]].concat();
    say(&ends, &[greeting(), half].concat()).await;
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    ends.house.turned_away(Cause::Silence).await;
    still_serves(&ends).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_at_all() {
    let ends = Ends::new(Settings::plain()).await;
    let started = Instant::now();
    assert_eq!(say(&ends, b"FERRY").await, b"");
    let took = started.elapsed();
    assert!(took < Duration::from_secs(15), "{took:?}");
    ends.house.turned_away(Cause::Silence).await;
}

/// More sessions than there is room for are refused in words, and room that is given back is
/// used again.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_beyond_the_limit() {
    use ferryway_core::transport::Transport;
    let ends = Ends::with_sessions(Settings::plain(), 2).await;
    // The host, which lets everybody in here, is asked about twice as many.
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(ends.session().await);
    }
    let error = ends.socket.connect(ends.partner()).await.err().expect("there is no room");
    assert_eq!(error.kind(), Kind::Refused, "{error:?}");
    drop(sessions.pop());
    let started = Instant::now();
    while let Err(error) = ends.socket.connect(ends.partner()).await {
        assert!(started.elapsed() < LIMIT, "{error}");
    }
}

/// Numbers that no journal can hold are no epochs.
#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_out_of_reach() {
    use ferryway_core::{Class, Epoch, transport::Transport};
    let ends = Ends::new(Settings::plain()).await;
    for number in [i64::MAX as u64 + 1, u64::MAX] {
        let mut partner = ends.partner();
        partner.ours.epoch = Epoch::new(number).unwrap();
        let error = ends.socket.connect(partner).await.err().expect("it is refused");
        assert_eq!((error.kind(), error.class()), (Kind::Login, Class::Permanent), "{error}");
        assert!(format!("{error:?}").contains("no epoch"), "{error:?}");
    }
    still_serves(&ends).await;
}
