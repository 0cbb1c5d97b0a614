"""The checks themselves: each is given something broken, and has to find it."""

import re
import sys

from .outcome import INFRA, run


def check():
    """Runs test_checks.py."""
    said = run(sys.executable, INFRA / "test_checks.py", timeout_s=300)
    ran, skipped = re.search(r"Ran (\d+) tests", said).group(1), re.search(r"skipped=(\d+)", said)
    return f"{ran} tests" + (f", {skipped.group(1)} of them skipped" if skipped else "")
