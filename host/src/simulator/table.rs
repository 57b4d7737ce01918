//! The table as it was simulated.

use std::{fmt::Write, time::Duration};

use serde::Serialize;

use super::{
    Run,
    plan::{Cell, Plan},
    rows::Outcome,
};
use crate::laboratory::numbers::grouped;

/// From so many runs of a cell on, all that the note lists must have been seen.
const ENOUGH_RUNS: usize = 10;

/// What all runs have shown.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    cells: Vec<Count>,
    exits: ExitCount,
    /// What was not as expected, in words.
    faults: Vec<String>,
}

/// What the runs have shown of post-exits.
#[derive(Debug, Default, Serialize)]
struct ExitCount {
    /// All of them.
    exits: usize,
    /// Those in which a node went away.
    struck: usize,
    /// Questions to the operator.
    asked: usize,
}

/// What the runs of a cell have shown.
#[derive(Debug, Serialize)]
struct Count {
    #[serde(flatten)]
    cell: Cell,
    first_seed: u64,
    runs: usize,
    /// How often each outcome was seen.
    seen: Vec<(Outcome, usize)>,
    broken: usize,
    /// Bytes received beyond the file's size: the middle one of the runs, and the most.
    resent_bytes: (u64, u64),
    /// From the failover to the job's end: the middle one of the runs, and the most.
    took_ms: (u64, u64),
}

/// One run, as JSON has it.
#[derive(Serialize)]
struct RunReport<'a> {
    #[serde(flatten)]
    plan: &'a Plan,
    outcome: Option<Outcome>,
    target: String,
    published: u32,
    resent_bytes: u64,
    took_ms: u64,
    faults: &'a [String],
    command: String,
}

impl Summary {
    /// Counts the runs; `expect` stands in for what the table lists.
    pub(super) fn of(runs: &[Run], expect: Option<Outcome>) -> Self {
        let mut cells = Vec::new();
        let mut faults = Vec::new();
        for part in runs.chunk_by(|a, b| a.plan.cell == b.plan.cell) {
            let count = Count::of(part);
            let listed = expect.map_or_else(|| listed(count.cell), |outcome| vec![outcome]);
            let missing = |outcome: &&Outcome| count.times(**outcome) == 0;
            if part.len() >= ENOUGH_RUNS {
                for outcome in listed.iter().filter(missing) {
                    let words = outcome.in_words();
                    faults.push(format!("{}: never seen: {words}", count.cell));
                }
            }
            cells.push(count);
        }
        let broken = runs.iter().filter(|run| !run.verdict.faults.is_empty());
        faults.extend(broken.map(|run| {
            format!(
                "{}\n    {}\n    {}",
                heading(run),
                run.verdict.faults.join("\n    "),
                run.plan.command()
            )
        }));
        Self { cells, exits: ExitCount::of(runs), faults }
    }

    /// Whether all runs ended as they should, and all that is listed was seen.
    pub(super) fn is_as_expected(&self) -> bool {
        self.faults.is_empty()
    }

    /// The table for people.
    pub(super) fn text(&self, runs: &[Run]) -> String {
        let mut text = String::new();
        for counts in self.cells.chunk_by(|a, b| a.cell.row == b.cell.row) {
            let Some(first) = counts.first() else { continue };
            let row = first.cell.row.row();
            put(&mut text, &format!("{:<4} {}", row.id, row.setting));
            put(&mut text, &format!("     the note: {}", row.note));
            for count in counts {
                count.tell(&mut text);
            }
            put(&mut text, "");
        }
        for run in runs.iter().filter(|run| !run.last_words.is_empty()) {
            put(&mut text, &format!("--- {}\n{}\n", heading(run), run.last_words));
        }
        let ExitCount { exits, struck, asked } = self.exits;
        put(
            &mut text,
            &format!(
                "post-exits: {exits}; {struck} of them lost their node, {asked} questions to the \
                 operator"
            ),
        );
        for fault in &self.faults {
            put(&mut text, &format!("wrong: {fault}"));
        }
        let runs: usize = self.cells.iter().map(|cell| cell.runs).sum();
        let word = if self.is_as_expected() { "ok" } else { "failed" };
        put(&mut text, &format!("simulate: {word} runs={runs} wrong={}", self.faults.len()));
        text
    }

    /// The table and every run as JSON.
    pub(super) fn json(&self, runs: &[Run]) -> String {
        let runs: Vec<_> = runs.iter().map(RunReport::of).collect();
        serde_json::json!({ "table": self, "runs": runs }).to_string()
    }
}

impl ExitCount {
    fn of(runs: &[Run]) -> Self {
        let exits = || runs.iter().flat_map(|run| &run.evidence.exits);
        Self {
            exits: exits().count(),
            struck: runs.iter().filter(|run| run.plan.moment.exit().is_some()).count(),
            asked: exits().filter_map(|exit| exit.asked).sum(),
        }
    }
}

impl Count {
    fn of(runs: &[Run]) -> Self {
        let plan = &runs[0].plan;
        let count = |outcome: Outcome| {
            runs.iter().filter(|run| run.verdict.outcome == Some(outcome)).count()
        };
        let seen = Outcome::EACH.iter().map(|&outcome| (outcome, count(outcome)));
        Self {
            cell: plan.cell,
            first_seed: plan.seed,
            runs: runs.len(),
            seen: seen.filter(|(_, times)| *times > 0).collect(),
            broken: runs.iter().filter(|run| !run.verdict.faults.is_empty()).count(),
            resent_bytes: middle_and_most(runs.iter().map(|run| run.evidence.resent)),
            took_ms: middle_and_most(runs.iter().map(|run| milliseconds(run.evidence.took))),
        }
    }

    fn times(&self, outcome: Outcome) -> usize {
        self.seen.iter().find(|(seen, _)| *seen == outcome).map_or(0, |(_, times)| *times)
    }

    fn tell(&self, text: &mut String) {
        let mut label = format!("{:<6} {}", self.cell.transport, self.cell.policy);
        for &(outcome, times) in &self.seen {
            let addition = match listed(self.cell).contains(&outcome) {
                true => "",
                false => " (not in the note)",
            };
            let words = outcome.in_words();
            put(text, &format!("     {label:<13} {times:>3} of {}  {words}{addition}", self.runs));
            label.clear();
        }
        if self.broken > 0 {
            put(text, &format!("     {label:<13} {:>3} of {}  WRONG", self.broken, self.runs));
        }
        let ((resent, most_resent), (took, longest)) = (self.resent_bytes, self.took_ms);
        let last_seed = self.first_seed + self.runs as u64 - 1;
        put(
            text,
            &format!(
                "                   seeds {} to {last_seed}; sent again {} bytes (most {}); {took} ms \
                 after the failover (most {longest})",
                self.first_seed,
                grouped(resent),
                grouped(most_resent)
            ),
        );
    }
}

impl<'a> RunReport<'a> {
    fn of(run: &'a Run) -> Self {
        Self {
            plan: &run.plan,
            outcome: run.verdict.outcome,
            target: run.evidence.target.to_string(),
            published: run.evidence.published,
            resent_bytes: run.evidence.resent,
            took_ms: milliseconds(run.evidence.took),
            faults: &run.verdict.faults,
            command: run.plan.command(),
        }
    }
}

/// A run in one line.
pub(super) fn heading(run: &Run) -> String {
    let Plan { cell, seed, .. } = &run.plan;
    let outcome = run.verdict.outcome.map_or("no known outcome", Outcome::in_words);
    format!("{cell} seed {seed}: {} => {outcome}", run.plan.setting())
}

/// The outcomes of a cell that the note lists.
fn listed(cell: Cell) -> Vec<Outcome> {
    cell.variant().map_or(Vec::new(), |variant| variant.listed(cell.policy))
}

fn middle_and_most(numbers: impl Iterator<Item = u64>) -> (u64, u64) {
    let mut sorted: Vec<_> = numbers.collect();
    sorted.sort_unstable();
    let middle = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
    (middle, sorted.last().copied().unwrap_or(0))
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn put(text: &mut String, line: &str) {
    let _infallible = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use ferryway_core::Publish;

    use super::*;
    use crate::simulator::{Verdict, evidence::Evidence, plan::tests::by_ftp, rows::RowId};

    fn runs(outcome: Outcome, count: u64) -> Vec<Run> {
        let run = |seed| Run {
            plan: by_ftp(RowId::C2, Publish::Direct, seed),
            verdict: Verdict { outcome: Some(outcome), faults: Vec::new() },
            evidence: Evidence::default(),
            lines: Vec::new(),
            uploads: Vec::new(),
            last_words: String::new(),
        };
        (1..=count).map(run).collect()
    }

    #[test]
    fn enough_runs_must_show_what_the_note_lists() {
        let as_expected =
            |outcome, count| Summary::of(&runs(outcome, count), None).is_as_expected();
        assert!(as_expected(Outcome::Overwritten, 10));
        assert!(!as_expected(Outcome::Unexpected, 10));
        assert!(as_expected(Outcome::Unexpected, 9), "few runs need not show everything");
    }

    #[test]
    fn a_broken_run_is_told_with_the_command_that_repeats_it() {
        let mut runs = runs(Outcome::Overwritten, 3);
        runs[1].verdict.faults.push("the target is absent".to_owned());
        let summary = Summary::of(&runs, None);
        assert!(!summary.is_as_expected());
        let text = summary.text(&runs);
        let command = "--row C2 --transport ftp --policy direct --seed 2 --runs 1 --trace";
        assert!(text.contains(command) && text.contains("the target is absent"), "{text}");
    }
}
