//! Jobs on their way, shown as bars, lines or JSON.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, stderr, stdout},
};

use ferryway_core::{JobId, Outcome, Status};
use ferryway_host::control::api::JobView;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;

use crate::{
    exit::Result,
    render::{self, JobShape},
    time,
};

/// The most bars at a time.
const BARS: usize = 10;

/// How jobs on their way are shown.
pub(crate) enum Show {
    /// Bars on the terminal, with a line that sums up.
    Bars(Bars),
    /// A line for every step of a job, on the standard output or the standard error.
    Lines(Lines),
    /// Nothing.
    Quiet,
}

/// Where lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    Output,
    Error,
    OutputAsJson,
}

impl Show {
    /// For whom it is the tool's output.
    pub(crate) fn as_output(json: bool) -> Self {
        match () {
            () if json => Self::Lines(Lines::to(To::OutputAsJson)),
            () if stdout().is_terminal() && stderr().is_terminal() => Self::Bars(Bars::new()),
            () => Self::Lines(Lines::to(To::Output)),
        }
    }

    /// For whom it is beside the output, which stays free for ids or JSON.
    pub(crate) fn beside_output(json: bool) -> Self {
        match () {
            () if stderr().is_terminal() => Self::Bars(Bars::new()),
            () if json => Self::Quiet,
            () => Self::Lines(Lines::to(To::Error)),
        }
    }

    /// Shows how all jobs are now.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub(crate) fn update(&mut self, views: &[JobView]) -> Result<()> {
        match self {
            Self::Bars(bars) => bars.update(views),
            Self::Lines(lines) => lines.update(views)?,
            Self::Quiet => {}
        }
        Ok(())
    }

    /// Tells something that is about no job.
    pub(crate) fn note(&self, text: &str) {
        match self {
            Self::Bars(bars) => bars.all.suspend(|| render::note(text)),
            _ => render::note(text),
        }
    }
}

/// Bars of the jobs that move.
pub(crate) struct Bars {
    all: MultiProgress,
    summary: ProgressBar,
    moving: BTreeMap<JobId, ProgressBar>,
}

impl Bars {
    fn new() -> Self {
        let all = MultiProgress::new();
        let summary = all.add(ProgressBar::no_length().with_style(style("{msg}")));
        Self { all, summary, moving: BTreeMap::new() }
    }

    fn update(&mut self, views: &[JobView]) {
        let moving = |id: &JobId| {
            views.iter().find(|view| view.job.id == *id).is_some_and(|view| view.progress.is_some())
        };
        self.moving.retain(|id, bar| {
            let stays = moving(id);
            if !stays {
                bar.finish_and_clear();
                self.all.remove(bar);
            }
            stays
        });
        for view in views {
            let Some(progress) = view.progress else { continue };
            if self.moving.len() == BARS && !self.moving.contains_key(&view.job.id) {
                continue;
            }
            let bar = self.moving.entry(view.job.id.clone()).or_insert_with(|| {
                let hidden = ProgressDrawTarget::hidden();
                let bar = ProgressBar::with_draw_target(Some(progress.total), hidden);
                let bar = bar.with_position(progress.done).with_style(style(
                    "{prefix} [{bar:24}] {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}",
                ));
                // What came across before we looked is no speed of now.
                bar.tick();
                bar.reset_eta();
                self.all.insert_before(&self.summary, bar)
            });
            bar.set_prefix(format!("{:<12}", view.job.id.as_str()));
            bar.set_length(progress.total);
            bar.set_position(progress.done);
            bar.set_message(view.job.status.meaning());
        }
        self.summary.set_message(summary(views));
        self.summary.tick();
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.moving.values().for_each(ProgressBar::finish_and_clear);
        self.summary.abandon();
    }
}

/// Lines of what has changed since the last look.
pub(crate) struct Lines {
    to: To,
    last: BTreeMap<JobId, (Status, Option<u64>)>,
}

impl Lines {
    fn to(to: To) -> Self {
        Self { to, last: BTreeMap::new() }
    }

    fn update(&mut self, views: &[JobView]) -> Result<()> {
        for view in views {
            let percent = render::percent(view);
            // A line for every tenth of the way.
            let step = (view.job.status, percent.map(|percent| percent / 10));
            if self.last.insert(view.job.id.clone(), step) == Some(step) {
                continue;
            }
            let line = || {
                let at = time::local(Timestamp::now());
                let percent = percent.map(|percent| format!(" {percent}%")).unwrap_or_default();
                let error = view.job.state.last_error.as_deref().map(render::clean);
                let error = error.map(|error| format!(": {error}")).unwrap_or_default();
                format!("{at} {} {}{percent}{error}", view.job.id, view.job.status)
            };
            match self.to {
                To::Output => render::print(&format!("{}\n", line()))?,
                To::Error => render::note(&line()),
                To::OutputAsJson => render::print_json(&JobShape::from(view))?,
            }
        }
        Ok(())
    }
}

/// Whether the job waits for what an operator says of its post-exit.
pub(crate) fn waits(view: &JobView) -> bool {
    let exits = matches!(view.job.status, Status::PostExit | Status::ReceiverPostExit);
    exits && view.at_rest
}

/// How many jobs are where, in words.
pub(crate) fn summary(views: &[JobView]) -> String {
    let count =
        |test: &dyn Fn(Status) -> bool| views.iter().filter(|view| test(view.job.status)).count();
    let ended = |outcome| count(&move |status| status.outcome() == Some(outcome));
    let suspended = count(&|status| status == Status::Suspended);
    let waiting = views.iter().filter(|view| waits(view)).count();
    let moving = count(&|status| status.in_flight() && status != Status::Suspended);
    let to_go = moving - waiting;
    let counts = [
        (ended(Outcome::Completed), "completed"),
        (ended(Outcome::Failed), "failed"),
        (ended(Outcome::Cancelled), "cancelled"),
        (suspended, "suspended"),
        (waiting, "waiting for an operator"),
        (to_go, "to go"),
    ];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let words: Vec<String> = counts.map(|(count, word)| format!("{count} {word}")).collect();
    if words.is_empty() { "no jobs".to_owned() } else { words.join(", ") }
}

/// The templates are fixed texts; one that does not parse shows as the plain default.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
