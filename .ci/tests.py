#!/usr/bin/env python3
"""Runs the test programs of the workspace one after the other, as `cargo test` does, with as many
tests at a time in each as it can bear. The first failure ends the run.

    cargo test --workspace --no-run --message-format=json-render-diagnostics | tests.py
"""
import json
import os
import subprocess
import sys
import time

# Those whose tests wait for servers and time limits nearly all the time.
WAITING = {"e2e", "failover"}

# Tests at a time; the others keep the processors busy with fewer.
WAITING_THREADS, THREADS = "5", "3"


def programs(messages):
    """Name, package's folder and path of each test program that cargo tells of."""
    for line in messages:
        message = json.loads(line)
        if message["reason"] == "compiler-artifact" and message["profile"]["test"]:
            if message["executable"]:
                folder = os.path.dirname(message["manifest_path"])
                yield message["target"]["name"], folder, message["executable"]


def main():
    found = list(programs(sys.stdin))
    if not found:
        sys.exit("cargo told of no test program")
    for name, folder, path in found:
        threads = WAITING_THREADS if name in WAITING else THREADS
        environment = {"RUST_TEST_THREADS": threads, **os.environ}
        print(f"\n--- {os.path.basename(folder)}: {name}", flush=True)
        began = time.monotonic()
        ended = subprocess.run(
            [path], cwd=folder, env=environment, stdin=subprocess.DEVNULL, check=False)
        if ended.returncode != 0:
            sys.exit(f"FAILED: {name} of {folder}")
        print(f"--- {name}: {time.monotonic() - began:.1f} s", flush=True)


main()
