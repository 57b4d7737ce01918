//! Everything about one job, for people.

use std::fmt::Display;

use ferryway_core::notice::Standing;
use ferryway_host::{
    control::api::JobView,
    exits::When,
    journal::record::{Entry, Job, Origin},
};
use jiff::Timestamp;

use super::{bytes, clean, percent};
use crate::time;

/// A job and its record as text.
pub(crate) fn detail(view: &JobView, entries: &[Entry], now: Timestamp) -> String {
    let mut lines = Lines::default();
    spec(&mut lines, &view.job);
    status(&mut lines, view, now);
    other_side(&mut lines, &view.job);
    attempt(&mut lines, &view.job);
    exits(&mut lines, &view.job);
    lines.text.push_str("\nRecord\n");
    for entry in entries {
        let event = entry.event.map_or_else(|| "-".to_owned(), |event| format!("{event:?}"));
        let at = time::local_with_zone(entry.at);
        let note = entry.note.as_deref().map(clean).unwrap_or_default();
        let line = format!("  {at}  e{}  {event:<12} {:<20} {note}", entry.epoch, entry.status);
        lines.text.push_str(line.trim_end());
        lines.text.push('\n');
    }
    lines.text
}

#[derive(Default)]
struct Lines {
    text: String,
}

impl Lines {
    fn add(&mut self, name: &str, value: impl Display) {
        let value = clean(&value.to_string());
        self.text.push_str(&format!("{name:<14} {value}\n"));
    }

    fn add_some(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }
}

fn spec(lines: &mut Lines, job: &Job) {
    let spec = &job.spec;
    lines.add("Job", format_args!("{} (run {} of {})", job.id, job.run, spec.definition));
    lines.add("Direction", format_args!("{} {}", spec.direction, to_or_from(job)));
    let local = job.local();
    if !local.as_os_str().is_empty() {
        lines.add("Local file", local.display());
    }
    lines.add("Remote file", job.remote());
    lines.add("Policy", format_args!("publish {}, resume {}", spec.publish, spec.resume));
    lines.add_some("Key", spec.key.as_ref());
    lines.add("Accepted", time::local_with_zone(job.accepted_at));
    lines.add("Order", format_args!("number {} over all definitions", job.sequence));
}

fn to_or_from(job: &Job) -> String {
    let word = match job.spec.direction {
        ferryway_core::Direction::Send => "to",
        ferryway_core::Direction::Fetch => "from",
    };
    format!("{word} {}", job.spec.partner)
}

fn status(lines: &mut Lines, view: &JobView, now: Timestamp) {
    let (job, state) = (&view.job, &view.job.state);
    let held = if state.held { ", held by an operator" } else { "" };
    lines.add("Status", format_args!("{}{held}", job.status));
    let since = time::local_with_zone(job.updated_at);
    lines.add("Written", format_args!("{since}, version {}, epoch {}", job.version, job.epoch));
    lines.add_some("Waits for", view.waits_for.as_ref());
    if let Some(progress) = view.progress {
        let (done, total) = (bytes(progress.done), bytes(progress.total));
        let percent = percent(view).unwrap_or(0);
        let resumed = bytes(progress.resumed_at);
        lines.add("Progress", format_args!("{percent}%, {done} of {total}, resumed at {resumed}"));
    }
    lines.add("Tries", format_args!("{}, failed in a row: {}", state.attempts, state.failures));
    if let Some(at) = state.not_before.filter(|_| job.status.in_flight()) {
        let (at, until) = (time::local_with_zone(at), time::until(at, now));
        lines.add("Next try", format_args!("{until} ({at})"));
    }
    lines.add_some("Last error", state.last_error.as_ref());
    let moved = bytes(state.moved_bytes);
    match state.size {
        Some(size) => lines.add("Bytes moved", format_args!("{moved} for {}", bytes(size))),
        None => lines.add("Bytes moved", moved),
    }
    lines.add_some("Digest", state.digest.as_ref());
    lines.add("Published", format_args!("{} times", state.published));
}

/// What is known of the job that the other host has for the same file.
fn other_side(lines: &mut Lines, job: &Job) {
    if let Some(Origin { visitor, instance, of }) = &job.spec.origin {
        let theirs = format_args!("{} of {visitor}, instance {instance}", of.job);
        match of.delivery {
            1 => lines.add("Receives", theirs),
            again => lines.add("Receives", format_args!("{theirs}, delivery {again}")),
        }
    }
    let Some(told) = &job.spec.told else { return };
    match &job.state.peer {
        None => lines.add("Partner's job", format_args!("none known; {told} is told of this one")),
        Some(Standing { job, status, open }) => {
            let open = open.as_ref().map(|open| format!(": {open}")).unwrap_or_default();
            lines.add("Partner's job", format_args!("{job} of {told}, {status}{open}"));
        }
    }
}

fn attempt(lines: &mut Lines, job: &Job) {
    if let Some(attempt) = &job.state.attempt {
        let source = &attempt.fingerprint;
        lines.add("Attempt", format_args!("{}, begun in epoch {}", attempt.number, attempt.epoch));
        let modified = source.modified_ns.map(|ns| Timestamp::from_nanosecond(ns.into()));
        let modified = modified.and_then(Result::ok).map(time::local_with_zone);
        let modified = modified.map(|at| format!(", modified {at}")).unwrap_or_default();
        lines.add("Source", format_args!("{} bytes{modified}", source.size));
    }
    let partials = job.state.unfinished().flat_map(|attempt| &attempt.names);
    partials.for_each(|name| lines.add("Partial", name));
    if let Some(checkpoint) = &job.checkpoint {
        let offset = checkpoint.offset;
        lines.add("Checkpoint", format_args!("byte {offset} of attempt {}", checkpoint.attempt));
    }
    if let Some(intent) = &job.state.intent {
        for token in &intent.tokens {
            let digest = token.digest.as_ref().map(|digest| format!(", {digest}"));
            let (names, digest) = (token.names.join(" or "), digest.unwrap_or_default());
            let (number, size) = (token.attempt, token.size);
            let text = format_args!("attempt {number}, {size} bytes{digest}, named {names}");
            lines.add("To publish", text);
        }
        intent.displaced.iter().for_each(|name| lines.add("Old target", name));
    }
}

/// The user's programs: how often each was started, how it ended, and what it printed last.
fn exits(lines: &mut Lines, job: &Job) {
    for &when in When::EACH {
        let Some(exit) = when.exit(&job.spec) else { continue };
        let state = when.state(&job.state);
        let name = match when {
            When::Pre => "Pre-exit",
            When::Post => "Post-exit",
        };
        lines.add(name, exit.command.join(" "));
        let how = match (&state.end, state.starts) {
            (_, 0) => "not started".to_owned(),
            (None, runs) => format!("run {runs} started, no end on record"),
            (Some(end), runs) => {
                let word = if end.success { "success" } else { "failed" };
                format!("run {runs} ended: {}, {word}", end.how)
            }
        };
        lines.add("", how);
        let output = state.end.as_ref().map_or("", |end| &end.output);
        output.lines().for_each(|line| lines.add("", format_args!("| {line}")));
    }
}
