#!/usr/bin/env python3
"""Tabulates what was measured; used by compare.sh.

    report.py print RESULTS DESCRIPTION
    report.py record RESULTS DESCRIPTION DOCUMENT

RESULTS has the lines of measure.py, DESCRIPTION says what they were measured with.
`record` has each section take the place of the one with its heading in DOCUMENT, or come last.
"""

import collections
import re
import statistics
import sys


def sections(results, description):
    """The Markdown of each section, by its heading."""
    runs = collections.defaultdict(lambda: collections.defaultdict(lambda: collections.defaultdict(list)))
    with open(results, encoding="utf-8") as file:
        for line in file:
            section, case, quantity, client, *numbers = line.rstrip("\n").split("\t")
            numbers = [None if number == "-" else float(number) for number in numbers]
            runs[section][case, quantity][client].append(numbers)
    with open(description, encoding="utf-8") as file:
        said = file.read().strip()
    return {
        section: "\n\n".join([f"## {section}", said, *(table(*case, clients) for case, clients in cases.items())])
        for section, cases in runs.items()
    }


def table(case, quantity, clients):
    """The least is the best, whatever is measured."""
    medians = {
        client: [statistics.median(column) if None not in column else None for column in zip(*runs)]
        for client, runs in clients.items()
    }
    best = min(value for value, _, _ in medians.values())
    ours = medians.get("ferryway", [None])[0]
    columns = {
        "client": list(medians),
        "runs": [len(runs) for runs in clients.values()],
        f"{quantity}, median": [f"{value:.3f}" for value, _, _ in medians.values()],
        "least": [f"{min(run[0] for run in runs):.3f}" for runs in clients.values()],
        "most": [f"{max(run[0] for run in runs):.3f}" for runs in clients.values()],
        "to the least": [f"{value / best:.2f}" if best else "-" for value, _, _ in medians.values()],
        "to ferryway": [f"{value / ours:.2f}" if ours else "-" for value, _, _ in medians.values()],
        "CPU s": ["-" if cpu is None else f"{cpu:.2f}" for _, cpu, _ in medians.values()],
        "peak MiB": ["-" if peak is None else f"{peak:.0f}" for _, _, peak in medians.values()],
    }
    # A column that says nothing is none.
    columns = {name: cells for name, cells in columns.items() if any(cell != "-" for cell in cells)}
    rows = [columns, ["---"] * len(columns), *zip(*columns.values())]
    return "\n".join([f"### {case}", "", *(f"| {' | '.join(map(str, row))} |" for row in rows)])


def print_sections(results, description):
    print("\n\n".join(sections(results, description).values()))


def record(results, description, document):
    with open(document, encoding="utf-8") as file:
        head, *former = re.split(r"^(?=## )", file.read(), flags=re.MULTILINE)
    by_heading = {text.splitlines()[0].removeprefix("## "): text.strip() for text in former}
    by_heading |= sections(results, description)
    with open(document, "w", encoding="utf-8") as file:
        file.write("\n\n".join([head.strip(), *by_heading.values()]) + "\n")


{"print": print_sections, "record": record}[sys.argv[1]](*sys.argv[2:])
