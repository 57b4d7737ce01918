//! Compression: what shrinks takes fewer bytes of the line, both ways, and offsets stay those of the
//! file.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use ferryway_core::{
    bytes::{Meter, Sink},
    transport::{Download, Session, Transport, Upload},
};
use ferryway_mocks::streams::{Collected, content, halting_source, source};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::ends::{Ends, Settings};

const BYTES: usize = 4 << 20;

/// A line to the door that counts what it carries, both ways together.
async fn counting_line(to: SocketAddr) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(to).await.unwrap();
            let ((from, back), (answers, on)) = (near.into_split(), far.into_split());
            tokio::spawn(carry(from, on, Arc::clone(&counted)));
            tokio::spawn(carry(answers, back, Arc::clone(&counted)));
        }
    });
    (address, count)
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, count: Arc<AtomicU64>) {
    let mut chunk = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut chunk).await {
        count.fetch_add(read as u64, Ordering::Relaxed);
        if to.write_all(&chunk[..read]).await.is_err() {
            return;
        }
    }
}

/// A session over a counting line.
async fn session(ends: &Ends, compress: &str) -> (Box<dyn Session>, Arc<AtomicU64>) {
    let (line, count) = counting_line(ends.address()).await;
    let mut partner = ends.partner_with(&format!("{}{compress}", ends.settings.visitor));
    partner.settings.insert("port".to_owned(), i64::from(line.port()).into());
    (ends.socket.connect(partner).await.unwrap(), count)
}

async fn store(session: &mut dyn Session, path: &str, offset: u64, bytes: &[u8]) {
    let (source, length) = (source(bytes), bytes.len() as u64);
    let upload =
        Upload { path: path.parse().unwrap(), offset, length, source, meter: Meter::new() };
    let meter = Arc::clone(&upload.meter);
    assert_eq!(session.store(upload).await.unwrap().bytes, length);
    assert_eq!(meter.bytes(), length, "progress counts the bytes of the file");
}

/// What a store and a fetch of `bytes` take of the line, for each byte of the file.
async fn share(compress: &str, bytes: Vec<u8>) -> f64 {
    let ends = Ends::new(Settings::plain()).await;
    let (mut session, count) = session(&ends, compress).await;
    let half = bytes.len() / 2;
    store(&mut *session, "in/a", 0, &bytes[..half]).await;
    store(&mut *session, "in/a", half as u64, &bytes[half..]).await;
    assert!(ends.house.memory.partner().bytes("in/a").unwrap() == bytes, "other bytes were stored");
    let (sink, kept) = Sink::in_memory(bytes.len());
    let (path, meter) = ("in/a".parse().unwrap(), Meter::new());
    let fetched = session.fetch(Download { path, offset: half as u64, sink, meter }).await;
    assert_eq!(fetched.unwrap(), (bytes.len() - half) as u64);
    assert!(kept.take() == bytes[half..], "other bytes were fetched");
    count.load(Ordering::Relaxed) as f64 / (1.5 * bytes.len() as f64)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_shrinks_takes_less_of_the_line() {
    let text = b"2026-01-01 PRDY014 completed; ".repeat(BYTES / 30);
    let packed = share("compress = 'zstd'\n", text.clone()).await;
    assert!(packed < 0.1, "{packed}");
    let plain = share("compress = 'none'\n", text).await;
    assert!((1.0..1.01).contains(&plain), "{plain}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_shrink_takes_no_more() {
    let noise = share("compress = 'zstd'\n", content(BYTES, 3)).await;
    assert!((1.0..1.01).contains(&noise), "{noise}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_and_a_sink_are_used_when_they_are_ready() {
    for compress in ["compress = 'zstd'\n", "compress = 'none'\n"] {
        let ends = Ends::new(Settings::plain()).await;
        let (mut session, _) = session(&ends, compress).await;
        let bytes = content(10_000, 5);
        let (path, meter) = ("in/a".parse().unwrap(), Meter::new());
        let source = halting_source(&*bytes, 999);
        session.store(Upload { path, offset: 0, length: 10_000, source, meter }).await.unwrap();
        assert!(ends.house.memory.partner().bytes("in/a").unwrap() == bytes, "{compress}");
        let kept = Collected::new();
        let (path, meter) = ("in/a".parse().unwrap(), Meter::new());
        let sink = kept.halting_sink(999);
        session.fetch(Download { path, offset: 0, sink, meter }).await.unwrap();
        assert!(kept.bytes() == bytes, "{compress}");
    }
}
