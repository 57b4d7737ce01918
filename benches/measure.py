#!/usr/bin/env python3
"""Measures commands and tabulates what was measured; used by compare.sh.

    measure.py run RESULTS CASE CLIENT [--service PID,...] -- COMMAND...
    measure.py table RESULTS

`run` adds one line to RESULTS: case, client, wall seconds, CPU seconds (user and
system, the command and all it waited for) and peak memory in KiB. Services that
work for the command are counted with it: their CPU time during the run is added,
and their peak memory during the run.
"""

import collections
import os
import pathlib
import statistics
import sys
import tempfile
import time


def run(results, case, client, *rest):
    split = rest.index("--")
    services = [int(pid) for pid in rest[1].split(",")] if rest[:split] else []
    command = rest[split + 1:]
    before = sum(map(begin_service, services))
    started = time.monotonic()
    with tempfile.NamedTemporaryFile("r") as peak_file:
        # The kernel counts what a process was before it became the command, so a
        # command started from here would have at least Python's memory.
        timed = ["/usr/bin/time", "-q", "-f", "%M", "-o", peak_file.name, *command]
        child = os.posix_spawn(timed[0], timed, os.environ)
        _, status, usage = os.wait4(child, 0)
        wall = time.monotonic() - started
        peak = int(peak_file.read() or 0)
    cpu = usage.ru_utime + usage.ru_stime
    cpu += sum(map(service_cpu, services)) - before
    peak += sum(map(service_peak, services))
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        sys.exit(f"{client}, {case}: ended with {code}: {' '.join(command)[:500]}")
    with open(results, "a", encoding="utf-8") as file:
        print(case, client, f"{wall:.4f}", f"{cpu:.4f}", peak, sep="\t", file=file)


def begin_service(pid):
    """Its CPU seconds so far; its peak memory starts anew."""
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
    return service_cpu(pid)


def service_cpu(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    # utime, stime, and those of children that ended: fields 14 to 17 of proc(5).
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def service_peak(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


def table(results):
    rows = collections.defaultdict(lambda: collections.defaultdict(list))
    with open(results, encoding="utf-8") as file:
        for line in file:
            case, client, *numbers = line.rstrip("\n").split("\t")
            rows[case][client].append([float(number) for number in numbers])
    for case, clients in rows.items():
        print(f"\n### {case}\n")
        medians = {client: [statistics.median(column) for column in zip(*runs)]
                   for client, runs in clients.items()}
        fastest = min(wall for wall, _, _ in medians.values())
        ours = medians.get("ferryway", [None])[0]
        print("| client | runs | wall s, median | least | most | to fastest | to ferryway | CPU s | peak MiB |")
        print("|---|---|---|---|---|---|---|---|---|")
        for client, (wall, cpu, peak) in medians.items():
            walls = [run[0] for run in clients[client]]
            to_ours = f"{wall / ours:.2f}" if ours else "-"
            print(f"| {client} | {len(walls)} | {wall:.3f} | {min(walls):.3f} | {max(walls):.3f} "
                  f"| {wall / fastest:.2f} | {to_ours} | {cpu:.2f} | {peak / 1024:.0f} |")


{"run": run, "table": table}[sys.argv[1]](*sys.argv[2:])
