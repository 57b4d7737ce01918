//! Sources and sinks for tests: fixed content, collected content, and ends that fail, panic
//! or wait at a chosen byte.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
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
    /// It is never ready again, and fails when it is used all the same.
    Halt,
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

/// A source of these bytes that is ready every other time it is asked, for `step` of them. It fails
/// when more are read, or when it is not ready.
pub fn halting_source(bytes: impl Into<Vec<u8>>, step: usize) -> Source {
    let content = Content { bytes: bytes.into(), given: 0, step, then: Then::End };
    Source::new(Halting { stream: content, step, ready: false })
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

    /// A sink that collects here and is ready as a [`halting_source`] is.
    pub fn halting_sink(&self, step: usize) -> Sink {
        let stream = Collecting { into: self.clone(), room: usize::MAX, then: Then::End };
        Sink::new(Halting { stream, step, ready: false })
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
            Self::Halt => Err(io::Error::other("the test's stream was not ready")),
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

    fn poll_ready(&mut self, bytes: usize, _: &mut Context<'_>) -> Poll<usize> {
        match self.then {
            Then::Halt if self.given == self.bytes.len() => Poll::Pending,
            _ => Poll::Ready(bytes),
        }
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

    fn poll_ready(&mut self, bytes: usize, _: &mut Context<'_>) -> Poll<usize> {
        match (&self.then, self.room) {
            (Then::Halt, 0) => Poll::Pending,
            (Then::Halt, room) => Poll::Ready(room.min(bytes)),
            _ => Poll::Ready(bytes),
        }
    }
}

struct Halting<T> {
    stream: T,
    step: usize,
    ready: bool,
}

impl<T> Halting<T> {
    fn check(&mut self, bytes: usize) -> io::Result<()> {
        match std::mem::take(&mut self.ready) {
            true if bytes <= self.step => Ok(()),
            true => Err(io::Error::other("the test's stream was not ready for so much")),
            false => Then::Halt.act(),
        }
    }

    fn poll(&mut self, bytes: usize, context: &mut Context<'_>) -> Poll<usize> {
        if self.ready {
            return Poll::Ready(self.step.min(bytes));
        }
        self.ready = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl ByteSource for Halting<Content> {
    fn read(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        self.check(chunk.len())?;
        self.stream.read(chunk)
    }

    fn poll_ready(&mut self, bytes: usize, context: &mut Context<'_>) -> Poll<usize> {
        self.poll(bytes, context)
    }
}

impl ByteSink for Halting<Collecting> {
    fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.check(chunk.len())?;
        self.stream.write(chunk)
    }

    fn poll_ready(&mut self, bytes: usize, context: &mut Context<'_>) -> Poll<usize> {
        self.poll(bytes, context)
    }
}
