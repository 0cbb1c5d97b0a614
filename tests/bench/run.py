#!/usr/bin/env python3
"""What a record costs, side by side with the best tools there are, in one run on one machine.

    python3 tests/bench/run.py [GROUP …] [--rounds 5] [--seconds 2] [--no-build]

Groups: cost (the default, some five minutes), load, faults, latency, memory, scale, sizes, servers, start; `all` is every one of them,
some forty minutes. Rows of a group are measured in turn, round after round; figures are medians, and comparisons are made
within a round, so that they hold on a machine that has other work, too. `µs CPU` is user + system time of the process under
test for each record, `cores busy` how much of a processor it used, `waits` how often it slept. It has processors of its own;
source and receiver share the rest. Prints a table for each group, and
writes all rounds to target/bench/GROUP.json and cost against load to target/bench/load.svg. Everything stays on loopback.

`wrk`, `h2load`, rsyslog and syslog-ng are fetched as Debian packages and unpacked below target/ where they are not installed.
"""

import argparse
import atexit
import datetime
import json
import os
import platform
import subprocess
import sys

import groups
import report
from processes import ROOT, STARTED, Bench, temporary_folder

OUT = os.path.join(ROOT, "target", "bench")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("groups", nargs="*", default=["cost"], metavar="GROUP", help=f"{', '.join(groups.GROUPS)}, or all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one measurement")
    parser.add_argument("--only", default="", help="only rows with this in their name, and what they are compared with")
    parser.add_argument("--nice", type=int, default=0, help="priority of all parties; below 0 (as root) where others use the machine")
    parser.add_argument("--no-build", action="store_true", help="take the programs in target/release as they are")
    args = parser.parse_args()
    names = list(groups.GROUPS) if args.groups == ["all"] else args.groups
    if unknown := [name for name in names if name not in groups.GROUPS]:
        parser.error(f"unknown: {unknown}; there are {list(groups.GROUPS)}")
    if not args.no_build:
        build = ["cargo", "build", "--release", "--quiet", "--bin=esp-connector", "--bin=bench-load"]
        subprocess.run(build, cwd=ROOT, check=True)
    first_in_line(args.nice)
    try:
        with temporary_folder() as folder:
            os.chmod(folder, 0o777)
            bench = Bench(folder, args.seconds)
            for name in names:
                one_group(bench, name, args)
    finally:
        for process in STARTED:
            process.kill()


def first_in_line(nice):
    """Where Linux shares processors out between sessions, priorities count within one; so the session's is set, too."""
    if not nice:
        return
    os.nice(nice)
    try:
        with open("/proc/self/autogroup", "w") as group:
            group.write(str(nice))
        atexit.register(lambda: open("/proc/self/autogroup", "w").write("0"))
    except OSError as error:
        print(f"the session's priority stays: {error}", file=sys.stderr)


def one_group(bench, name, args):
    begun, load_before = datetime.datetime.now(datetime.timezone.utc), os.getloadavg()[0]
    rows = groups.GROUPS[name](bench)
    if args.only:
        chosen = [row for row in rows if args.only in row.name]
        wanted = {other for row in chosen for other in row.against}
        rows = [row for row in rows if row in chosen or row.name in wanted]

    def say(number, row):
        if sys.stderr.isatty():
            print(f"\r\x1b[2K{name}: round {number + 1} of {args.rounds}: {row.name}", end="", file=sys.stderr, flush=True)

    groups.run_rounds(rows, args.rounds, say)
    if sys.stderr.isatty():
        print("\r\x1b[2K", end="", file=sys.stderr)
    facts = {
        "group": name, "begun": begun.isoformat(timespec="seconds"), "rounds": args.rounds, "seconds": args.seconds,
        "commit": commit(), "nice": args.nice, "machine": machine(), "under_test_on": bench.cpus, "source_and_receiver_on": bench.other_cpus,
        "load_before": load_before, "load_after": os.getloadavg()[0],
    }
    print(f"{name}: {facts['rounds']} rounds of {facts['seconds']:g} s, {facts['begun']}, commit {facts['commit']}, {facts['machine']}, "
          f"load {load_before:.1f} before and {facts['load_after']:.1f} after\n", flush=True)
    print(report.table(name, rows) + "\n", flush=True)
    os.makedirs(OUT, exist_ok=True)
    with open(os.path.join(OUT, f"{name}.json"), "w") as file:
        json.dump({**facts, "rows": [report.as_json(row) for row in rows]}, file, indent=1)
    if name == "load" and (svg := report.picture(rows)):
        with open(os.path.join(OUT, "load.svg"), "w") as file:
            file.write(svg)


def commit():
    described = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return described.stdout.strip() or "unknown"


def machine():
    models = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return f"{os.cpu_count()} × {models[0] if models else platform.machine()}, Linux {platform.release()}"


if __name__ == "__main__":
    main()
