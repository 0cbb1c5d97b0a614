"""Receiver, connector and source around a fault, each its own process, and the account of every record at the end.

The connector under test is the release binary with real sockets. Its memory and descriptors are sampled all the time, and
its log is read at the end: a panic in it fails a case whatever the account says.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from scenarios import BINARY, ROOT, STARTED, free_port, wait_for_port  # noqa: E402, F401

OUT = os.path.join(ROOT, "target", "chaos")
# Records of about 480 bytes, as everywhere else.
RECORD = ["--bins", "8", "--value-bytes", "40", "--types", "string,integer,string,double,string,boolean,string,integer"]
# XDR's patience, and how much of it the connector must leave.
UNANSWERED_S_MAX = 10.0
MEMORY_MIB_MAX = 64


class Failed(Exception):
    """A case that cannot go on; why."""


class Skipped(Exception):
    """A case that this machine does not allow; why."""


class Samples(threading.Thread):
    """Memory (MiB) and descriptors of a process over time, across its restarts."""

    def __init__(self, scene, every=0.2):
        super().__init__(daemon=True)
        self.scene, self.every, self.done = scene, every, threading.Event()
        self.taken = []
        self.peak_mib = 0.0

    def run(self):
        begun = time.monotonic()
        while not self.done.wait(self.every):
            found = sample((self.scene.sampled or self.scene.connector).pid)
            if found:
                rss, peak, files = found
                self.peak_mib = max(self.peak_mib, peak)
                self.taken.append((time.monotonic() - begun, rss, files))


def sample(pid):
    """What a process holds: memory, most memory, descriptors; nothing when it is gone."""
    try:
        with open(f"/proc/{pid}/status") as status:
            fields = dict(line.split(":", 1) for line in status)
        return int(fields["VmRSS"].split()[0]) / 1024, int(fields["VmHWM"].split()[0]) / 1024, len(os.listdir(f"/proc/{pid}/fd"))
    except (OSError, KeyError):
        return None


class Scene:
    """Options of a case: `destination`, `config` are merged into the configuration; `receive` are options of the receiver."""

    def __init__(self, folder, *, destination=None, config=None, receive=(), target=None, wrap=(), limits=(), receiver_wrap=(),
                 address="127.0.0.1", batch=20, manage=None):
        self.folder, self.wrap, self.receive, self.receiver_wrap = folder, [*limits, *wrap], receive, list(receiver_wrap)
        self.port, self.manage, self.http = free_port(), manage or free_port(), free_port()
        self.address = address
        self.acked, self.delivered = os.path.join(folder, "acked"), os.path.join(folder, "delivered")
        self.log, self.config_file = os.path.join(folder, "connector.log"), os.path.join(folder, "connector.json")
        self.progress, self.source = os.path.join(folder, "source.log"), None
        # Whose memory counts, when it is not the connector.
        self.sampled = None
        url = (target or f"http://{address}:{{http}}/").format(http=self.http)
        text = {
            "service": {"port": self.port, "address": "127.0.0.1", "manage": {"port": self.manage, "address": "127.0.0.1"}},
            "destinations": {"receiver": {"urls": [url], "protocol": "HTTP_1_1", "max-connections-per-endpoint": 16,
                                          "call-timeout": 1000, **(destination or {})}},
            "format": {"mode": "flat-json", "metadata-key": "_meta"},
            "routing": {"mode": "static", "destination": "receiver"},
            "batching": {"max-records": batch},
            "logging": {"levels": {"root": "warn"}},
        }
        for section, keys in (config or {}).items():
            text[section] = {**text.get(section, {}), **keys} if isinstance(keys, dict) else keys
            if keys is None:
                del text[section]
        text["format"] = {key: value for key, value in text["format"].items() if value is not None}
        with open(self.config_file, "w") as file:
            json.dump(text, file)
        self.start_receiver()
        self.start_connector()
        self.samples = Samples(self)
        self.samples.start()

    def start_receiver(self, *more):
        """What it confirms goes to the same ledger, whenever it is started again."""
        command = [*self.receiver_wrap, BINARY, "receive", "--listen", f"{self.address}:{self.http}", "--ledger", self.delivered,
                   *self.receive, *more]
        self.receiver = started(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start_connector(self):
        with open(self.log, "ab") as log:
            # By itself, so that a signal for this program is none for the connector.
            self.connector = started([*self.wrap, BINARY, "run", "--config", self.config_file], stdout=log, stderr=log)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if self.connector.poll() is not None:
                break
            try:
                if self.readiness(0.5):
                    return
            except OSError:
                time.sleep(0.02)
        raise Failed(f"the connector does not start: {self.log_text()[-500:]}")

    def readiness(self, seconds=5):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.manage}/healthz", timeout=seconds) as answer:
            return answer.status == 200

    def numbers(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.manage}/manage/rest/v1/metrics", timeout=5) as answer:
            return json.load(answer)

    def kill_connector(self):
        end_now(self.connector)
        self.start_connector()

    def restart_receiver(self, pause=0.0, *more):
        end_now(self.receiver)
        time.sleep(pause)
        self.start_receiver(*more)

    def ship(self, seconds, rate, *options, to="127.0.0.1", wrap=(), pace=None):
        """Starts the source: `rate` records a second for so long, or all of them at another pace, and until all are acknowledged."""
        command = [*wrap, BINARY, "simulate", "--to", f"{to}:{self.port}", "--records", str(int(seconds * rate)), "--rate", str(int(rate) if pace is None else pace),
                   "--ledger", self.acked, "--account", self.delivered, "--json", "--deadline", str(int(seconds) + 90), *RECORD, *options]
        with open(self.progress, "wb") as progress:
            self.source = started(command, stdout=subprocess.PIPE, stderr=progress)
        return time.monotonic()

    def finish(self):
        """The row of the table, once the source has nothing left to ship."""
        out, _ = self.source.communicate(timeout=900)
        STARTED.remove(self.source)
        if not out:
            raise Failed(f"the source ended with {self.source.returncode} and no report")
        summary = json.loads(out)
        self.samples.done.set()
        self.samples.join()
        self.connector.send_signal(signal.SIGTERM)
        try:
            code = self.connector.wait(30)
        except subprocess.TimeoutExpired:
            code = "no end after SIGTERM"
        account = summary["account"]
        return {
            "shipped": account["shipped"], "acked": account["acked"], "lost": account["lost"], "duplicates": account["duplicates"],
            "unfinished": summary["unfinished"], "abandoned": sum(summary["abandoned"].values()), "refused": sum(summary["retried"].values()),
            "unanswered_s": summary["unanswered_max_ms"] / 1e3, "timeouts": summary["timeouts"], "resets": summary["resets"],
            "malformed": summary["malformed"], "peak_mib": self.samples.peak_mib,
            "files": max((files for _, _, files in self.samples.taken), default=0),
            "seconds": summary["elapsed_seconds"], "exit": code, "panics": panics(self.log_text()), "samples": self.samples.taken,
        }

    def log_text(self):
        with open(self.log, errors="replace") as log:
            return log.read()

    def stop(self):
        self.samples.done.set()
        for process in (self.source, self.connector, self.receiver):
            if process is not None and process.poll() is None:
                end_now(process)


def panics(log):
    return [line for line in log.splitlines() if "panicked" in line or "stack overflow" in line or "memory allocation of" in line]


def started(command, **options):
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)
    STARTED.append(process)
    return process


def end_now(process):
    # Stopped ones hear of nothing else.
    process.kill()
    process.wait()


def wrong(row, *, unanswered_s=UNANSWERED_S_MAX, memory_mib=MEMORY_MIB_MAX, timeouts=False):
    """Everything that a row breaks; `timeouts`: the source gave connections up for a reason that is not the connector's."""
    found = []
    if row["lost"]:
        found.append(f"{row['lost']} records lost")
    if row["unfinished"] or row["abandoned"] or row["shipped"] == 0 or row["acked"] != row["shipped"]:
        found.append(f"{row['shipped']} shipped, {row['acked']} acked, {row['abandoned']} given up, {row['unfinished']} open")
    if not timeouts and (row["timeouts"] or row["unanswered_s"] > unanswered_s):
        found.append(f"a record stayed unanswered for {row['unanswered_s']:.1f} s")
    if row["malformed"]:
        found.append("answers that are none")
    if row["peak_mib"] > memory_mib:
        found.append(f"{row['peak_mib']:.0f} MiB, of at most {memory_mib}")
    if row["panics"]:
        found.append(f"panicked: {row['panics'][0]}")
    if row["exit"] != 0:
        found.append(f"ended with {row['exit']}")
    return found
