//! Sources and sinks for tests: fixed content, collected content, and ends that fail, panic
//! or wait at a chosen byte.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use ferryway_core::bytes::{ByteSink, ByteSource, Sink, Source};
use tokio::sync::watch;

/// What a test's source or sink does when it has passed its bytes.
#[derive(Clone, Debug)]
pub enum Then {
    /// It ends.
    End,
    /// It fails.
    Fail,
    /// It panics.
    Panic,
    /// It blocks its thread until the gate opens, then ends.
    Wait(Gate),
}

/// Repeatable bytes without a pattern that a lost or doubled chunk could hide in.
pub fn content(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // Marsaglia's xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A source of these bytes, in chunks as large as the reader takes.
pub fn source(bytes: impl Into<Vec<u8>>) -> Source {
    source_then(bytes, usize::MAX, Then::End)
}

/// A source of these bytes in chunks of at most `step`, which then does as told.
pub fn source_then(bytes: impl Into<Vec<u8>>, step: usize, then: Then) -> Source {
    Source::new(Content { bytes: bytes.into(), given: 0, step, then })
}

/// What a [`sink`](Collected::sink) has taken; a handle on shared state.
#[derive(Clone, Debug, Default)]
pub struct Collected(Arc<Mutex<Vec<u8>>>);

impl Collected {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A sink that collects here.
    pub fn sink(&self) -> Sink {
        self.sink_then(usize::MAX, Then::End)
    }

    /// A sink that collects `room` bytes here and then does as told.
    pub fn sink_then(&self, room: usize, then: Then) -> Sink {
        Sink::new(Collecting { into: self.clone(), room, then })
    }

    /// What was taken so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holds a source or sink back, and tells when it has come so far. Dropping the last handle
/// that a test holds does not open it: [`open`](Self::open) does.
#[derive(Clone, Debug)]
pub struct Gate(Arc<GateState>);

#[derive(Debug)]
struct GateState {
    open: Mutex<bool>,
    opened: Condvar,
    reached: watch::Sender<usize>,
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        let state = GateState {
            open: Mutex::new(false),
            opened: Condvar::new(),
            reached: watch::Sender::new(0),
        };
        Self(Arc::new(state))
    }

    /// Waits until so many sources and sinks have come to the gate. Callers set the time
    /// limit.
    pub async fn reached(&self, number: usize) {
        let mut reached = self.0.reached.subscribe();
        // The sender lives as long as `self`.
        let _reached = reached.wait_for(|&reached| reached >= number).await;
    }

    /// Lets everybody pass, now and later.
    pub fn open(&self) {
        *self.0.open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.opened.notify_all();
    }

    fn pass(&self) {
        self.0.reached.send_modify(|reached| *reached += 1);
        let open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        let _open = self.0.opened.wait_while(open, |open| !*open);
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Then {
    fn act(&self) -> io::Result<()> {
        match self {
            Self::End => Ok(()),
            Self::Fail => Err(io::Error::other("the test's stream fails as planned")),
            Self::Panic => planned_panic(),
            Self::Wait(gate) => {
                gate.pass();
                Ok(())
            }
        }
    }
}

/// Panics, which is what the test wants.
#[expect(clippy::panic, reason = "a transport must survive a panic of the host's streams")]
fn planned_panic() -> ! {
    panic!("the test's stream panics as planned")
}

struct Content {
    bytes: Vec<u8>,
    given: usize,
    step: usize,
    then: Then,
}

impl ByteSource for Content {
    fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        let rest = &self.bytes[self.given..];
        if rest.is_empty() {
            self.then.act()?;
            return Ok(0);
        }
        let length = rest.len().min(self.step).min(chunk.len());
        chunk[..length].copy_from_slice(&rest[..length]);
        self.given += length;
        Ok(length)
    }
}

struct Collecting {
    into: Collected,
    room: usize,
    then: Then,
}

impl ByteSink for Collecting {
    fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        let length = chunk.len().min(self.room);
        self.into.lock().extend_from_slice(&chunk[..length]);
        self.room -= length;
        if length < chunk.len() {
            self.then.act()?;
            // Whoever waited takes the rest.
            self.into.lock().extend_from_slice(&chunk[length..]);
            self.room = usize::MAX;
        }
        Ok(())
    }
}
