//! What was said on the control connections.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::timeout};

/// Every command and reply of a server in their order; a handle on shared state. Passwords
/// are masked.
#[derive(Clone)]
pub struct Transcript(Arc<Inner>);

struct Inner {
    entries: Mutex<Vec<Entry>>,
    length: watch::Sender<usize>,
}

/// One line of a transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Number of the session, from 1.
    pub session: u64,
    /// Who said it.
    pub side: Side,
    /// The line without its end.
    pub text: String,
    /// When it was said.
    pub at: Instant,
}

/// Who said a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A command.
    Client,
    /// A reply; each line of a long one by itself.
    Server,
    /// Nobody: an event such as a data connection with its addresses.
    Event,
}

impl Transcript {
    /// An empty transcript.
    pub fn new() -> Self {
        let length = watch::Sender::new(0);
        Self(Arc::new(Inner { entries: Mutex::default(), length }))
    }

    /// All lines so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().clone()
    }

    /// The commands so far, of all sessions.
    pub fn commands(&self) -> Vec<String> {
        let entries = self.lock();
        let commands = entries.iter().filter(|entry| entry.side == Side::Client);
        commands.map(|entry| entry.text.clone()).collect()
    }

    /// How many commands start with this verb.
    pub fn count(&self, verb: &str) -> usize {
        let is_it = |line: &String| line.split(' ').next() == Some(verb);
        self.commands().iter().filter(|line| is_it(line)).count()
    }

    /// Waits until a line satisfies `wanted` and returns it; `None` after `limit`.
    pub async fn wait_for(
        &self,
        limit: Duration,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Option<Entry> {
        let mut length = self.0.length.subscribe();
        let found = async {
            loop {
                length.borrow_and_update();
                if let Some(entry) = self.lock().iter().find(|entry| wanted(entry)) {
                    return Some(entry.clone());
                }
                // The sender lives as long as `self`.
                length.changed().await.ok()?;
            }
        };
        timeout(limit, found).await.ok().flatten()
    }

    pub(super) fn record(&self, session: u64, side: Side, text: impl Into<String>) {
        let mut entries = self.lock();
        entries.push(Entry { session, side, text: text.into(), at: Instant::now() });
        self.0.length.send_replace(entries.len());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Transcript {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.side {
            Side::Client => '>',
            Side::Server => '<',
            Side::Event => '*',
        };
        write!(f, "{} {mark} {}", self.session, self.text)
    }
}

impl fmt::Display for Transcript {
    /// One line an entry with the seconds since the first, to be printed by a failing test.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries();
        let Some(first) = entries.first() else { return Ok(()) };
        entries.iter().try_for_each(|entry| {
            let since = entry.at.duration_since(first.at).as_secs_f64();
            writeln!(f, "{since:8.3} {entry}")
        })
    }
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transcript({} lines)", self.lock().len())
    }
}
