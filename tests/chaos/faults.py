#!/usr/bin/env python3
"""Nothing is lost, whatever fails: the release binary with real sockets, under one fault after the other.

    cargo build --release --bin esp-connector && python3 tests/chaos/faults.py [CASE …] [--list] [--self-check]

Each case ships to the end and ends with a row: records shipped, lost (0), duplicates, the longest that a record waited for any
answer, peak memory of the connector. Exit code 1 when anything is lost, a record stays unanswered for more than ten seconds while
its connection lives, memory exceeds its bound, or the connector panics or does not end by itself. Writes target/chaos/faults.json.
About twelve minutes for all. As root everything runs in a network and a mount namespace of its own, and touches neither the
machine's network nor its files; without root some cases are skipped and say so.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

import answers
import machine
import selfcheck
from scene import BINARY, OUT, STARTED, Failed, Skipped, wrong

CASES = {**answers.CASES, **machine.CASES}
HEADERS = ["fault", "times", "shipped", "lost", "duplicates", "refused for now", "longest unanswered", "peak MiB", "verdict"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--self-check", action="store_true", help="run what has to fail instead, to see that it does")
    parser.add_argument("--list", action="store_true", help="say which cases there are")
    args = parser.parse_args()
    if args.list:
        print("\n".join(f"{name:16} {what}" for name, (what, _, _) in CASES.items()))
        return
    if unknown := [name for name in args.cases if name not in CASES]:
        parser.error(f"unknown: {unknown}; --list says which there are")
    if not os.path.exists(BINARY):
        parser.error(f"{os.path.relpath(BINARY)} is not there: cargo build --release --bin esp-connector")
    isolate(__file__)
    if args.self_check:
        sys.exit(0 if self_check() else 1)
    rows = each(args.cases or CASES, HEADERS, run, "faults.json")
    print("\n" + table(rows), flush=True)
    sys.exit(1 if any(row["wrong"] for row in rows) else 0)


def each(names, headers, run, file_name):
    """One case after the other, each with its row as soon as it is over."""
    rows = []
    try:
        for name in names:
            rows.append(run(name))
            print(line([rows[-1][key] for key in headers]), flush=True)
    finally:
        for process in STARTED:
            process.kill()
    os.makedirs(OUT, exist_ok=True)
    with open(os.path.join(OUT, file_name), "w") as file:
        json.dump(rows, file, indent=1)
    return rows


def self_check():
    """Whether each check fails what it is there for."""
    good = True
    try:
        for name, (what, case, bounds, expected) in selfcheck.CASES.items():
            verdict = run(name, (what, case, bounds))["verdict"]
            seen = verdict.startswith("FAILED") and expected in verdict
            good &= seen
            print(f"{what}: {verdict}" + ("" if seen else f"   <- expected to fail with: {expected}"), flush=True)
    finally:
        for process in STARTED:
            process.kill()
    return good


def isolate(program):
    """Goes on in namespaces of its own."""
    if os.geteuid() != 0 or os.environ.get("CHAOS_NAMESPACE") == "1":
        return
    probe = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True)
    if probe.returncode == 0:
        os.environ["CHAOS_NAMESPACE"] = "1"
        script = 'ip link set lo up && exec "$@"'
        os.execvp("unshare", ["unshare", "--net", "--mount", "sh", "-c", script, "sh", sys.executable, os.path.abspath(program), *sys.argv[1:]])


def run(name, case=None):
    what, case, bounds = case or CASES[name]
    row = {"case": name, "fault": what, "wrong": []} | dict.fromkeys(HEADERS[1:], "")
    scene = None
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        try:
            steps = case(folder)
            scene = next(steps)
            found = next(steps)
        except Skipped as why:
            return {**row, "verdict": f"SKIPPED: {why}"}
        except Failed as why:
            return {**row, "wrong": [str(why)], "verdict": f"FAILED: {why}"}
        finally:
            if scene:
                scene.stop()
            # Files of a small disk, and names of another machine, end with their case.
            for path in (os.path.join(folder, "disk"), "/etc/hosts"):
                if machine.isolated() and os.path.ismount(path):
                    subprocess.run(["umount", "-l", path], check=False)
    found.pop("samples")
    row["wrong"] = wrong(found, **bounds)
    return {**row, **{key: value for key, value in found.items() if key != "wrong"}, "times": found.get("faults", ""),
            "refused for now": found["refused"], "longest unanswered": f"{found['unanswered_s']:.2f} s",
            "peak MiB": f"{found['peak_mib']:.0f}", "verdict": "FAILED: " + "; ".join(row["wrong"]) if row["wrong"] else "good"}


def line(cells):
    return "| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells) + " |"


def table(rows):
    return "\n".join([line(HEADERS), line(["---"] * len(HEADERS)), *(line([row[key] for key in HEADERS]) for row in rows)])


if __name__ == "__main__":
    main()
