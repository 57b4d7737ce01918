#!/usr/bin/env python3
"""Draws what scale.sh measured: growth.py DATA DRAWING."""

import pathlib
import sys

import lines

# Columns of the data.
SERIES, HISTORY, FLIGHT, READY, FIRST, RESIDENT, JOBS = 0, 1, 2, 3, 6, 9, 10
AXIS = {"history": ("jobs in the history", HISTORY), "flight": ("jobs in flight", FLIGHT)}


def main(data, drawing):
    rows = [line.split("\t") for line in pathlib.Path(data).read_text(encoding="ascii").splitlines()]

    def line(series, column):
        at = AXIS[series][1]
        points = [(float(row[at]), float(row[column])) for row in rows if row[SERIES] == series]
        return [(x, y) for x, y in points if y > 0]

    panels = []
    for series, (below, _) in AXIS.items():
        times = [("all recovered", line(series, READY)), ("first byte", line(series, FIRST))]
        panels.append((f"Takeover, s, by {below}", below, times))
    memory = [(f"by {below}", line(series, RESIDENT)) for series, (below, _) in AXIS.items()]
    panels.append(("Memory when ready, MiB", "jobs", memory))
    panels.append(("Small files a second", AXIS["history"][0], [("jobs/s", line("history", JOBS))]))
    pathlib.Path(drawing).write_text(lines.drawing(panels), encoding="ascii")


main(*sys.argv[1:])
