//! The timeline of what was measured, as SVG.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use super::{
    Failover, Moments,
    evidence::{Evidence, Takeover},
    script::Side,
    stage::Stage,
};
use crate::laboratory::{
    Transport,
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
/// The room for the words at a death.
const KILL_LABEL: f64 = 190.0;
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
pub(super) fn draw(stage: &Stage, moments: &Moments, evidence: &Evidence) -> Option<String> {
    let facts = Facts::of(stage, moments, evidence)?;
    let mut svg = Svg::default();
    let both = moments.failovers.len() > 1;
    let title = match both {
        false => "A transfer survives the death of its host",
        true => "A transfer survives the deaths of both its hosts",
    };
    svg.text(28.0, 38.0, "title", "start", title);
    let (option, way) = match (stage.script.transport, both) {
        (Transport::Ftp, _) => ("", "by FTP"),
        (Transport::Socket, false) => (" --transport socket", "by socket"),
        (Transport::Socket, true) => (" --both", "by socket"),
    };
    let subtitle = format!(
        "{} {way}. Drawn by `ferryway demo{option}` from what it measured in one run.",
        mib(stage.size).replace(".0 ", " ")
    );
    svg.text(28.0, 58.0, "", "start", &subtitle);
    axes(&mut svg, &facts);
    curves(&mut svg, &facts, moments);
    turning_points(&mut svg, &facts);
    if let Some(last) = facts.turns.last() {
        strip(&mut svg, &facts, last);
    }
    Some(svg.finish(Page {
        size: (WIDTH, HEIGHT),
        label: &format!("Timeline: {title}"),
        style: (STYLE, DARK_STYLE),
    }))
}

/// The measured moments, in seconds since the first byte.
struct Facts {
    size: u64,
    begun: Instant,
    turns: Vec<Turn>,
    published: f64,
}

/// A failover.
struct Turn {
    side: Side,
    killed: f64,
    started: f64,
    resumed: f64,
    offset: u64,
    /// The steps of the takeover: their ends after the standby's start, and their names.
    steps: Vec<(Duration, String)>,
}

impl Turn {
    fn of(begun: Instant, failover: &Failover, takeover: &Takeover) -> Option<Self> {
        let seconds = |at: Instant| at.duration_since(begun).as_secs_f64();
        let (started, _) = failover.started;
        let (side, since) = (failover.death.side, |at: Instant| at.duration_since(started));
        let owned = (failover.owned_after?, "owns the journal".to_owned());
        let lasted = takeover.lasted?;
        let steps = match side {
            Side::Receiving => {
                let told = failover.told_after.map(|after| (after, "tells alpha".to_owned()));
                let goes_on = (lasted, "alpha comes back and goes on".to_owned());
                [owned].into_iter().chain(told).chain([goes_on]).collect()
            }
            Side::Sending => {
                let proof = match takeover.read_back {
                    0 => "is told the hash of what is there".to_owned(),
                    bytes => format!("proves {} by reading back", mib(bytes)),
                };
                vec![
                    owned,
                    (since(takeover.fenced_at?), "locks alpha out of the partner".to_owned()),
                    (since(takeover.adopted_at?), "adopts the partial".to_owned()),
                    (lasted, proof),
                ]
            }
        };
        Some(Self {
            side,
            killed: seconds(failover.killed_at),
            started: seconds(started),
            resumed: seconds(takeover.first_byte_at?),
            offset: failover.resumed_at,
            steps,
        })
    }
}

impl Facts {
    fn of(stage: &Stage, moments: &Moments, evidence: &Evidence) -> Option<Self> {
        let begun = evidence.begun_at?;
        let turns = moments.failovers.iter().zip(&evidence.takeovers);
        let turns: Option<Vec<_>> =
            turns.map(|(failover, takeover)| Turn::of(begun, failover, takeover)).collect();
        let published = evidence.published_at.first()?.duration_since(begun).as_secs_f64();
        Some(Self { size: stage.size, begun, turns: turns?, published })
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

/// What the partner had of the file: a curve for each stretch between deaths.
fn curves(svg: &mut Svg, facts: &Facts, moments: &Moments) {
    let since = |at: &Instant| at.saturating_duration_since(facts.begun).as_secs_f64();
    let samples = moments.samples.iter().filter(|(at, bytes)| *at >= facts.begun && *bytes > 0);
    let samples: Vec<_> = samples.map(|(at, bytes)| (since(at), *bytes)).collect();
    let mut ends: Vec<_> = facts.turns.iter().map(|turn| (turn.killed, turn.offset)).collect();
    ends.push((facts.published, facts.size));
    let (mut from, mut sender, mut receiver) = ((0.0, 0), Side::Sending.first(), "");
    let both = facts.turns.iter().any(|turn| turn.side == Side::Receiving);
    if both {
        receiver = Side::Receiving.first();
    }
    for (number, end) in ends.into_iter().enumerate() {
        let mut points = vec![from];
        points.extend(samples.iter().filter(|(at, bytes)| {
            *at > from.0 && *at < end.0 && (*bytes < facts.size || end.1 < facts.size)
        }));
        points.push(end);
        curve(svg, facts, sender, &points);
        let label = match (receiver, number) {
            ("", 0) => format!("node {sender} sends"),
            ("", _) => format!("node {sender} sends the rest"),
            _ => format!("{sender} to {receiver}"),
        };
        svg.text(facts.x(end.0) - 12.0, BOTTOM - 14.0, "strong", "end", &label);
        let Some(turn) = facts.turns.get(number) else { return };
        from = (turn.resumed, turn.offset);
        match turn.side {
            Side::Sending => sender = turn.side.standby(),
            Side::Receiving => receiver = turn.side.standby(),
        }
    }
}

fn curve(svg: &mut Svg, facts: &Facts, class: &str, points: &[(f64, u64)]) {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
    let mut path = String::new();
    for (index, (at, bytes)) in points.iter().enumerate() {
        let command = if index == 0 { 'M' } else { 'L' };
        let _infallible = write!(path, "{command}{:.1} {:.1}", facts.x(*at), facts.y(*bytes));
    }
    let (from, to) = (facts.x(first.0), facts.x(last.0));
    svg.path(&format!("{class} area"), &format!("{path}L{to:.1} {BOTTOM}L{from:.1} {BOTTOM}Z"));
    svg.path(&format!("{class}-line curve"), &path);
}

fn turning_points(svg: &mut Svg, facts: &Facts) {
    for turn in &facts.turns {
        let killed = facts.x(turn.killed);
        svg.line("kill", (killed, TOP - 14.0), (killed, BOTTOM));
        let (node, percent) = (turn.side.first(), percent(turn.offset, facts.size));
        let at = format!("{:.2} s: kill -9 {node}, at {percent} %", turn.killed);
        match killed > LEFT + KILL_LABEL {
            true => svg.text(killed - 8.0, TOP - 8.0, "kill-text", "end", &at),
            false => svg.text(killed + 8.0, TOP - 8.0, "kill-text", "start", &at),
        }
        let (x, y) = (facts.x(turn.resumed), facts.y(turn.offset));
        svg.dot("beta", x, y);
        let resumed = match facts.turns.len() {
            1 => format!("goes on at byte {}", grouped(turn.offset)),
            _ => format!("goes on at {}", mib(turn.offset)),
        };
        svg.text(x + 10.0, y + 18.0, "", "start", &resumed);
    }
    let (x, y) = (facts.x(facts.published), facts.y(facts.size));
    svg.dot("beta", x, y);
    // Two deaths leave little room beside their own words.
    let published = match facts.turns.len() {
        1 => format!("{:.2} s: published, once, by a rename", facts.published),
        _ => format!("{:.2} s: published, once", facts.published),
    };
    svg.text(x, TOP - 8.0, "strong", "end", &published);
}

/// The last takeover enlarged, with a lens from the chart down to it.
fn strip(svg: &mut Svg, facts: &Facts, turn: &Turn) {
    let (from, to) = (facts.x(turn.started), facts.x(turn.resumed));
    svg.path(
        "lens",
        &format!(
            "M{from:.1} {TOP}L{to:.1} {TOP}L{to:.1} {BOTTOM}L{RIGHT} {STRIP_TOP}\
             L{LEFT} {STRIP_TOP}L{from:.1} {BOTTOM}Z"
        ),
    );
    let whole = turn.steps.last().map_or(Duration::ZERO, |(end, _)| *end);
    let node = turn.side.standby();
    let title = format!("{} ms from {node}'s start to its first byte", whole.as_millis());
    svg.text(f64::midpoint(LEFT, RIGHT), STRIP_TOP - 14.0, "strong", "middle", &title);
    let mut before = Duration::ZERO;
    for (index, (end, name)) in turn.steps.iter().enumerate() {
        let x = |time: Duration| {
            LEFT + (RIGHT - LEFT) * time.as_secs_f64() / whole.as_secs_f64().max(1e-9)
        };
        let class = format!("s{index}");
        svg.rect(&class, (x(before), STRIP_TOP), (x(*end), STRIP_BOTTOM));
        let (column, row) = ((index % 2) as f64, (index / 2) as f64);
        let (left, base) = (LEFT + 400.0 * column, STRIP_BOTTOM + 26.0 + 22.0 * row);
        svg.rect(&class, (left, base - 10.0), (left + 10.0, base));
        // Of whole milliseconds, so that the sum is the whole.
        let lasts = end.as_millis().saturating_sub(before.as_millis());
        svg.text(left + 72.0, base, "strong", "end", &format!("{lasts} ms"));
        svg.text(left + 82.0, base, "", "start", name);
        before = *end;
    }
}
