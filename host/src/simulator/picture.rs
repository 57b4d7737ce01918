//! A timeline of each row, one panel for each transport and policy.

use std::{fs, path::Path, time::Duration};

use ferryway_core::Publish;

use super::{
    Run, client,
    plan::Cell,
    rows::{Outcome, RowId},
    server,
    trace::{Bar, Kind, Line},
};
use crate::laboratory::{
    Failure, Transport,
    numbers::grouped,
    svg::{Page, Svg},
};

const WIDTH: f64 = 880.0;
/// The time lines: their left and right.
const LEFT: f64 = 120.0;
const RIGHT: f64 = 848.0;
const LANE: f64 = 26.0;
/// The room for the size of an upload.
const LABEL: f64 = 130.0;
/// The room for the mark of an event.
const MARK: f64 = 15.0;
const LEGEND_LINE: f64 = 19.0;

const STYLE: &str = ".office{fill:#8250df}.event{fill:#bf6a02}.good{fill:#2f9a63;font-weight:600}\
.on-bar{fill:#fff}.number{fill:#fff;font-size:10px;font-weight:600}";
const DARK_STYLE: &str =
    ".office{fill:#a985f0}.event{fill:#dc9440}.good{fill:#48bd80}.on-bar,.number{fill:#12171e}";

/// Draws each row of which there are runs into `folder`: of each transport and policy the first
/// run that ended as expected, with what the note lists if there is one.
///
/// # Errors
/// When a file cannot be written.
pub(super) fn draw_all(folder: &Path, runs: &[Run]) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| Failure::io("make", folder, error))?;
    for &id in RowId::EACH {
        let cells = Transport::EACH.iter().flat_map(|&transport| {
            let cell = move |policy| Cell { row: id, transport, policy };
            [Publish::Direct, Publish::Atomic].map(cell)
        });
        let panels: Vec<_> = cells.filter_map(|cell| typical(cell, runs)).collect();
        if panels.is_empty() {
            continue;
        }
        let file = folder.join(format!("{id}.svg"));
        fs::write(&file, draw(id, &panels)).map_err(|error| Failure::io("write", &file, error))?;
    }
    Ok(())
}

/// A run of the cell that shows what the note lists; where it lists nothing, the first good one.
fn typical(cell: Cell, runs: &[Run]) -> Option<&Run> {
    let listed = cell.variant()?.listed(cell.policy);
    runs.iter().find(|run| {
        let fits = |outcome| listed.is_empty() || listed.contains(&outcome);
        let Run { plan, verdict, .. } = run;
        plan.cell == cell && verdict.faults.is_empty() && verdict.outcome.is_some_and(fits)
    })
}

fn draw(id: RowId, panels: &[&Run]) -> String {
    let mut svg = Svg::default();
    let row = id.row();
    svg.text(28.0, 36.0, "title", "start", &format!("{id}: {}", row.setting));
    let mut top = 56.0;
    for run in panels {
        top = panel(&mut svg, run, top) + 18.0;
    }
    let label = format!("Timelines of row {id}");
    svg.finish(Page { size: (WIDTH, top), label: &label, style: (STYLE, DARK_STYLE) })
}

/// Draws one run from `top` on, and tells where it ends.
fn panel(svg: &mut Svg, run: &Run, top: f64) -> f64 {
    let nodes: &[&str] =
        if run.plan.cell.row.cluster_serves() { &[server::CLIENT] } else { &client::NODES };
    let events: Vec<&Line> = run.lines.iter().filter(|line| line.kind == Kind::Event).collect();
    let begin = events.first().map_or(Duration::ZERO, |line| line.after);
    let whole = events.last().map_or(begin, |line| line.after).saturating_sub(begin);
    let x = |time: Duration| {
        let part = time.saturating_sub(begin).as_secs_f64() / whole.as_secs_f64().max(0.001);
        LEFT + (RIGHT - LEFT) * part
    };
    let outcome = run.verdict.outcome.map_or("", Outcome::in_words);
    svg.text(28.0, top + 14.0, "strong", "start", &panel_title(run.plan.cell));
    let class = match run.verdict.outcome {
        Some(Outcome::Delivered) => "good",
        Some(Outcome::Overwritten | Outcome::Resent) => "strong",
        _ => "kill-text",
    };
    svg.text(LEFT + 70.0, top + 14.0, class, "start", outcome);
    svg.text(RIGHT, top + 14.0, "", "end", &format!("seed {}", run.plan.seed));
    let lanes = top + 26.0;
    for (number, node) in nodes.iter().enumerate() {
        let y = lanes + LANE * number as f64;
        svg.text(LEFT - 12.0, y + 16.0, "strong", "end", &format!("{node} sends"));
        svg.line("grid", (LEFT, y + 12.0), (RIGHT, y + 12.0));
        for bar in run.uploads.iter().filter(|bar| bar.who == *node) {
            upload(svg, node, bar, (x(bar.from), x(bar.to)), y);
        }
    }
    let y = lanes + LANE * nodes.len() as f64;
    svg.text(LEFT - 12.0, y + 16.0, "strong", "end", "events");
    svg.line("grid", (LEFT, y + 12.0), (RIGHT, y + 12.0));
    let mut legend = y + LANE + 16.0;
    let marks = side_by_side(events.iter().map(|line| x(line.after)).collect());
    for (number, (line, at)) in events.iter().zip(marks).enumerate() {
        svg.rect("event", (at - 6.0, y + 5.0), (at + 7.0, y + 19.0));
        svg.text(at + 0.5, y + 16.0, "number", "middle", &(number + 1).to_string());
        let when = format!("{:.3} s", line.after.saturating_sub(begin).as_secs_f64());
        svg.text(LEFT - 60.0, legend, "strong", "end", &(number + 1).to_string());
        svg.text(LEFT + 2.0, legend, "", "end", &when);
        svg.text(LEFT + 12.0, legend, "", "start", &format!("{}: {}", line.who, line.what));
        legend += LEGEND_LINE;
    }
    legend
}

fn panel_title(cell: Cell) -> String {
    format!("{}, {}", cell.transport, cell.policy)
}

/// Moves marks apart that would cover each other, and none beyond the right end.
fn side_by_side(mut marks: Vec<f64>) -> Vec<f64> {
    for number in 1..marks.len() {
        marks[number] = marks[number].max(marks[number - 1] + MARK);
    }
    let mut room = RIGHT;
    for mark in marks.iter_mut().rev() {
        *mark = mark.min(room);
        room = *mark - MARK;
    }
    marks
}

fn upload(svg: &mut Svg, node: &str, bar: &Bar, (from, to): (f64, f64), y: f64) {
    svg.rect(node, (from, y + 4.0), (to.max(from + 2.0), y + 20.0));
    let label = format!("{} bytes", grouped(bar.bytes));
    // Where it fits: behind the bar, before it, or on it.
    if to < RIGHT - LABEL {
        svg.text(to + 6.0, y + 16.0, "", "start", &label);
    } else if from > LEFT + LABEL {
        svg.text(from - 6.0, y + 16.0, "", "end", &label);
    } else {
        svg.text(from + 8.0, y + 16.0, "on-bar", "start", &label);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_do_not_cover_each_other() {
        let marks = side_by_side(vec![200.0, 201.0, RIGHT - 1.0, RIGHT]);
        assert_eq!(marks, [200.0, 215.0, RIGHT - MARK, RIGHT]);
    }
}
