#!/usr/bin/env python3
"""Plants one mistake after the other in a copy of the repository, and shows how many seeds the simulation needs to find it.

    python3 tests/chaos/mutations.py [NAME ...]

A mistake is a piece of text that is replaced; where the text is not there any more, the list below needs care. The copy is a
work tree of the last commit under target/, and shares what is compiled of other people's crates.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
COPY = REPOSITORY / "target" / "mutants"
SEEDS = 1000

# Name, what is wrong then, file, text, what takes its place.
MISTAKES = [
    (
        "early-ack",
        "a record is acknowledged while one destination has not answered",
        "connector/src/replies.rs",
        "if self.open > 0 {",
        "if self.open > 1 {",
    ),
    (
        "silence-is-yes",
        "a request that nobody answered in time counts as delivered",
        "adapters/src/http.rs",
        "FailureKind::Timeout => Report::failed(Class::Transient, Cause::Timeout)",
        "FailureKind::Timeout => Report::delivered(None)",
    ),
    (
        "overtaking-reply",
        "an answer that is known at once overtakes those of records",
        "connector/src/replies.rs",
        "        state.slots.push_back(slot);\n",
        "        match slot {\n            Slot::Known(_) => state.slots.push_front(slot),\n            _ => state.slots.push_back(slot),\n        }\n",
    ),
    (
        "two-in-flight",
        "the next version of a record may go as soon as the one before is sent",
        "connector/src/lane/queue.rs",
        "                bytes += job.piece.len();\n                batch.push(job);\n",
        "                bytes += job.piece.len();\n                let record = job.record;\n                batch.push(job);\n                self.release(&record, now);\n",
    ),
    (
        "busy-for-ever",
        "a record that expired while it waited stays busy, and its next versions wait for ever",
        "connector/src/lane/queue.rs",
        "            if needless {\n                self.finish(&job, now);\n",
        "            if needless {\n                self.held -= 1;\n                self.held_bytes -= job.bytes();\n",
    ),
    (
        "impatient-lane",
        "a reload lets the new lane send while the old one is at work",
        "connector/src/lane/life.rs",
        "            after.over(alone).await;",
        "            drop((after, alone));",
    ),
    (
        "leaking-window",
        "a connection that breaks keeps its room in the window",
        "connector/src/connection.rs",
        "    shared.window.leave(records, bytes);\n",
        "    let _ = (shared, bytes);\n",
    ),
    (
        "late-answer",
        "a record is answered after eleven seconds at the latest, not eight",
        "connector/src/connection.rs",
        "ANSWER_WITHIN: Duration = Duration::from_secs(8)",
        "ANSWER_WITHIN: Duration = Duration::from_secs(11)",
    ),
    (
        "any-version",
        "a destination that has one version of a record counts as having the next",
        "connector/src/connection/intake/dispatch.rs",
        "memory.version(frame.body(), delivery.number)",
        "{ _ = frame; memory.version(&[], delivery.number) }",
    ),
    (
        "older-stands",
        "of two versions that wait the older one is sent for both",
        "connector/src/lane/job.rs",
        "        if newer {\n            std::mem::swap",
        "        if !newer {\n            std::mem::swap",
    ),
    (
        "one-more-connection",
        "an endpoint gets one connection more than is allowed",
        "adapters/src/client/slots.rs",
        "(open < connections_max)",
        "(open <= connections_max)",
    ),
    (
        "barging",
        "who comes to the window goes before who waits for it, and waits without end (found by the simulation)",
        "connector/src/window.rs",
        "self.waiting.load(Ordering::Acquire) == 0 && self.admit(bytes)",
        "self.admit(bytes)",
    ),
]


def run(*command, **more):
    return subprocess.run(command, cwd=COPY, text=True, capture_output=True, **more)


def build():
    """The test program, or what the compiler says."""
    built = run("cargo", "test", "--workspace", "--test", "simulation", "--no-run", env=environment())
    found = re.search(r"Executable .*\((.*)\)", built.stderr)
    if built.returncode or not found:
        return None, built.stderr[-2000:]
    return COPY / found.group(1), ""


def environment(**more):
    return {**os.environ, "CARGO_TARGET_DIR": str(REPOSITORY / "target"), "RUST_BACKTRACE": "0", **more}


def main():
    wanted = sys.argv[1:]
    if unknown := set(wanted) - {mistake[0] for mistake in MISTAKES}:
        sys.exit(f"no such mistake: {', '.join(sorted(unknown))}")
    if not COPY.exists():
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", COPY], cwd=REPOSITORY, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=REPOSITORY, text=True, capture_output=True, check=True).stdout.strip()
    run("git", "checkout", "--quiet", "--force", "--detach", head, check=True)
    missed = False
    print("| mistake | what is wrong then | found by seed | what the simulation says |\n| --- | --- | --- | --- |", flush=True)
    try:
        for name, words, file, text, instead in MISTAKES:
            if wanted and name not in wanted:
                continue
            path = COPY / file
            source = path.read_text()
            if source.count(text) != 1:
                print(f"| `{name}` | {words} | the text is not in {file} exactly once | |", flush=True)
                missed = True
                continue
            path.write_text(source.replace(text, instead))
            # Cargo goes by times of whole seconds where files come from git.
            os.utime(path, (time.time(), time.time()))
            program, problem = build()
            if program is None:
                print(f"| `{name}` | {words} | does not compile | {problem} |", flush=True)
                missed = True
            else:
                tested = run(program, "whatever", "--nocapture", env=environment(CHAOS_SEEDS=str(SEEDS), CHAOS_STOP="1"))
                bad = re.search(r"^first bad seed (\d+): (.*)$", tested.stdout, re.MULTILINE)
                missed |= bad is None
                found, said = bad.groups() if bad else (f"not by {SEEDS}", "")
                print(f"| `{name}` | {words} | {found} | {said} |", flush=True)
            path.write_text(source)
    finally:
        run("git", "checkout", "--quiet", "--force", "HEAD")
    sys.exit(missed)


if __name__ == "__main__":
    main()
