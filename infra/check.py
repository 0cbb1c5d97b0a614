#!/usr/bin/env python3
"""Checks everything in this folder that can be checked on this machine, and says what was skipped and why.

    python3 infra/check.py              all checks
    python3 infra/check.py alerts chart these only
    python3 infra/check.py --list       what there is

Needs Python 3; image, packages, lifecycle and boot also root, and the binary that infra/packages/build.py builds. More is installed
below target/ (PyPI, npm, crates.io). Programs of Debian are used where they are: promtool and prometheus, systemd-analyze,
systemd-nspawn, debootstrap, openssl, strace, bubblewrap, buildah, rpm, lintian, mandoc, shellcheck. The connector's binary is that of
ESP_CONNECTOR, else the newest below target/. Where CI is set, a check that is skipped has failed.
"""

import argparse
import importlib
import os
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from checks import tools  # noqa: E402
from checks.outcome import Failed, Skipped  # noqa: E402

CHECKS = ("itself", "alerts", "dashboard", "service", "chart", "compose", "packages", "image", "lifecycle", "boot")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CHECKS)}")
    parser.add_argument("--list", action="store_true", help="print what each check looks at")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(CHECKS)
    if unknown:
        parser.error(f"no such check: {', '.join(sorted(unknown))}; there are {', '.join(CHECKS)}")
    tools.in_venv()
    chosen = [name for name in CHECKS if name in arguments.names or not arguments.names]
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for name in chosen:
        module = importlib.import_module(f"checks.{name}")
        if arguments.list:
            print(f"{name:10} {module.__doc__.splitlines()[0]}")
            continue
        outcome, words = one(module)
        counts[outcome] += 1
        print(words, flush=True)
    if not arguments.list:
        print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    sys.exit(1 if counts["failed"] else 0)


def one(module):
    """How a check ended, and the line that says so."""
    name, start = module.__name__.rpartition(".")[2], time.monotonic()
    took = lambda: f"{time.monotonic() - start:.0f} s"
    try:
        return "passed", f"ok      {name:10} {module.check()} ({took()})"
    except Skipped as reason:
        outcome = "failed" if os.environ.get("CI") else "skipped"
        return outcome, f"{'FAILED' if os.environ.get('CI') else 'SKIPPED'} {name:10} {reason}"
    except Failed as reason:
        return "failed", f"FAILED  {name:10} {reason}"
    except Exception:
        return "failed", f"FAILED  {name:10} {traceback.format_exc()}"


if __name__ == "__main__":
    main()
