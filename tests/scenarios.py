#!/usr/bin/env python3
"""The promises at full size: the release binary as source, connector and receiver, each its own process.

    cargo build --release && python3 tests/scenarios.py [NAME …]

Each scenario ends with the account of every record (shipped, acked, delivered, duplicates, lost), the connector's
CPU time (user + system) for each shipped record, its peak memory, and the requests that the receiver saw. Exit code 1
when anything was lost or a bound was missed. Takes about ten minutes for all on two cores; everything stays on
loopback.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
BINARY = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release", "esp-connector")
TICKS = os.sysconf("SC_CLK_TCK")
# 8 bins beside id and v, a record of about 480 bytes on the wire.
RECORD = ["--bins", "8", "--value-bytes", "40", "--types", "string,integer,string,double,string,boolean,string,integer"]

# Ended at the end, however it comes.
STARTED = []

CONFIG = """
service:
  port: {port}
  address: 127.0.0.1
  manage: {{port: {manage}, address: 127.0.0.1}}
destinations:
  receiver:
    urls: ["http://127.0.0.1:{http}/"]
    protocol: {protocol}
    max-connections-per-endpoint: {connections}
    http2-max-concurrent-streams: 64
    call-timeout: {timeout}
format: {format}
{sections}
routing: {{mode: static-multi-destination, destinations: [receiver]}}
namespaces: {{test: {{}}}}
logging: {{levels: {{root: error}}}}
"""
FLAT_JSON = "{mode: flat-json, metadata-key: _meta}"
MESSAGE_PACK = "{mode: message-pack}"
BATCHES = "batching: {max-records: 100}"
ORDERED = "record-ordering: {enable: true}"
# Few records with many versions, and older versions that come again.
VERSIONS = ["--keys", "50000", "--hot-keys", "0.2", "--stale-share", "0.1", "--deletes", "0.2",
            "--key-types", "integer,string,blob", "--ordered"]
VERSIONS_ALONE = ["--keys", "50000", "--hot-keys", "0.2", "--deletes", "0.2", "--ordered"]
EVERY_TYPE = ["--bins", "14", "--key-types", "integer,string,blob", "--deletes", "0.1", "--compress", "0.2", "--sets", "demo,orders,",
              "--types", "integer,double,string,blob,java-blob,boolean,list,ordered-list,map,ordered-map,key-value-map,geojson,hll,deleted"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_mib(pid, key):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith(key):
            return int(line.split()[1]) / 1024
    return 0.0


class Run:
    """One receiver, one connector (restarted on demand) and one source."""

    def __init__(self, folder, protocol="HTTP_1_1", connections=64, timeout=1000, receive=(), format=FLAT_JSON, sections=""):
        self.folder, self.cpu, self.peak = folder, 0.0, 0.0
        self.port, self.manage, self.http = free_port(), free_port(), free_port()
        self.acked, self.delivered = os.path.join(folder, "acked"), os.path.join(folder, "delivered")
        self.config = os.path.join(folder, "connector.yml")
        with open(self.config, "w") as file:
            file.write(self.text(protocol, connections, timeout, format=format, sections=sections))
        self.receiver = subprocess.Popen([BINARY, "receive", "--listen", f"127.0.0.1:{self.http}", "--ledger",
                                          self.delivered, "--json", *receive],
                                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        STARTED.append(self.receiver)
        self.start_connector()

    def text(self, protocol="HTTP_1_1", connections=64, timeout=1000, format=FLAT_JSON, sections=""):
        return CONFIG.format(port=self.port, manage=self.manage, http=self.http, protocol=protocol,
                             connections=connections, timeout=timeout, format=format, sections=sections)

    def start_connector(self):
        self.connector = subprocess.Popen([BINARY, "run", "--config", self.config])
        STARTED.append(self.connector)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
                return
            except OSError:
                time.sleep(0.05)
        raise SystemExit("the connector does not listen")

    def account_for_connector(self):
        self.cpu += cpu_seconds(self.connector.pid)
        self.peak = max(self.peak, memory_mib(self.connector.pid, "VmHWM"))

    def kill_connector(self):
        self.account_for_connector()
        self.connector.send_signal(signal.SIGKILL)
        self.connector.wait()
        self.start_connector()

    def source(self, records, *options):
        record = RECORD if "--bins" not in options else []
        return subprocess.Popen([BINARY, "simulate", "--to", f"127.0.0.1:{self.port}", "--records", str(records),
                                 "--ledger", self.acked, "--account", self.delivered, "--json", *record, *options],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def receiver_counts(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/") as answer:
            return json.load(answer)

    def finish(self, source):
        out, _ = source.communicate()
        report = json.loads(out)
        self.account_for_connector()
        self.connector.send_signal(signal.SIGTERM)
        code = self.connector.wait(30)
        self.receiver.send_signal(signal.SIGTERM)
        out, _ = self.receiver.communicate(timeout=30)
        self.requests = json.loads(out)["requests"]
        if code != 0:
            raise SystemExit(f"the connector ended with {code} after SIGTERM")
        return report, source.returncode


def show(name, run, report, code, extra=""):
    summary, account = report.get("summary", report), report.get("account", {})
    shipped = account.get("shipped", 0)
    fields = " ".join(f"{key} {account.get(key)}" for key in ("shipped", "acked", "delivered", "duplicates", "lost", "reordered"))
    print(f"{name}: {fields} | {summary.get('rate', 0):.0f} records/s, connector {run.cpu / max(shipped, 1) * 1e6:.1f} µs CPU per record, "
          f"peak {run.peak:.0f} MiB, {run.requests} requests{extra}", flush=True)
    return code == 0 and account.get("lost") == 0


def plain(name, records=1_000_000, source=(), **setup):
    with tempfile.TemporaryDirectory() as folder:
        run = Run(folder, **setup)
        return show(name, run, *run.finish(run.source(records, *source)))


def killed(name, records=1_000_000, source=(), **setup):
    with tempfile.TemporaryDirectory() as folder:
        run = Run(folder, **setup)
        source = run.source(records, *source)
        for _ in range(3):
            time.sleep(4)
            if source.poll() is not None:
                raise SystemExit(f"{name}: the source was done before the connector was killed")
            run.kill_connector()
        return show(name, run, *run.finish(source), extra=", killed 3 times with SIGKILL")


def overload(name, seconds=60, rate=2_000):
    """A source that offers ten times what the receiver takes, for a minute."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run(folder, timeout=5000, receive=["--rate-limit", str(rate)])
        source = run.source(rate * 10 * seconds, "--rate", str(rate * 10), "--deadline", str(seconds + 5), "--depth", "4096")
        time.sleep(5)
        first, start = run.receiver_counts(), time.monotonic()
        rss = []
        while time.monotonic() < start + seconds - 5:
            time.sleep(1)
            rss.append(memory_mib(run.connector.pid, "VmRSS"))
        last, took = run.receiver_counts(), time.monotonic() - start
        delivered = (last["delivered"] - first["delivered"]) / took
        source.send_signal(signal.SIGINT)
        report, _ = run.finish(source)
        summary, account = report.get("summary", report), report.get("account", {})
        print(f"{name}: offered {rate * 10}/s to a receiver of {rate}/s, delivered {delivered:.0f}/s ({delivered / rate:.1%}), "
              f"duplicates {account.get('duplicates')}, lost {account.get('lost')}, refused {summary.get('retried')}, "
              f"connections cut {summary.get('timeouts')}, memory {min(rss):.0f} to {max(rss):.0f} MiB, peak {run.peak:.0f} MiB", flush=True)
        return delivered >= rate * 0.95 and account.get("lost") == 0 and summary.get("timeouts") == 0


# What the files of "reload" differ in. The first is that of all scenarios with batches.
RELOADED = [
    {},
    {"protocol": "HTTP_2", "connections": 4},
    {"sections": "batching: {max-records: 40}\nrecord-ordering: {}", "connections": 32},
]


def reload(name, records=1_000_000, source=(), every=1.0, **setup):
    """The configuration changes all the time: another protocol and so other connections, other batches, other limits."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run(folder, **setup)
        shipping, files, reloads, slowest = run.source(records, *source), [run.text(**{**setup, **change}) for change in RELOADED], 0, 0.0
        while shipping.poll() is None:
            began = time.monotonic()
            reloads += 1
            with open(run.config, "w") as file:
                file.write(files[reloads % len(files)])
            url = f"http://127.0.0.1:{run.manage}/manage/rest/v1/reload"
            with urllib.request.urlopen(urllib.request.Request(url, method="POST")) as answer:
                if json.load(answer)["changes"]["destinations"]["changed"] != ["receiver"]:
                    raise SystemExit(f"{name}: a reload changed nothing")
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(max(0.0, began + every - time.monotonic()))
        report, code = run.finish(shipping)
        good = show(name, run, report, code, extra=f", reloaded {reloads} times, the slowest took {slowest * 1000:.0f} ms")
        return good and report["account"]["reordered"] == 0


SCENARIOS = {
    "http1": lambda: plain("HTTP/1.1, 64 connections"),
    "h2c": lambda: plain("h2c, 1 connection, 64 streams", protocol="HTTP_2", connections=1),
    "status-503": lambda: plain("one in five answered 503", receive=["--fail-share", "0.2"]),
    "hang": lambda: plain("one in five hundred never answered", timeout=300, receive=["--hang-share", "0.002"]),
    "close": lambda: plain("one in twenty closed at random", receive=["--close-share", "0.05"]),
    "h2c-close": lambda: plain("h2c, one in two hundred closes its connection", protocol="HTTP_2", connections=4,
                               receive=["--close-share", "0.005"]),
    "all-faults": lambda: plain("one in five 503, some hang, some close", timeout=300,
                                receive=["--fail-share", "0.2", "--hang-share", "0.002", "--close-share", "0.02"]),
    "one-in-twenty": lambda: plain("one in twenty answered 503", receive=["--fail-share", "0.05"]),
    "batches": lambda: plain("batches of 100, flat-json", sections=BATCHES),
    "batches-503": lambda: plain("batches of 100, one request in fifty answered 503", sections=BATCHES,
                                 receive=["--fail-share", "0.02"]),
    "batches-message-pack": lambda: plain("batches of 100, message-pack", sections=BATCHES, format=MESSAGE_PACK),
    "batches-message-pack-503": lambda: plain("batches of 100, message-pack, one request in fifty answered 503",
                                              sections=BATCHES, format=MESSAGE_PACK, receive=["--fail-share", "0.02"]),
    "batches-h2c": lambda: plain("batches of 100, h2c, 1 connection", protocol="HTTP_2", connections=1, sections=BATCHES),
    "batches-killed": lambda: killed("batches of 100, killed and restarted", sections=BATCHES, source=["--rate", "70000"]),
    "ordered": lambda: plain("record ordering, one version in ten shipped again after a newer one", sections=ORDERED, source=VERSIONS),
    "ordered-batches-503": lambda: plain("the same in batches of 100, one request in fifty answered 503", source=VERSIONS,
                                         sections=f"{ORDERED}\n{BATCHES}", receive=["--fail-share", "0.02"]),
    "every-type": lambda: plain("every type of bin and key, message-pack in batches", records=300_000, source=EVERY_TYPE,
                                sections=BATCHES, format=MESSAGE_PACK),
    "killed": lambda: killed("killed and restarted"),
    # Beside each other: what a reload every second costs.
    "not-reloaded": lambda: plain("versions of 50,000 records in batches of 100", source=VERSIONS_ALONE, sections=BATCHES),
    "reload": lambda: reload("the same, reloaded every second", source=VERSIONS_ALONE, sections=BATCHES),
    "overload": lambda: overload("overload"),
}


def main():
    names = sys.argv[1:] or list(SCENARIOS)
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        raise SystemExit(f"unknown: {unknown}; there are {list(SCENARIOS)}")
    try:
        # Every scenario runs, whatever the ones before it did.
        good = [SCENARIOS[name]() for name in names]
    finally:
        for process in STARTED:
            process.kill()
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
