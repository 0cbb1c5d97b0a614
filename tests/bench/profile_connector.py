#!/usr/bin/env python3
"""Where the time of the connector goes under full load: system calls for each record, and the functions that take most.

    python3 tests/bench/profile_connector.py [h1|h2|batch|h1-tls|h2-tls|batch-tls] [--rate R] [--seconds 5]

Takes the programs in target/release as they are. System calls are counted by `strace`, which slows the connector down, so that
fewer records share a call than at full speed; functions are sampled by `perf`, beside nothing else. The profile stays in
target/bench/perf.data, for `perf report` and flame graphs.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import time

import connector
from groups import BATCH, H2
from processes import BINARY, STARTED, Bench, Sink, cpu_ns, free_port, report_of, source, start, stop, temporary_folder, waits
from run import OUT, first_in_line

CASES = {"h1": {}, "h2": H2, "batch": BATCH}
CASES |= {f"{name}-tls": {"tls": True, **setup} for name, setup in CASES.items()}
WARM_SECONDS = 0.5


def observed(bench, observe, rate, tls=False, **setup):
    """Starts all, lets `observe(pid)` start a tool, and ends it before the load ends."""
    sink = Sink(bench)
    port, manage = free_port(), free_port()
    process = start([BINARY, "run", "--config", connector.write_configuration(bench, sink.url(tls), port, manage, **setup)], bench.cpus)
    connector.wait(process, port, manage)
    shipper = source(bench, port, *(["--rate", str(rate)] if rate else []))
    time.sleep(WARM_SECONDS)
    tool = observe(process.pid)
    figures = lambda: (sink.counts()["records"], cpu_ns(process.pid), waits(process.pid))
    before = figures()
    time.sleep(bench.seconds - 2 * WARM_SECONDS)
    after = figures()
    said = ""
    if tool:
        tool.send_signal(signal.SIGINT)
        said = tool.communicate()[1]
    report_of(shipper)
    stop(process)
    sink.stop()
    records, cpu, slept = (later - earlier for earlier, later in zip(before, after))
    return records, cpu / 1e3 / records, slept / records, said


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("case", nargs="?", default="h1", choices=CASES)
    parser.add_argument("--rate", type=int, default=0, help="records per second; all that goes without it")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--nice", type=int, default=0, help="as for run.py")
    args = parser.parse_args()
    first_in_line(args.nice)
    os.makedirs(OUT, exist_ok=True)
    try:
        with temporary_folder() as folder:
            bench = Bench(folder, args.seconds)
            look = lambda observe: observed(bench, observe, args.rate, **CASES[args.case])
            records, cpu, slept, _ = look(lambda pid: None)
            print(f"{args.case}: {records} records, {cpu:.2f} µs CPU and {slept:.4f} waits for each\n")
            if shutil.which("strace"):
                trace = lambda pid: subprocess.Popen(["strace", "-c", "-f", "-p", str(pid)], stderr=subprocess.PIPE, text=True)
                records, _, _, said = look(trace)
                print("system calls for each record, under strace:")
                for calls, name in re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", said, re.M):
                    if name != "total" and int(calls) > records / 1000:
                        print(f"  {name:12} {int(calls) / records:.3f}")
            if shutil.which("perf"):
                data = os.path.join(OUT, "perf.data")
                sample = lambda pid: subprocess.Popen(["perf", "record", "-q", "-F", "2000", "-g", "-e", "cpu-clock", "-p", str(pid), "-o", data],
                                                      stderr=subprocess.PIPE, text=True)
                look(sample)
                for title, option in (("functions, alone", "--no-children"), ("functions, with what they call", "--children")):
                    print(f"\n{title}:")
                    told = subprocess.run(["perf", "report", "-i", data, option, "--stdio", "-g", "none", "--percent-limit", "0.8"],
                                          capture_output=True, text=True).stdout
                    lines = [line for line in told.splitlines() if line.strip() and not line.startswith("#")]
                    print("\n".join(lines[:40]))
    finally:
        for process in STARTED:
            process.kill()


if __name__ == "__main__":
    main()
