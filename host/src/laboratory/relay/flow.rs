//! What passes in one direction: how much, and how fast.

use std::{
    io,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{io::AsyncWriteExt, net::tcp::OwnedWriteHalf, time::sleep};

use crate::locks::lock;

/// A pause that is not worth its waking.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);

/// One direction of a relay, over all connections.
#[derive(Debug)]
pub(super) struct Flow {
    carried: AtomicU64,
    bytes_per_second: Option<u64>,
    /// When the next bytes are due.
    due: Mutex<Option<Instant>>,
}

impl Flow {
    pub(super) fn new(bytes_per_second: Option<u64>) -> Self {
        Self { carried: AtomicU64::new(0), bytes_per_second, due: Mutex::default() }
    }

    /// Bytes that were handed on.
    pub(super) fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }

    /// Hands bytes on at their pace.
    pub(super) async fn pass(&self, bytes: &[u8], to: &mut OwnedWriteHalf) -> io::Result<()> {
        self.pause(bytes.len()).await;
        to.write_all(bytes).await?;
        self.carried.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Waits until so many bytes are due.
    async fn pause(&self, bytes: usize) {
        let Some(rate) = self.bytes_per_second else { return };
        let pause = {
            let (mut due, now) = (lock(&self.due), Instant::now());
            let begins = due.map_or(now, |due| due.max(now));
            *due = Some(begins + Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64));
            begins - now
        };
        if pause >= SHORTEST_PAUSE {
            sleep(pause).await;
        }
    }
}
