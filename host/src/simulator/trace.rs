//! The story of one run: what happened to the nodes, on the wire and in the journal, with times.

use std::{
    fmt::Write,
    sync::Mutex,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::traffic::{Said, Traffic};
use crate::{journal::record, locks::lock};

/// Gathers what happens during a run.
#[derive(Debug)]
pub(super) struct Trace {
    began: Instant,
    began_at: Timestamp,
    lines: Mutex<Vec<Line>>,
    uploads: Mutex<Vec<Bar>>,
}

/// An upload in time.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    /// Who sent.
    pub(super) who: String,
    pub(super) from: Duration,
    pub(super) to: Duration,
    /// Bytes that came.
    pub(super) bytes: u64,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Since the beginning of the run.
    pub(super) after: Duration,
    /// Where.
    pub(super) who: String,
    pub(super) kind: Kind,
    pub(super) what: String,
}

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Something became of a node, a disk or a server, by the simulator's doing.
    Event,
    /// A command of a node.
    Command,
    /// A server's answer to it.
    Answer,
    /// A note of the server about its connections.
    Connection,
    /// An entry of the job's record.
    Journal,
}

impl Trace {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            began_at: Timestamp::now(),
            lines: Mutex::default(),
            uploads: Mutex::default(),
        }
    }

    /// Notes an event.
    pub(super) fn event(&self, who: &str, what: impl Into<String>) {
        self.push(Instant::now(), who.to_owned(), Kind::Event, what.into());
    }

    /// Adds what passed between nodes and servers.
    pub(super) fn add_traffic(&self, traffic: &Traffic) {
        for Said { at, who, kind, what } in &traffic.said {
            self.push(*at, who.clone(), *kind, what.clone());
        }
        let bars = traffic.uploads.iter().map(|upload| Bar {
            who: upload.node.clone(),
            from: self.since(upload.from),
            to: self.since(upload.to),
            bytes: upload.bytes,
        });
        lock(&self.uploads).extend(bars);
    }

    /// Adds the record of a job.
    pub(super) fn add_journal(&self, whose: &str, entries: &[record::Entry]) {
        for entry in entries {
            let after = Duration::try_from(entry.at.duration_since(self.began_at));
            let at = self.began + after.unwrap_or_default();
            let event =
                entry.event.map_or_else(|| "noted".to_owned(), |event| format!("{event:?}"));
            let note = entry.note.as_deref().unwrap_or_default();
            let what = format!("e{} {event} -> {} {note}", entry.epoch, entry.status.code());
            self.push(at, whose.to_owned(), Kind::Journal, what);
        }
    }

    /// The uploads, in their order.
    pub(super) fn uploads(&self) -> Vec<Bar> {
        lock(&self.uploads).clone()
    }

    /// When a moment was, since the beginning.
    fn since(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.began)
    }

    /// All lines in the order of time.
    pub(super) fn lines(&self) -> Vec<Line> {
        let mut lines = lock(&self.lines).clone();
        lines.sort_by_key(|line| line.after);
        lines
    }

    fn push(&self, at: Instant, who: String, kind: Kind, what: String) {
        lock(&self.lines).push(Line { after: self.since(at), who, kind, what });
    }
}

/// The story as text, a line each.
pub(super) fn tell(lines: &[Line]) -> String {
    let mut text = String::new();
    for line in lines {
        let mark = match line.kind {
            Kind::Event => "**",
            Kind::Command => "->",
            Kind::Answer => "<-",
            Kind::Connection => "  ",
            Kind::Journal => "##",
        };
        let seconds = line.after.as_secs_f64();
        let _infallible = writeln!(text, "{seconds:>8.3}  {:<18} {mark} {}", line.who, line.what);
    }
    text
}
