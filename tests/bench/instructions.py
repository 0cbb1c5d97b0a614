#!/usr/bin/env python3
"""Instructions and heap allocations for each record, counted by callgrind, beside those kept in instructions.json.

    python3 tests/bench/instructions.py [NAME …] [--steps] [--keep] [--no-build]
    python3 tests/bench/instructions.py --shipped PROGRAM [NAME …] [--keep]

Unlike times, these hardly depend on the machine or on what else it does, so that a change of a percent shows. First single
steps, alone; then the whole connector, from the socket of XDR to the socket of the destination and back, user space only:
there the number of records that share a wake-up varies, and the figures with it, by some percent.

It is a report: it ends well whatever the figures are. `--keep` writes them down as the ones to compare with. Takes a quarter of a
minute beside the build, which is shorter with `--steps`: the single steps only.

`--shipped` needs no build: it counts the program that is shipped, whole, between a source and a receiver that are the same program.
Without symbols nobody sees allocations in it. CI prints this.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import connector
from processes import (BINARY, ROOT, STARTED, Bench, Disturbed, Sink, free_port, processors, report_of, source, start, stop, temporary_folder,
                       wait_for_port)

STEPS = os.path.join(os.path.dirname(BINARY), "bench-steps")
KEPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "instructions.json")
STEP_RECORDS = 1000
WARM_RECORDS, WHOLE_RECORDS = 1000, 4000
WHOLE = {
    "whole, 1 record, HTTP/1.1": {},
    "whole, 1 record, HTTP/2": {"protocol": "HTTP_2", "connections": 1},
    "whole, 100 records, HTTP/1.1": {"batch": 100},
}
ALLOCATIONS = {"malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"}
CALLGRIND = ["valgrind", "--tool=callgrind", "--quiet"]


def read(path):
    """Instructions and allocations of a callgrind profile."""
    names, instructions, allocations, callee = {}, 0, 0, ""
    for line in open(path, errors="replace"):
        if line.startswith("cfn="):
            number, name = re.match(r"cfn=\((\d+)\)(?: (.*))?", line).groups()
            callee = names.setdefault(number, name or "")
        elif line.startswith("fn="):
            number, name = re.match(r"fn=\((\d+)\)(?: (.*))?", line).groups()
            names.setdefault(number, name or "")
        elif line.startswith("calls=") and callee.split("'")[0].split("@")[0] in ALLOCATIONS:
            allocations += int(line[len("calls="):].split()[0])
        elif line.startswith(("totals:", "summary:")):
            instructions = int(line.split()[1])
    return instructions, allocations


def step(name, folder):
    """Callgrind notes calls outside of what is measured, too, if not their instructions; a run without records tells those."""
    some, none = (profile(name, records, folder) for records in (STEP_RECORDS, 0))
    return some[0] / STEP_RECORDS, (some[1] - none[1]) / STEP_RECORDS


def profile(name, records, folder):
    path = os.path.join(folder, "step.out")
    subprocess.run([*CALLGRIND, "--collect-atstart=no", "--toggle-collect=*measured*", f"--callgrind-out-file={path}", STEPS, name,
                    str(records)], check=True, capture_output=True)
    return read(path)


def whole(setup, bench):
    """Only what runs between the first record of a warm connector and its last answer."""
    sink, process = Sink(bench), None
    try:
        port, manage = free_port(), free_port()
        path = connector.write_configuration(bench, sink.url(), port, manage, call_timeout=60_000, **setup)
        out = os.path.join(bench.folder, "whole.out")
        process = start([*CALLGRIND, f"--callgrind-out-file={out}", BINARY, "run", "--config", path], bench.cpus)
        connector.wait(process, port, manage)
        ship = lambda records: report_of(source(bench, port, "--records", str(records), seconds=60))
        ship(WARM_RECORDS)
        subprocess.run(["callgrind_control", "--zero", str(process.pid)], check=True, capture_output=True)
        shipped = ship(WHOLE_RECORDS)["shipped"]
        subprocess.run(["callgrind_control", "--dump", str(process.pid)], check=True, capture_output=True)
        instructions, allocations = read(f"{out}.1")
        return instructions / shipped, allocations / shipped
    finally:
        if process is not None:
            stop(process, signal.SIGKILL)
        sink.stop()


class Surroundings:
    """All that is needed around a program that needs nothing else."""

    def __init__(self, folder):
        self.folder, (self.cpus, self.other_cpus) = folder, processors()


def shipped(program, setup, bench):
    """The same of a program as it is shipped, which plays source and receiver, too."""
    process, receiver = None, None
    try:
        port, manage, sink = free_port(), free_port(), free_port()
        receiver = start([program, "receive", "--listen", f"127.0.0.1:{sink}"], bench.other_cpus,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_port(sink, receiver)
        path = connector.write_configuration(bench, f"http://127.0.0.1:{sink}/", port, manage, call_timeout=60_000, **setup)
        out = os.path.join(bench.folder, "shipped.out")
        process = start([*CALLGRIND, f"--callgrind-out-file={out}", program, "run", "--config", path], bench.cpus)
        for each in (manage, port):
            wait_for_port(each, process, seconds=60)
        ship = lambda records: subprocess.run([program, "simulate", "--to", f"127.0.0.1:{port}", "--records", str(records)], check=True,
                                              capture_output=True, timeout=120)
        ship(WARM_RECORDS)
        subprocess.run(["callgrind_control", "--zero", str(process.pid)], check=True, capture_output=True)
        ship(WHOLE_RECORDS)
        subprocess.run(["callgrind_control", "--dump", str(process.pid)], check=True, capture_output=True)
        return (read(f"{out}.1")[0] / WHOLE_RECORDS,)
    finally:
        for one in (process, receiver):
            if one is not None:
                stop(one, signal.SIGKILL)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only rows with this in their name")
    parser.add_argument("--steps", action="store_true", help="only the single steps")
    parser.add_argument("--shipped", metavar="PROGRAM", help="only the whole of this program, without a build")
    parser.add_argument("--keep", action="store_true", help="write the figures down as those to compare with")
    parser.add_argument("--no-build", action="store_true", help="take the programs in target/release as they are")
    args = parser.parse_args()
    if not shutil.which("valgrind"):
        print("SKIPPED: instructions are counted by valgrind, which is not there")
        return
    if not args.no_build and not args.shipped:
        programs = ["bench-steps"] if args.steps else ["bench-steps", "bench-load", "esp-connector"]
        subprocess.run(["cargo", "build", "--release", "--quiet", *(f"--bin={name}" for name in programs)], cwd=ROOT, check=True)
    kept = json.load(open(KEPT)) if os.path.exists(KEPT) else {}
    begun, counted = time.monotonic(), {}
    try:
        with temporary_folder() as folder:
            if args.shipped:
                bench = Surroundings(folder)
                jobs = {f"shipped, {name.removeprefix('whole, ')}": lambda setup=setup: shipped(args.shipped, setup, bench)
                        for name, setup in WHOLE.items()}
            else:
                steps = subprocess.run([STEPS], check=True, capture_output=True, text=True).stdout.split()
                jobs = {name: lambda name=name: step(name, folder) for name in steps}
                if not args.steps:
                    bench = Bench(folder, 60)
                    jobs |= {name: lambda setup=setup: whole(setup, bench) for name, setup in WHOLE.items()}
            print(f"{'for each record':30} {'instructions':>12} {'kept':>9} {'change':>8}   {'allocations':>11} {'kept':>6}")
            for name, job in jobs.items():
                if args.names and not any(part in name for part in args.names):
                    continue
                try:
                    counted[name] = figures = dict(zip(("instructions", "allocations"), job()))
                except (Disturbed, OSError, subprocess.SubprocessError) as error:
                    print(f"{name:30} not counted: {error}")
                    continue
                show(name, figures, kept.get("records", {}).get(name))
    finally:
        for process in STARTED:
            process.kill()
    compiler = subprocess.run(["rustc", "--version"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    if kept and kept["compiler"] != compiler:
        print(f"those kept were compiled by {kept['compiler']}, these by {compiler}")
    print(f"took {time.monotonic() - begun:.0f} s", file=sys.stderr)
    if args.keep:
        rounded = {name: {what: round(figure, 2 if what == "allocations" else None) for what, figure in figures.items()}
                   for name, figures in counted.items()}
        with open(KEPT, "w") as file:
            json.dump({"compiler": compiler, "records": {**kept.get("records", {}), **rounded}}, file, indent=2)
            file.write("\n")


def show(name, figures, kept):
    line = f"{name:30} {figures['instructions']:12,.0f}"
    if kept:
        line += f" {kept['instructions']:9,} {figures['instructions'] / kept['instructions'] - 1:+8.1%}"
    else:
        line += f" {'':9} {'':8}"
    if "allocations" in figures:
        line += f"   {figures['allocations']:11.2f}" + (f" {kept['allocations']:6.2f}" if kept else "")
    print(line, flush=True)


if __name__ == "__main__":
    main()
