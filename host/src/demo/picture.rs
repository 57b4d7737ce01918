//! The timeline of what was measured, as SVG.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use super::{Moments, evidence::Evidence};
use crate::laboratory::{
    numbers::{grouped, mib, percent},
    svg::{Page, Svg},
};

const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 414.0;
/// The chart: its left, right, top and bottom.
const LEFT: f64 = 84.0;
const RIGHT: f64 = 848.0;
const TOP: f64 = 100.0;
const BOTTOM: f64 = 252.0;
/// The enlarged takeover: the top and bottom of its strip.
const STRIP_TOP: f64 = 320.0;
const STRIP_BOTTOM: f64 = 338.0;

const STYLE: &str = "\
.alpha-line{stroke:#4a86cf}.beta-line{stroke:#2f9a63}\
.curve{fill:none;stroke-width:2.5}.area{fill-opacity:.16}\
.lens{fill:#8c959f;fill-opacity:.14}\
.s0{fill:#8250df}.s1{fill:#bf6a02}.s2{fill:#0f8ea3}.s3{fill:#2f9a63}";

const DARK_STYLE: &str = "\
.alpha-line{stroke:#6aa5ec}.beta-line{stroke:#48bd80}\
.s0{fill:#a985f0}.s1{fill:#dc9440}.s2{fill:#3db4c7}.s3{fill:#48bd80}";

/// The picture; `None` when something in it was not measured.
pub(super) fn draw(size: u64, moments: &Moments, evidence: &Evidence) -> Option<String> {
    let facts = Facts::of(size, moments, evidence)?;
    let mut svg = Svg::default();
    svg.text(28.0, 38.0, "title", "start", "A transfer survives the death of its host");
    let subtitle = format!(
        "{} by FTP. Drawn by `ferryway demo` from what it measured in one run.",
        mib(size).replace(".0 ", " ")
    );
    svg.text(28.0, 58.0, "", "start", &subtitle);
    axes(&mut svg, &facts);
    curves(&mut svg, &facts, moments);
    turning_points(&mut svg, &facts);
    strip(&mut svg, &facts);
    Some(svg.finish(Page {
        size: (WIDTH, HEIGHT),
        label: "Timeline of a transfer whose host is killed in the middle",
        style: (STYLE, DARK_STYLE),
    }))
}

/// The measured moments, in seconds since the first byte.
struct Facts {
    size: u64,
    begun: Instant,
    killed: f64,
    beta_started: f64,
    resumed: f64,
    published: f64,
    offset: u64,
    read_back: u64,
    /// The ends of the takeover's steps, after the second host's start.
    steps: [Duration; 4],
}

impl Facts {
    fn of(size: u64, moments: &Moments, evidence: &Evidence) -> Option<Self> {
        let begun = evidence.begun_at?;
        let seconds = |at: Instant| at.duration_since(begun).as_secs_f64();
        let (started, _) = moments.beta_started?;
        let takeover = &evidence.takeover;
        let since = |at: Instant| at.duration_since(started);
        Some(Self {
            size,
            begun,
            killed: seconds(moments.killed_at?),
            beta_started: seconds(started),
            resumed: seconds(takeover.first_byte_at?),
            published: seconds(*evidence.published_at.first()?),
            offset: takeover.offset,
            read_back: takeover.read_back,
            steps: [
                moments.owned_after?,
                since(takeover.fenced_at?),
                since(takeover.adopted_at?),
                takeover.lasted?,
            ],
        })
    }

    /// Where a moment is on the chart; a little room is left after the last one.
    fn x(&self, seconds: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * (seconds / (self.published * 1.01)).clamp(0.0, 1.0)
    }

    fn y(&self, bytes: u64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * bytes as f64 / self.size as f64
    }
}

fn axes(svg: &mut Svg, facts: &Facts) {
    for quarter in 0..=4 {
        let bytes = facts.size / 4 * quarter;
        let y = facts.y(bytes);
        svg.line("grid", (LEFT, y), (RIGHT, y));
        if quarter % 2 == 0 {
            let label = if bytes == 0 { "0".to_owned() } else { mib(bytes).replace(".0 ", " ") };
            svg.text(LEFT - 8.0, y + 4.0, "", "end", &label);
        }
    }
    let mut second = 0.0;
    while second <= facts.published {
        svg.text(facts.x(second), BOTTOM + 18.0, "", "middle", &format!("{second:.0} s"));
        second += 1.0;
    }
}

/// What the partner had of the file: a curve for each host.
fn curves(svg: &mut Svg, facts: &Facts, moments: &Moments) {
    let samples: Vec<_> = moments
        .samples
        .iter()
        .filter(|(at, bytes)| *at >= facts.begun && *bytes > 0)
        .map(|(at, bytes)| (at.duration_since(facts.begun).as_secs_f64(), *bytes))
        .collect();
    let mut alpha = vec![(0.0, 0)];
    alpha.extend(samples.iter().filter(|(at, _)| *at <= facts.killed));
    alpha.push((facts.killed, facts.offset));
    let mut beta = vec![(facts.resumed, facts.offset)];
    let still_going = |(at, bytes): &&(f64, u64)| *at > facts.resumed && *bytes < facts.size;
    beta.extend(samples.iter().filter(still_going));
    beta.push((facts.published, facts.size));
    for (host, points) in [("alpha", alpha), ("beta", beta)] {
        let (Some(first), Some(last)) = (points.first(), points.last()) else { continue };
        let mut path = String::new();
        for (index, (at, bytes)) in points.iter().enumerate() {
            let command = if index == 0 { 'M' } else { 'L' };
            let _infallible = write!(path, "{command}{:.1} {:.1}", facts.x(*at), facts.y(*bytes));
        }
        let (from, to) = (facts.x(first.0), facts.x(last.0));
        svg.path(&format!("{host} area"), &format!("{path}L{to:.1} {BOTTOM}L{from:.1} {BOTTOM}Z"));
        svg.path(&format!("{host}-line curve"), &path);
    }
    let label = BOTTOM - 14.0;
    svg.text(facts.x(facts.killed) - 12.0, label, "strong", "end", "node alpha sends");
    let right = facts.x(facts.published) - 12.0;
    svg.text(right, label, "strong", "end", "node beta sends the rest");
}

fn turning_points(svg: &mut Svg, facts: &Facts) {
    let killed = facts.x(facts.killed);
    svg.line("kill", (killed, TOP - 14.0), (killed, BOTTOM));
    let at =
        format!("{:.2} s: kill -9 alpha, at {} %", facts.killed, percent(facts.offset, facts.size));
    svg.text(killed - 8.0, TOP - 8.0, "kill-text", "end", &at);
    let (x, y) = (facts.x(facts.resumed), facts.y(facts.offset));
    svg.dot("beta", x, y);
    let resumed = format!("goes on at byte {}", grouped(facts.offset));
    svg.text(x + 10.0, y + 18.0, "", "start", &resumed);
    let (x, y) = (facts.x(facts.published), facts.y(facts.size));
    svg.dot("beta", x, y);
    let published = format!("{:.2} s: published, once, by a rename", facts.published);
    svg.text(x, TOP - 8.0, "strong", "end", &published);
}

/// The takeover enlarged, with a lens from the chart down to it.
fn strip(svg: &mut Svg, facts: &Facts) {
    let (from, to) = (facts.x(facts.beta_started), facts.x(facts.resumed));
    svg.path(
        "lens",
        &format!(
            "M{from:.1} {TOP}L{to:.1} {TOP}L{to:.1} {BOTTOM}L{RIGHT} {STRIP_TOP}\
             L{LEFT} {STRIP_TOP}L{from:.1} {BOTTOM}Z"
        ),
    );
    let whole = facts.steps[3];
    let title = format!("{} ms from beta's start to its first byte", whole.as_millis());
    svg.text(f64::midpoint(LEFT, RIGHT), STRIP_TOP - 14.0, "strong", "middle", &title);
    let proves = format!("proves {} by reading back", mib(facts.read_back));
    let names =
        ["owns the journal", "locks alpha out of the partner", "adopts the partial", &proves];
    let mut before = Duration::ZERO;
    for (index, (end, name)) in facts.steps.into_iter().zip(names).enumerate() {
        let x = |time: Duration| {
            LEFT + (RIGHT - LEFT) * time.as_secs_f64() / whole.as_secs_f64().max(1e-9)
        };
        let class = format!("s{index}");
        svg.rect(&class, (x(before), STRIP_TOP), (x(end), STRIP_BOTTOM));
        let (column, row) = ((index % 2) as f64, (index / 2) as f64);
        let (left, base) = (LEFT + 400.0 * column, STRIP_BOTTOM + 26.0 + 22.0 * row);
        svg.rect(&class, (left, base - 10.0), (left + 10.0, base));
        // Of whole milliseconds, so that the sum is the whole.
        let lasts = end.as_millis().saturating_sub(before.as_millis());
        svg.text(left + 72.0, base, "strong", "end", &format!("{lasts} ms"));
        svg.text(left + 82.0, base, "", "start", name);
        before = end;
    }
}
