//! What the tool prints.

mod detail;
mod shape;
mod table;

use std::io::{self, Write};

use console::Term;
use ferryway_host::control::api::JobView;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use crate::{
    exit::{Failure, Result},
    time,
};

pub(crate) use detail::detail;
pub(crate) use shape::{DetailShape, EntryShape, FaultShape, JobShape};
pub(crate) use table::Table;

/// Prints to the standard output.
///
/// # Errors
/// When it cannot be written; a reader that left is [no failure](Failure#impl-From<Error>).
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Prints a value as one line of JSON.
///
/// # Errors
/// As `print`.
pub(crate) fn print_json(value: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_string(value).map_err(io::Error::from)?;
    line.push('\n');
    print(&line)
}

/// Tells the operator something beside the output.
pub(crate) fn note(text: &str) {
    // With the standard error closed there is nobody to tell, nor anything to do about it.
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Tells why the tool ends; a failure without a text is not told.
pub(crate) fn failure(failure: &Failure, json: bool) {
    if failure.message.is_empty() {
        return;
    }
    if json {
        return note(&json!({ "error": FaultShape::from(failure) }).to_string());
    }
    let lines: Vec<String> = failure.message.lines().map(clean).collect();
    note(&format!("ftprel: {}", lines.join("\n        ")));
    if let Some(hint) = &failure.hint {
        note(&format!("        {}", clean(hint)));
    }
}

/// The columns of the terminal; `None` when the output goes elsewhere.
pub(crate) fn width() -> Option<usize> {
    let term = Term::stdout();
    term.is_term().then(|| term.size_checked().map_or(80, |(_, columns)| usize::from(columns)))
}

/// Text from a partner or a file's name, without what would steer the terminal.
pub(crate) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            clean.extend(c.escape_default());
        } else {
            clean.push(c);
        }
    }
    clean
}

/// A number of bytes in a unit that keeps it short.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1_024 {
        return format!("{count} B");
    }
    let power = (count.ilog2() / 10).min(6);
    let tenths = u128::from(count) * 10 / (1 << (10 * power));
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[power as usize - 1])
}

/// How far a job is, in percent, as far as anybody knows.
pub(crate) fn percent(view: &JobView) -> Option<u64> {
    let (done, total) =
        match (view.progress, view.job.current_checkpoint(), &view.job.state.attempt) {
            (Some(progress), _, _) => (progress.done, progress.total),
            (None, Some(checkpoint), Some(attempt)) => {
                (checkpoint.offset, attempt.fingerprint.size)
            }
            _ => return None,
        };
    let percent = u128::from(done) * 100 / u128::from(total.max(1));
    (total > 0).then(|| u64::try_from(percent).map_or(100, |percent| percent.min(100)))
}

/// The table of jobs in flight.
pub(crate) fn in_flight(views: &[JobView], now: Timestamp) -> Table {
    let headers =
        ["JOB", "STATUS", "DEF", "PARTNER", "PROGRESS", "TRIES", "NEXT TRY", "LAST ERROR"];
    let mut table = Table::new(&headers);
    for view in views {
        let (job, state) = (&view.job, &view.job.state);
        let status =
            if state.held { format!("{} (held)", job.status) } else { job.status.to_string() };
        let next = match (&view.waits_for, state.not_before) {
            (Some(first), _) => format!("after {first}"),
            (None, Some(at)) if job.status.in_flight() => time::until(at, now),
            _ => "-".to_owned(),
        };
        table.row([
            job.id.to_string(),
            status,
            job.spec.definition.to_string(),
            job.spec.partner.to_string(),
            percent(view).map_or_else(|| "-".to_owned(), |percent| format!("{percent}%")),
            state.attempts.to_string(),
            next,
            state.last_error.clone().unwrap_or_default(),
        ]);
    }
    table
}

/// The table of jobs that ended.
pub(crate) fn ended(views: &[JobView]) -> Table {
    let headers = ["JOB", "ENDED", "STATUS", "DEF", "PARTNER", "SIZE", "TRIES", "LAST ERROR"];
    let mut table = Table::new(&headers);
    for JobView { job, .. } in views {
        table.row([
            job.id.to_string(),
            time::local(job.updated_at),
            job.status.to_string(),
            job.spec.definition.to_string(),
            job.spec.partner.to_string(),
            job.state.size.map_or_else(|| "-".to_owned(), bytes),
            job.state.attempts.to_string(),
            job.state.last_error.clone().unwrap_or_default(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_short() {
        let shown = [0, 1_023, 1_024, 1_536, 10 << 20, (1 << 30) - 1, u64::MAX].map(bytes);
        let wanted = ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "10.0 MiB", "1023.9 MiB", "15.9 EiB"];
        assert_eq!(shown, wanted);
    }

    #[test]
    fn nothing_from_outside_steers_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\r\n月"), r"a\u{1b}[2Jb\r\n月");
    }
}
