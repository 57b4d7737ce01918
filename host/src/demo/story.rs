//! What the visitor reads. Plain ASCII; a bar and bold type only where a terminal is.

use std::{
    env,
    io::{self, IsTerminal, Write},
    path::Path,
    time::{Duration, Instant},
};

use ferryway_core::JobId;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    Moments,
    evidence::Evidence,
    stage::{FILE, Stage, TARGET},
};
use crate::{
    control::api::Health,
    laboratory::numbers::{grouped, mib, percent},
};

/// Tells the story on standard output.
#[derive(Debug)]
pub(super) struct Story {
    bold: bool,
}

impl Story {
    pub(super) fn new() -> Self {
        let bold = io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
        Self { bold }
    }

    pub(super) fn opening(&self, stage: &Stage, seed: u64) {
        self.title("A file transfer that survives the death of its host");
        say(&format!("All of it happens on this machine, in {}.\n", stage.folder().display()));
        self.step(1, "A partner");
        say(&format!(
            "   An FTP server listens on {} and takes {} a second.\n   \
             The file for it, `{FILE}`, has {} of random bytes (seed {seed}).\n",
            stage.server.addr(),
            mib(stage.rate),
            mib(stage.size),
        ));
    }

    pub(super) fn accepted(&self, stage: &Stage, health: &Health, job: &JobId) {
        self.step(2, "Node alpha sends");
        say(&format!(
            "   Its host (process {}, epoch {}) accepts job {job}: the job is durable in the\n   \
             journal before the answer. The {} go to a partial file, never to `{TARGET}`.",
            health.pid,
            health.epoch,
            mib(stage.size),
        ));
    }

    pub(super) fn killed(&self, stage: &Stage, pid: u32, arrived: u64) {
        say("");
        self.step(3, &format!("kill -9 {pid}"));
        say(&format!(
            "   alpha is gone without a word. The partner has {} % of the file, but no\n   \
             `{TARGET}` yet: nobody can mistake the half for the whole.\n",
            percent(arrived, stage.size),
        ));
    }

    pub(super) fn taken_over(&self, health: &Health, evidence: &Evidence, moments: &Moments) {
        self.step(4, "Node beta takes over");
        say(&format!(
            "   Its host (process {}, epoch {}) starts on the same install directory.\n   \
             Milliseconds after its start:",
            health.pid, health.epoch,
        ));
        let Some((started, _)) = moments.beta_started else { return };
        let takeover = &evidence.takeover;
        let since = |at: Option<Instant>| at.map(|at| at.duration_since(started));
        let read_back = mib(takeover.read_back);
        let offset = grouped(takeover.offset);
        for (after, what) in [
            (moments.owned_after, "owns the journal and finds the job in status 04".to_owned()),
            (
                since(takeover.fenced_at),
                "takes alpha's staging folder away, should alpha be alive after all".to_owned(),
            ),
            (
                since(takeover.adopted_at),
                "adopts the partial under a name that alpha never knew".to_owned(),
            ),
            (since(takeover.proved_at), format!("has read {read_back} back: they are the file's")),
            (since(takeover.first_byte_at), format!("goes on at byte {offset}")),
        ] {
            if let Some(after) = after {
                say(&format!("   {:>6}  {what}", after.as_millis()));
            }
        }
    }

    pub(super) fn verdict(&self, evidence: &Evidence) {
        say("");
        self.step(5, "The verdict, measured at the partner");
        let identical = match evidence.hashes {
            Some((source, target)) if source == target => {
                format!("yes, BLAKE3 {}... on both sides", &source.to_hex()[..16])
            }
            _ => "no".to_owned(),
        };
        let times = match evidence.published_at.len() {
            1 => "once, by a rename".to_owned(),
            times => format!("{times} times"),
        };
        let others = match evidence.intrusions.len() {
            0 => format!("nothing else touched `{TARGET}`"),
            others => format!("{others} other commands touched `{TARGET}`"),
        };
        let (resent, received) = (grouped(evidence.resent), grouped(evidence.received));
        let read_back = grouped(evidence.takeover.read_back);
        let left = match (evidence.strays.len(), &evidence.marker) {
            (0, Some(marker)) => format!("only the empty file {marker}, which keeps alpha out"),
            (0, None) => "nothing".to_owned(),
            (strays, _) => format!("{strays} files that should not be there"),
        };
        let lasted = milliseconds(evidence.takeover.lasted);
        for (what, found) in [
            ("identical", identical),
            ("published", format!("{times}; {others}")),
            ("sent again", format!("{resent} bytes; {received} arrived in all")),
            ("read back", format!("{read_back} bytes, to prove them")),
            ("left over", left),
            ("takeover", format!("{lasted} ms from beta's start to its first byte")),
        ] {
            say(&format!("   {what:<11} {found}"));
        }
    }

    pub(super) fn drawn(&self, file: &Path) {
        say(&format!("\nThe picture of it is in {}.", file.display()));
    }

    pub(super) fn kept(&self, folder: &Path) {
        say(&format!(
            "\nThe installation, the partner's files and the logs stay in {}.",
            folder.display()
        ));
    }

    /// The last line of a demo that went well.
    pub(super) fn ok(&self, evidence: &Evidence) {
        say(&format!("\n{}", last_line("ok", Some(evidence))));
    }

    /// What is wrong, the hosts' last words, and the last line.
    pub(super) fn failed(&self, faults: &[String], logs: &str, evidence: Option<&Evidence>) {
        say("");
        for fault in faults {
            say(&format!("wrong: {fault}"));
        }
        if !logs.is_empty() {
            say(logs.trim_end());
        }
        say(&last_line("failed", evidence));
    }

    fn title(&self, text: &str) {
        say(&self.strong(text));
    }

    fn step(&self, number: u32, text: &str) {
        say(&self.strong(&format!("{number}. {text}")));
    }

    fn strong(&self, text: &str) -> String {
        if self.bold { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// How far the transfer is: a bar on the terminal, else a line now and then.
#[derive(Debug)]
pub(super) enum Bar {
    Drawn(ProgressBar),
    Lines { node: &'static str, size: u64, next_percent: u64 },
}

/// The distance of the lines.
const LINE_PERCENT: u64 = 20;

impl Bar {
    pub(super) fn new(node: &'static str, size: u64) -> Self {
        if !io::stderr().is_terminal() {
            return Self::Lines { node, size, next_percent: 0 };
        }
        let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr_with_hz(20));
        // The template is a fixed text; one that did not parse would show as the plain default.
        if let Ok(style) = ProgressStyle::with_template("   {prefix:<5} [{bar:50}] {percent:>3} %")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(node);
        Self::Drawn(bar)
    }

    pub(super) fn show(&mut self, done: u64) {
        match self {
            Self::Drawn(bar) => bar.set_position(done),
            Self::Lines { node, size, next_percent } => {
                let percent = percent(done, *size);
                if percent < *next_percent {
                    return;
                }
                say(&format!("   {node:<5} {percent:>3} %  {:>9}", mib(done)));
                *next_percent = (percent / LINE_PERCENT + 1) * LINE_PERCENT;
            }
        }
    }

    /// Leaves it as it is, on a line of its own.
    pub(super) fn leave(&self) {
        if let Self::Drawn(bar) = self {
            bar.abandon();
            // The bar does not end its line.
            let _reader_left = writeln!(io::stderr());
        }
    }
}

fn milliseconds(time: Option<Duration>) -> String {
    time.map_or_else(|| "none".to_owned(), |time| time.as_millis().to_string())
}

fn last_line(verdict: &str, evidence: Option<&Evidence>) -> String {
    let nothing = Evidence::default();
    let evidence = evidence.unwrap_or(&nothing);
    format!(
        "demo: {verdict} identical={} published={} resent_bytes={} takeover_ms={}",
        evidence.identical(),
        evidence.published_at.len(),
        evidence.resent,
        milliseconds(evidence.takeover.lasted),
    )
}

fn say(text: &str) {
    // A reader that has left, as `head` does, ends nothing: the exit code still tells.
    let _reader_left = writeln!(io::stdout().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_has_its_fields_whatever_is_known() {
        assert_eq!(
            last_line("failed", None),
            "demo: failed identical=false published=0 resent_bytes=0 takeover_ms=none"
        );
    }
}
