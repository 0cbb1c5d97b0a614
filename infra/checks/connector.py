"""The connector's binary: which one is checked, and running it with a source and a receiver beside it."""

import os
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from .outcome import Failed, Skipped
from .tools import TARGET

# As infra/packages/build.py makes it.
STATIC = TARGET / "x86_64-unknown-linux-gnu" / "dist" / "esp-connector"
WITHIN_S = 60


def binary():
    """The binary under check: that of ESP_CONNECTOR, else the newest that was built."""
    named = os.environ.get("ESP_CONNECTOR")
    if named:
        return Path(named).resolve()
    built = [path for path in (STATIC, TARGET / "release/esp-connector", TARGET / "debug/esp-connector") if path.exists()]
    if not built:
        raise Skipped("no binary: `cargo build -p esp-connector` makes one")
    return max(built, key=lambda path: path.stat().st_mtime)


class Process:
    """A program that runs until it is stopped, and what it printed."""

    def __init__(self, *command, env=None, cwd=None):
        self.printed = ""
        self.command = [str(part) for part in command]
        self.child = subprocess.Popen(
            self.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd,
            env={**os.environ, **(env or {})},
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.child.stdout:
            self.printed += line

    def wait_for(self, pattern, group=1):
        """The part of the output that the pattern's group matches, once it is there."""
        return wait(lambda: self._match(pattern, group), f"{self.command} did not print {pattern!r}", lambda: self.printed)

    def _match(self, pattern, group):
        match = re.search(pattern, self.printed)
        if match is None and self.child.poll() is not None:
            raise Failed(f"{self.command} ended with {self.child.returncode}\n{self.printed}")
        return match and match.group(group)

    def stop(self):
        """SIGTERM, and the exit status."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        try:
            status = self.child.wait(WITHIN_S)
        except subprocess.TimeoutExpired:
            self.child.kill()
            raise Failed(f"{self.command} does not stop\n{self.printed}") from None
        self.reader.join(WITHIN_S)
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        self.reader.join(WITHIN_S)
        self.child.stdout.close()


def wait(ask, what, more=lambda: ""):
    """What `ask` returns once that is true."""
    end = time.monotonic() + WITHIN_S
    while time.monotonic() < end:
        found = ask()
        if found:
            return found
        time.sleep(0.05)
    raise Failed(f"{what} within {WITHIN_S} s\n{more()}")


def get(url):
    """Status and body of the answer to a GET; (0, reason) without one."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def xdr_address(process):
    """Where a started connector takes records."""
    return process.wait_for(r"listening for XDR address=(\S+)")


def manage_url(process):
    """Where a started connector is managed."""
    return "http://" + process.wait_for(r"listening for management requests address=(\S+)")
