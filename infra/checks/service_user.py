"""Runs a service's command in a root as its user, in a network of its own; started by `packages.py`."""

import os
import sys
from pathlib import Path

from .connector import Process, wait, get
from .inside import loopback_up
from .outcome import expect, run

NOBODY = "65534"


def main(root, user, group, command):
    """Prints what was seen."""
    loopback_up()
    arguments = command.split()
    # What systemd makes for StateDirectory.
    state = root / "var/lib/esp-connector"
    state.mkdir(parents=True, exist_ok=True)
    os.chown(state, int(user), int(group))
    enter = lambda uid, gid, *words: ["chroot", f"--userspec={uid}:{gid}", "--groups=", str(root), *words]
    with Process(*enter(user, group, *arguments)) as process:
        process.wait_for(r"(listening for XDR address=127\.0\.0\.1:8901)")
        wait(lambda: get("http://127.0.0.1:8902/readyz")[0] == 200, "not ready", lambda: process.printed)
        run(*enter(user, group, arguments[0], "health", "--config", arguments[-1]))
        expect(process.stop() == 0, f"it did not stop well\n{process.printed}")
    # Somebody else may not read what may hold secrets.
    said = run(*enter(NOBODY, NOBODY, *arguments), status=64)
    expect("ermission denied" in said, said)
    print(f"listens as uid {user}, healthy, stops with 0, closed to others")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:5])
