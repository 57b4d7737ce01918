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
    Failover,
    evidence::{Evidence, Takeover},
    script::{Death, Side},
    stage::{FILE, Owner, Stage, TARGET},
};
use crate::{
    control::api::Health,
    laboratory::numbers::{grouped, mib, percent},
};

/// Tells the story on standard output.
#[derive(Debug)]
pub(super) struct Story {
    bold: bool,
    steps: u32,
}

impl Story {
    pub(super) fn new() -> Self {
        let bold = io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
        Self { bold, steps: 0 }
    }

    pub(super) fn opening(&mut self, stage: &Stage, receiver: Option<&Owner>, seed: u64) {
        self.title(match stage.script.deaths.len() {
            1 => "A file transfer that survives the death of its host",
            _ => "A file transfer that survives the deaths of both its hosts",
        });
        say(&format!("All of it happens on this machine, in {}.\n", stage.folder().display()));
        self.step("A partner");
        let (addr, rate) = (stage.partner.addr(), mib(stage.rate));
        say(&match receiver {
            None => format!("   An FTP server listens on {addr} and takes {rate} a second."),
            Some(Owner { host, health }) => format!(
                "   Another host of Ferryway receives: node {} (process {}, epoch {}), by socket.\n   \
                 The address of its cluster is {addr}; {rate} a second get through to it.",
                host.node, health.pid, health.epoch,
            ),
        });
        say(&format!(
            "   The file for it, `{FILE}`, has {} of random bytes (seed {seed}).\n",
            mib(stage.size),
        ));
    }

    pub(super) fn accepted(&mut self, stage: &Stage, health: &Health, job: &JobId) {
        self.step(&format!("Node {} sends", health.node));
        say(&format!(
            "   Its host (process {}, epoch {}) accepts job {job}: the job is durable in the\n   \
             journal before the answer. The {} go to a partial file, never to `{TARGET}`.",
            health.pid,
            health.epoch,
            mib(stage.size),
        ));
    }

    pub(super) fn killed(&mut self, stage: &Stage, death: Death, pid: u32) {
        say("");
        self.step(&format!("kill -9 {pid}"));
        let (node, arrived) = (death.side.first(), percent(stage.arrived(), stage.size));
        say(&match death.side {
            Side::Sending => format!(
                "   {node} is gone without a word. The partner has {arrived} % of the file, but no\n   \
                 `{TARGET}` yet: nobody can mistake the half for the whole.\n"
            ),
            Side::Receiving => format!(
                "   {node}, which receives, is gone without a word. It had {arrived} % of the file, but no\n   \
                 `{TARGET}` yet. {} has nobody to send to.\n",
                Side::Sending.first(),
            ),
        });
    }

    pub(super) fn taken_over(&mut self, owner: &Owner, failover: &Failover, takeover: &Takeover) {
        let (health, node) = (&owner.health, failover.successor);
        self.step(&format!("Node {node} takes over"));
        say(&format!(
            "   Its host (process {}, epoch {}) starts on the install directory of {}.\n   \
             Milliseconds after its start:",
            health.pid,
            health.epoch,
            failover.death.side.first(),
        ));
        for (after, what) in steps(failover, takeover) {
            if let Some(after) = after {
                say(&format!("   {:>6}  {what}", after.as_millis()));
            }
        }
    }

    pub(super) fn verdict(&mut self, evidence: &Evidence) {
        say("");
        self.step("The verdict, measured at the partner");
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
        let read_back = grouped(evidence.read_back());
        let left = match (evidence.strays.len(), &evidence.marker) {
            (0, Some(marker)) => format!("only the empty file {marker}, which keeps alpha out"),
            (0, None) => "nothing".to_owned(),
            (strays, _) => format!("{strays} files that should not be there"),
        };
        let last = evidence.takeovers.iter().map(|takeover| milliseconds(takeover.lasted));
        let lasted = last.collect::<Vec<_>>().join(" and ");
        let whole = evidence.whole().map_or(0.0, |whole| whole.as_secs_f64());
        for (what, found) in [
            ("identical", identical),
            ("published", format!("{times}; {others}")),
            ("sent again", format!("{resent} bytes; {received} arrived in all")),
            ("read back", format!("{read_back} bytes, to prove them")),
            ("left over", left),
            ("takeover", format!("{lasted} ms from a standby's start to the first byte")),
            ("in all", format!("{whole:.1} s from the first byte to the publish")),
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

    fn step(&mut self, text: &str) {
        self.steps += 1;
        say(&self.strong(&format!("{}. {text}", self.steps)));
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

/// What a standby did, and when after its start, where it was seen.
fn steps(failover: &Failover, takeover: &Takeover) -> Vec<(Option<Duration>, String)> {
    let (started, _) = failover.started;
    let since = |at: Option<Instant>| at.map(|at| at.duration_since(started));
    let goes_on = (
        since(takeover.first_byte_at),
        format!("goes on at byte {}", grouped(failover.resumed_at)),
    );
    let (dead, sender) = (failover.death.side.first(), Side::Sending.first());
    if failover.death.side == Side::Receiving {
        let owned = format!("owns the journal of {dead}, and opens the door");
        let told = format!("tells {sender} that it is back: no need to wait for the next try");
        let (after, what) = goes_on;
        let goes_on = (after, format!("{sender} {what}, by itself"));
        return vec![(failover.owned_after, owned), (failover.told_after, told), goes_on];
    }
    let read_back = mib(takeover.read_back);
    vec![
        (failover.owned_after, "owns the journal and finds the job in status 04".to_owned()),
        (
            since(takeover.fenced_at),
            format!("takes {dead}'s staging folder away, should {dead} be alive after all"),
        ),
        (
            since(takeover.adopted_at),
            format!("adopts the partial under a name that {dead} never knew"),
        ),
        (since(takeover.proved_at), format!("has read {read_back} back: they are the file's")),
        goes_on,
    ]
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
        milliseconds(evidence.takeover()),
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
