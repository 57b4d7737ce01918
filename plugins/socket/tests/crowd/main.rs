//! A crowd at the door, in a process of its own: its memory is measured.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(unreachable_pub, dead_code, reason = "the modules of a test are no interface")]

#[path = "../socket/ends.rs"]
mod ends;

use std::time::Instant;

use ferryway_core::{reception::Cause, transport::Transport};
use tokio::{net::TcpStream, time::timeout};

use ends::{Ends, LIMIT, Settings};

/// One address opens 5,000 connections and says nothing: few are kept, nobody inside notices,
/// and memory stays where it was.
#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_connections() {
    let ends = Ends::new(Settings::plain()).await;
    let mut inside = ends.session().await;
    let before = resident();
    let mut kept = Vec::new();
    for n in 0..5000 {
        let stream = TcpStream::connect(ends.address()).await.unwrap();
        // Our own files are limited, too; those at the door are the first to come.
        if kept.len() < 100 {
            kept.push(stream);
        }
        if n % 500 == 0 {
            timeout(LIMIT, inside.ping()).await.expect("who is inside is served").unwrap();
        }
    }
    timeout(LIMIT, inside.ping()).await.unwrap().unwrap();
    let grown = resident().saturating_sub(before);
    for _ in 0..4900 {
        ends.house.turned_away(Cause::Crowd).await;
    }
    eprintln!("5000 connections: 4900 turned away, {} KiB more resident", grown / 1024);
    assert!(grown < 32 << 20, "{grown} bytes more");
    drop(kept);
    // The places at the door are free again.
    let started = Instant::now();
    loop {
        match ends.socket_of_its_own().await {
            Ok(()) => break,
            Err(_) if started.elapsed() < LIMIT => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

impl Ends {
    /// A connection that shares nothing with the others.
    async fn socket_of_its_own(&self) -> ferryway_core::transport::Result<()> {
        let socket = ferryway_socket::Socket::default();
        socket.connect(self.partner()).await?.ping().await
    }
}

/// Bytes of this process in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = status.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}
