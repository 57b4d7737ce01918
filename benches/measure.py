#!/usr/bin/env python3
"""Measures commands; used by compare.sh.

    measure.py run RESULTS SECTION CASE CLIENT [--service PID,...] -- COMMAND...
    measure.py start RESULTS SECTION CASE CLIENT PORT|ready -- COMMAND...

`run` measures a command to its end. Services that work for it are counted with it: their
CPU time during the run, and their memory at the same moments.

`start` measures a server to its first word at PORT, or, with `ready`, to its word to the
service manager (sd_notify), and ends it.

Each adds one line to RESULTS: section, case, quantity, client, seconds, CPU seconds (user
and system, with all children that were waited for) and peak memory in MiB.
"""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

# Between two looks at the memory.
LOOK_S = 0.02
# A server that has not answered by then will not.
START_S = 30


def run(results, section, case, client, *rest):
    split = rest.index("--")
    services = [int(pid) for pid in rest[1].split(",")] if rest[:split] else []
    command = rest[split + 1:]
    before = sum(map(begin_service, services))
    with tempfile.NamedTemporaryFile("r") as peak_file:
        # The kernel counts what a process was before it became the command, so a
        # command started from here would have at least Python's memory.
        timed = ["/usr/bin/time", "-q", "-f", "%M", "-o", peak_file.name, *command]
        started = time.monotonic()
        child = os.posix_spawn(timed[0], timed, os.environ)
        memory = Memory(child, services)
        _, status, usage = os.wait4(child, 0)
        wall = time.monotonic() - started
        # Of one process, but also of one that was gone between two looks.
        peak = max(memory.end(), int(peak_file.read() or 0))
    await_children(services)
    cpu = usage.ru_utime + usage.ru_stime
    cpu += sum(map(service_cpu, services)) - before
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        sys.exit(f"{client}, {case}: ended with {code}: {' '.join(command)[:500]}")
    record(results, section, case, client, wall, f"{cpu:.4f}", peak)


def start(results, section, case, client, word, dashes, *command):
    assert dashes == "--"
    with tempfile.TemporaryDirectory() as folder:
        words = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        words.bind(f"{folder}/notify")
        words.settimeout(START_S)
        started = time.monotonic()
        server = subprocess.Popen(command, env={**os.environ, "NOTIFY_SOCKET": f"{folder}/notify"})
        try:
            if word == "ready":
                while b"READY=1" not in words.recv(4096).split(b"\n"):
                    pass
            else:
                greeting(int(word), started + START_S)
            wall = time.monotonic() - started
            peak = resident(server.pid)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(START_S)
    record(results, section, case, client, wall, "-", peak)


def record(results, section, case, client, wall, cpu, peak):
    with open(results, "a", encoding="utf-8") as file:
        print(section, case, "wall s", client, f"{wall:.4f}", cpu, f"{peak / 1024:.1f}", sep="\t", file=file)


def greeting(port, deadline):
    """Until something at the port says something."""
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=START_S) as connection:
                if connection.recv(1):
                    return
        except ConnectionError:
            time.sleep(0.001)
    sys.exit(f"nothing at port {port}")


class Memory:
    """Looks at the memory of a process's children, and of services, while something runs."""

    def __init__(self, parent, services):
        self.parent = parent
        self.services = services
        self.peak = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look)
        self.thread.start()

    def look(self):
        while True:
            together = sum(map(resident, [*children(self.parent), *self.services]))
            self.peak = max(self.peak, together)
            if self.over.wait(LOOK_S):
                return

    def end(self):
        """The most KiB that all of them had at one moment, each at its own highest so far."""
        self.over.set()
        self.thread.join()
        return self.peak


def resident(pid):
    """KiB of a process at its highest so far, and of the children that it has now."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        own = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")]
        return sum(own) + sum(map(resident, children(pid)))
    except (FileNotFoundError, ProcessLookupError):
        return 0


def children(pid):
    found = []
    try:
        for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (thread / "children").read_text(encoding="ascii").split())
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def begin_service(pid):
    """Its CPU seconds so far; its peak memory starts anew."""
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
    return service_cpu(pid)


def await_children(services):
    """What services had started for a command is counted when they have seen its end."""
    deadline = time.monotonic() + 1
    while any(map(children, services)) and time.monotonic() < deadline:
        time.sleep(0.01)


def service_cpu(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    # utime, stime, and those of children that ended: fields 14 to 17 of proc(5).
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


{"run": run, "start": start}[sys.argv[1]](*sys.argv[2:])
