"""Lines over counts, as SVG; both axes are logarithmic, for what grows in step is a straight line then."""

import html
import math

WIDTH, HEIGHT = 420, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 40, 44, 46
COLOURS = ("#1f6f8b", "#c8553d", "#588157", "#7d5ba6")
INK, FAINT = "#333333", "#dddddd"


def drawing(panels):
    """An SVG with a panel beside the other: each a title, a label of the axis below, and lines, which are
    a name and points (x, y), all above 0."""
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH * len(panels)} {HEIGHT}" '
             'font-family="sans-serif" font-size="11">',
             f'<rect width="{WIDTH * len(panels)}" height="{HEIGHT}" fill="white"/>']
    for number, (title, below, lines) in enumerate(panels):
        parts.append(f'<g transform="translate({number * WIDTH} 0)">')
        parts += panel(title, below, lines)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


def panel(title, below, lines):
    points = [point for _, line in lines for point in line]
    across, up = axis([x for x, _ in points]), axis([y for _, y in points])

    def place(x, y):
        return (LEFT + share(across, x) * (WIDTH - LEFT - RIGHT),
                HEIGHT - BOTTOM - share(up, y) * (HEIGHT - TOP - BOTTOM))

    parts = [text(LEFT, 18, title, "start", 'font-weight="bold"'),
             text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, below, "middle")]
    for x in decades(across):
        at = place(x, up[0])[0]
        parts += [rule(at, TOP, at, HEIGHT - BOTTOM), text(at, HEIGHT - BOTTOM + 16, short(x), "middle")]
    for y in decades(up):
        at = place(across[0], y)[1]
        parts += [rule(LEFT, at, WIDTH - RIGHT, at), text(LEFT - 6, at + 4, short(y), "end")]
    for number, (name, line) in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        places = [place(x, y) for x, y in line]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        parts.append(text(LEFT + 130 * number, 34, name, "start", f'style="fill:{colour}"'))
    return parts


def axis(values):
    """The powers of ten around some values."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return 10.0 ** low, 10.0 ** max(high, low + 1)


def share(axis_of, value):
    low, high = map(math.log10, axis_of)
    return (math.log10(value) - low) / (high - low)


def decades(axis_of):
    low, high = (round(math.log10(end)) for end in axis_of)
    return [10.0 ** power for power in range(low, high + 1)]


def short(value):
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def rule(*ends):
    x1, y1, x2, y2 = (f"{end:.1f}" for end in ends)
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{FAINT}"/>'


def text(x, y, words, anchor, more=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{INK}" {more}>'
            f"{html.escape(words)}</text>")
