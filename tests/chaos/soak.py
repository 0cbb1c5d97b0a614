#!/usr/bin/env python3
"""An hour at seven tenths of full load, with faults at random: nothing lost, and nothing that grows.

    cargo build --release --bin esp-connector && python3 tests/chaos/soak.py [--minutes 100 --outage 10]

Measures first what the connector takes at most here, then ships seven tenths of that. Every half minute or so something fails: the
receiver dies, stops, refuses, hangs, closes or is slow for a moment; the connector is stopped, or told to read its configuration
again. `--outage`: minutes for which the receiver is away, from a third of the run. Memory and descriptors of the connector are sampled
twice a second; behind a warm-up of a fifth a line is fitted through the medians of twenty parts, and growth fails the run. So do a lost record, one
unanswered for ten seconds, a lag that does not come back down, and a panic. Writes target/chaos/soak.json and soak.svg.
"""

import argparse
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
import urllib.request

import picture
from faults import isolate
from scene import OUT, STARTED, Failed, Scene, wrong

# More than a tenth, or than this, is growth.
GROWTH_MIB, GROWTH_FILES = 2.0, 8
LAG_S_MAX = 15.0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--outage", type=float, default=0, help="minutes without a receiver")
    parser.add_argument("--rate", type=int, default=0, help="records per second; 0 measures what is possible and takes 70 %% of it")
    parser.add_argument("--seed", type=int, default=1, help="which faults, and when")
    args = parser.parse_args()
    # What piled up is caught up with by three tenths of the machine, beside the same faults as before: five times the outage, as measured.
    if not args.rate and args.minutes < 10 * args.outage:
        parser.error(f"{args.outage:g} minutes without a receiver need --minutes {10 * args.outage:g}, or more, to catch up")
    isolate(__file__)
    try:
        with tempfile.TemporaryDirectory(prefix="soak-") as folder:
            good = soak(folder, args)
    finally:
        for process in STARTED:
            process.kill()
    sys.exit(0 if good else 1)


def soak(folder, args):
    rate = args.rate or int(0.7 * full_speed())
    seconds = args.minutes * 60
    scene = Scene(folder, batch=1, destination={"max-connections-per-endpoint": 32})
    scene.samples.every = 0.5
    begun = scene.ship(seconds, rate)
    print(f"{rate:,} records/s for {args.minutes:g} minutes, seed {args.seed}", flush=True)
    events, lags = cause_trouble(scene, begun, seconds, rate, args)
    row = scene.finish()
    found = wrong(row) + growth(row["samples"], seconds, events) + lag(lags, events, seconds)
    report(row, rate, args, events, lags, found)
    return not found


def full_speed():
    """Records per second, as long as nothing fails."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        scene = Scene(folder, batch=1, destination={"max-connections-per-endpoint": 32})
        scene.ship(1, 200_000, pace=0)
        row = scene.finish()
        scene.stop()
    return row["shipped"] / row["seconds"]


class Trouble:
    """What may fail. Each takes some seconds, and all is well behind it."""

    def __init__(self, scene, dice):
        self.scene, self.dice = scene, dice
        self.kinds = {"killed": self.killed, "stopped": self.stopped, "connector stopped": self.connector_stopped, "reload": self.reload,
                      "refusals": lambda: self.badly("--fail-share", "0.05"), "hangs": lambda: self.badly("--hang-share", "0.002"),
                      "closes": lambda: self.badly("--close-share", "0.02"), "slow": lambda: self.badly("--delay-ms", "20")}

    def killed(self):
        self.scene.restart_receiver(self.dice.uniform(0.2, 3))

    def stopped(self):
        self.scene.receiver.send_signal(signal.SIGSTOP)
        time.sleep(self.dice.uniform(0.5, 4))
        self.scene.receiver.send_signal(signal.SIGCONT)

    def connector_stopped(self):
        self.scene.connector.send_signal(signal.SIGSTOP)
        time.sleep(self.dice.uniform(0.2, 1.5))
        self.scene.connector.send_signal(signal.SIGCONT)

    def reload(self):
        url = f"http://127.0.0.1:{self.scene.manage}/manage/rest/v1/reload"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=20) as answer:
                if not json.load(answer)["reloaded"]:
                    raise Failed("a reload was refused")
        except OSError as error:
            raise Failed(f"a reload without an answer ({error}); {threads(self.scene.connector.pid)}; {self.scene.log_text()[-2000:]}") from error

    def badly(self, *options):
        self.scene.restart_receiver(0, *options)
        time.sleep(self.dice.uniform(3, 10))
        self.scene.restart_receiver()


def threads(pid):
    """What each thread does at the moment: running, or where it waits in the system."""
    found = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/stat") as stat, open(f"/proc/{pid}/task/{thread}/wchan") as wchan:
            found.append(f"{stat.read().rsplit(')', 1)[1].split()[0]} {wchan.read()}")
    return "threads: " + ", ".join(found)


def cause_trouble(scene, begun, seconds, rate, args):
    """Until the source has made all its changes: what happened and when, and how far behind the connector was."""
    dice = random.Random(args.seed)
    trouble, events, lags = Trouble(scene, dice), [], []
    now = lambda: time.monotonic() - begun
    outage = (seconds / 3, seconds / 3 + args.outage * 60) if args.outage else None
    due = 10.0
    while now() < seconds and scene.source.poll() is None:
        if outage and now() >= outage[0]:
            scene.receiver.kill()
            scene.receiver.wait()
            while now() < outage[1]:
                lags.append((now(), lag_of(scene, rate)))
                time.sleep(1)
            scene.start_receiver()
            events.append(("outage", outage[0], now()))
            outage, due = None, now() + 30
        elif now() >= due:
            kind = dice.choice(list(trouble.kinds))
            at = now()
            trouble.kinds[kind]()
            events.append((kind, at, now()))
            due = now() + dice.uniform(15, 45)
        lags.append((now(), lag_of(scene, rate)))
        time.sleep(1)
    return events, lags


def lag_of(scene, rate):
    """For how many seconds of changes the source waits, as it says itself every five seconds."""
    with open(scene.progress) as progress:
        said = re.findall(r"changes (\d+) of .* acked (\d+),", progress.read())
    return (int(said[-1][0]) - int(said[-1][1])) / rate if said else None


def usual(samples, column, seconds, outages, parts=20):
    """The median of each part of the run behind the warm-up and outside of outages, and when."""
    found = []
    for number in range(parts):
        begin, end = (seconds * (0.2 + 0.8 * at / parts) for at in (number, number + 1))
        values = sorted(sample[column] for sample in samples if begin <= sample[0] < end)
        if values and not any(began < end and begin < ended for began, ended in outages):
            found.append(((begin + end) / 2, values[len(values) // 2]))
    return found


def slope(points):
    """Of the line with the least squares, per second."""
    mean_x, mean_y = (sum(point[at] for point in points) / len(points) for at in (0, 1))
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


def growth(samples, seconds, events=()):
    """What grew behind the warm-up, by the line through what is usual."""
    found, outages = [], [(begin, end) for kind, begin, end in events if kind == "outage"]
    for column, unit, allowed in ((1, "MiB", GROWTH_MIB), (2, "descriptors", GROWTH_FILES)):
        points = usual(samples, column, seconds, outages)
        if len(points) < 5:
            found.append(f"only {len(points)} samples of {unit}")
            continue
        grown = slope(points) * 0.8 * seconds
        first = points[0][1]
        print(f"{unit}: {first:.1f} behind the warm-up, {grown:+.2f} over the rest by the line through the medians", flush=True)
        if grown > max(allowed, first / 10):
            found.append(f"{unit} grew by {grown:.1f} from {first:.1f}")
    return found


def lag(lags, events, seconds):
    """Behind an outage there is something to catch up with; else a moment."""
    outage = next(((begin, end) for kind, begin, end in events if kind == "outage"), None)
    # Caught up, or what 30 % of the capacity catch up with, and half as much again.
    limit = outage[1] + 1.5 * (outage[1] - outage[0]) * 0.7 / 0.3 if outage else 0
    until = next((at for at, value in lags if outage and value is not None and at > outage[1] and value < 2), limit)
    worst = max((value for at, value in lags if value is not None and not (outage and outage[0] <= at <= until)), default=0)
    last = next((value for _, value in reversed(lags) if value is not None), None)
    print(f"lag: at most {worst:.1f} s outside of outages, {last} s at the end", flush=True)
    found = [f"the lag was {worst:.1f} s"] if worst > LAG_S_MAX else []
    return found + (["nobody could say how large the lag was"] if last is None else [])


def report(row, rate, args, events, lags, found):
    columns = ["minutes", "outage", "records/s", "faults", "shipped", "lost", "duplicates", "refused for now", "longest unanswered", "peak MiB", "verdict"]
    cells = [f"{args.minutes:g}", f"{args.outage:g}", f"{rate:,}", len(events), f"{row['shipped']:,}", row["lost"], f"{row['duplicates']:,}",
             f"{row['refused']:,}", f"{row['unanswered_s']:.2f} s", f"{row['peak_mib']:.0f}", "FAILED: " + "; ".join(found) if found else "good"]
    for line in (columns, ["---"] * len(columns), cells):
        print("| " + " | ".join(map(str, line)) + " |", flush=True)
    os.makedirs(OUT, exist_ok=True)
    with open(os.path.join(OUT, "soak.json"), "w") as file:
        json.dump({**row, "rate": rate, "events": events, "lags": lags, "wrong": found}, file)
    with open(os.path.join(OUT, "soak.svg"), "w") as file:
        file.write(picture.over_time(row["samples"], lags, events))


if __name__ == "__main__":
    main()
