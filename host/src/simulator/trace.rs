//! The story of one run: what happened to the nodes, on the wire and in the journal, with times.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::Mutex,
    time::{Duration, Instant},
};

use ferryway_core::JobId;
use ferryway_mocks::ftp_server::{Entry, Side, Transfer};
use jiff::Timestamp;

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

    /// Adds what a server heard and said.
    pub(super) fn add_wire(&self, server: &str, said: &[Entry]) {
        let nodes = users(said);
        for entry in said {
            let kind = match entry.side {
                Side::Client => Kind::Command,
                Side::Server => Kind::Answer,
                Side::Event => Kind::Connection,
            };
            let node = nodes.get(&entry.session).map_or("somebody", String::as_str);
            let who = format!("{node}.{}@{server}", entry.session);
            self.push(entry.at, who, kind, entry.text.clone());
        }
    }

    /// Adds a job's record.
    pub(super) fn add_journal(&self, job: &JobId, entries: &[record::Entry]) {
        for entry in entries {
            let after = Duration::try_from(entry.at.duration_since(self.began_at));
            let at = self.began + after.unwrap_or_default();
            let event =
                entry.event.map_or_else(|| "noted".to_owned(), |event| format!("{event:?}"));
            let note = entry.note.as_deref().unwrap_or_default();
            let what = format!("e{} {event} -> {} {note}", entry.epoch, entry.status.code());
            self.push(at, format!("journal {job}"), Kind::Journal, what);
        }
    }

    /// Adds the uploads of what a server received.
    pub(super) fn add_uploads(&self, said: &[Entry], uploads: &[Transfer]) {
        let nodes = users(said);
        let bar = |upload: &Transfer| {
            let ended = upload.ended_at.or(upload.last_byte_at).unwrap_or(upload.opened_at);
            Some(Bar {
                who: nodes.get(&upload.session)?.clone(),
                from: self.since(upload.opened_at),
                to: self.since(ended),
                bytes: upload.bytes,
            })
        };
        lock(&self.uploads).extend(uploads.iter().filter_map(bar));
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

/// Which node each session logged in as.
pub(super) fn users(said: &[Entry]) -> BTreeMap<u64, String> {
    let user = |entry: &Entry| {
        let user = entry.text.strip_prefix("USER ").filter(|_| entry.side == Side::Client)?;
        Some((entry.session, user.to_owned()))
    };
    said.iter().filter_map(user).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::laboratory::wire::tests::said;

    #[test]
    fn sessions_bear_the_name_they_logged_in_as() {
        let trace = Trace::new();
        trace.event("alpha", "frozen");
        trace.add_wire("partner", &said(&["USER alpha", "331 Password.", "STOR in/a"]));
        let text = tell(&trace.lines());
        for line in ["alpha              ** frozen", "alpha.1@partner    -> STOR in/a"] {
            assert!(text.contains(line), "{text}");
        }
    }
}
