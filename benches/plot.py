#!/usr/bin/env python3
"""Draws the tables of RESULTS.md, each as an SVG beside it.

    plot.py [--check]

A table is drawn that has a column `<quantity>, median` and the columns `least` and `most`. Its
picture lies in plots/tables/, named after the heading above it, and is shown right below it. Pictures of
tables that are gone are removed. With --check nothing is written, and what would be ends it with 1.
"""

import html
import math
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
DOCUMENT = HERE / "RESULTS.md"
PLOTS = HERE / "plots" / "tables"

WIDTH, ROW, TOP, BOTTOM = 760, 28, 62, 34
# Where the bars begin and end; the labels are left of them, the numbers right.
LEFT, RIGHT = 200, 560

UNITS = ("s", "MiB")

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.paper { fill: #ffffff; stroke: #d1d9e0 }
.title { font-weight: 600; font-size: 15px }
.faint { fill: #59636e; font-size: 11px }
.grid { stroke: #d1d9e0 }
.bar { fill: #9aa4af }
.ours { fill: #0969da }
.whisker { stroke: #1f2328; stroke-width: 1.5; fill: none }
.number { font-variant-numeric: tabular-nums; text-anchor: end }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .paper { fill: #0d1117; stroke: #3d444d }
  .faint { fill: #9198a1 }
  .grid { stroke: #3d444d }
  .bar { fill: #656c76 }
  .ours { fill: #4493f8 }
  .whisker { stroke: #f0f6fc }
}
""".strip()


class Table:
    """A table of the document: what its bars are."""

    def __init__(self, case, lines):
        head, _, *rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
        columns = {name: number for number, name in enumerate(head)}
        self.case = case
        self.quantity = next((name.removesuffix(", median") for name in head if name.endswith(", median")), None)
        self.file = re.sub(r"[^a-z0-9]+", "-", case.lower()).strip("-") + ".svg"
        if self.drawn():
            numbers = [columns[name] for name in (f"{self.quantity}, median", "least", "most")]
            self.bars = [(row[0], *(float(row[number]) for number in numbers)) for row in rows]

    def drawn(self):
        return self.quantity is not None

    def shown(self):
        return f"![{self.case}](plots/tables/{self.file})"


def picture(table):
    """The SVG. On a white and on a dark page it brings its own paper."""
    height = TOP + ROW * len(table.bars) + BOTTOM
    step, most = scale(max(bar[3] for bar in table.bars))
    ours = next((median for label, median, *_ in table.bars if label == "ferryway"), None)
    unit = next((word for word in table.quantity.split() if word in UNITS), "")

    def across(value):
        return round(LEFT + (RIGHT - LEFT) * value / most, 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{html.escape(table.case)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="paper" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6"/>',
        f'<text class="title" x="16" y="26">{html.escape(table.case)}</text>',
        f'<text class="faint" x="16" y="45">{html.escape(table.quantity)}: '
        f"bars are medians, whiskers go from the least to the most</text>",
        f'<text class="faint number" x="{WIDTH - 90}" y="{TOP - 4}">median</text>',
    ]
    if ours:
        parts.append(f'<text class="faint number" x="{WIDTH - 16}" y="{TOP - 4}">to ferryway</text>')
    for number in range(round(most / step) + 1):
        x = across(number * step)
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP}" y2="{height - BOTTOM + 4}"/>')
        parts.append(f'<text class="faint" x="{x}" y="{height - 14}" text-anchor="middle">{number * step:g}</text>')
    for row, bar in enumerate(table.bars):
        parts += drawn_bar(bar, TOP + ROW * row + ROW / 2, across, ours, unit)
    return "\n".join([*parts, "</svg>"]) + "\n"


def drawn_bar(bar, middle, across, ours, unit):
    label, median, least, most = bar
    kind = "bar ours" if label.startswith("ferryway") else "bar"
    yield f'<text x="{LEFT - 12}" y="{middle + 4}" text-anchor="end">{html.escape(label)}</text>'
    yield (
        f'<rect class="{kind}" x="{LEFT}" y="{middle - 9}" width="{max(across(median) - LEFT, 1):.1f}" '
        f'height="18" rx="2"/>'
    )
    if most > least:
        start, end = across(least), across(most)
        yield (
            f'<path class="whisker" d="M{start} {middle}H{end}M{start} {middle - 5}v10M{end} {middle - 5}v10"/>'
        )
    yield f'<text class="number" x="{WIDTH - 90}" y="{middle + 4}">{shown_number(median)} {unit}</text>'
    if ours:
        yield f'<text class="number" x="{WIDTH - 16}" y="{middle + 4}">{median / ours:.2f}</text>'


def shown_number(value):
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def scale(most):
    """A round step of which a few reach over the longest, and the end of the axis."""
    rough = max(most, 0.001) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    return step, step * math.ceil(max(most, 0.001) / step)


def read(text):
    """The document with every drawn table followed by its picture, and those tables."""
    case = ""
    lines, tables, pending = [], [], []
    for line in [*text.splitlines(), ""]:
        if pending and not line.startswith("|"):
            table = Table(case, pending)
            if table.drawn():
                tables.append(table)
                lines += ["", table.shown()]
            pending = []
        if line.startswith("#"):
            case = line.lstrip("# ")
        elif line.startswith("|"):
            pending.append(line)
        if line.startswith("![") and "](plots/tables/" in line:
            # Put there anew above, with the empty line before it.
            lines.pop()
            continue
        lines.append(line)
    return "\n".join(lines).rstrip() + "\n", tables


def main(check):
    text, tables = read(DOCUMENT.read_text(encoding="utf-8"))
    wanted = {DOCUMENT: text} | {PLOTS / table.file: picture(table) for table in tables}
    assert len(wanted) == len(tables) + 1, "two tables with the same heading"
    stale = set(PLOTS.glob("*.svg")) - set(wanted)
    changed = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if check:
        for path in [*changed, *stale]:
            print(f"{path.relative_to(HERE)} is not what benches/plot.py makes", file=sys.stderr)
        return 1 if changed or stale else 0
    PLOTS.mkdir(parents=True, exist_ok=True)
    for path in changed:
        path.write_text(wanted[path], encoding="utf-8")
    for path in stale:
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] == ["--check"]))
