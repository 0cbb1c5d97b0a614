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


FRONT = """
service: {{port: {port}, address: 127.0.0.1, manage: {{port: {manage}, address: 127.0.0.1}}}}
destinations:
  backs:
    urls: ["http://127.0.0.1:{balancer}/"]
    protocol: HTTP_1_1
    max-connections-per-endpoint: 32
    call-timeout: 7000
format: xdr
record-ordering: {{enable: true}}
routing: {{mode: static, destination: backs}}
logging: {{levels: {{root: error}}}}
"""
BACK = """
service: {{protocol: HTTP_1_1, port: {port}, address: 127.0.0.1}}
destinations:
  receiver:
    urls: ["http://127.0.0.1:{http}/"]
    protocol: HTTP_1_1
    max-connections-per-endpoint: 32
format: {format}
routing: {{mode: static, destination: receiver}}
logging: {{levels: {{root: error}}}}
"""


class Balancer:
    """nginx as docs/chains.md has it, in front of the ports it is told of."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        page = open(os.path.join(ROOT, "docs", "chains.md")).read()
        self.section = page.split("```nginx\n")[1].split("```")[0]

    def write(self, ports):
        others = [line for line in self.section.splitlines() if "server 10.0.5." not in line]
        lines = [line.replace("listen 8901;", f"listen 127.0.0.1:{self.port} backlog=1024;") for line in others]
        first = next(n for n, line in enumerate(lines) if line.startswith("upstream"))
        lines[first + 1:first + 1] = [f"server 127.0.0.1:{port};" for port in ports]
        paths = " ".join(f"{kind}_temp_path {self.folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        with open(os.path.join(self.folder, "nginx.conf"), "w") as file:
            file.write(f"pid {self.folder}/nginx.pid; error_log {self.folder}/nginx.log; daemon off; worker_processes 1;\n"
                       f"events {{ worker_connections 2048; }}\nhttp {{ access_log off; {paths}\n" + "\n".join(lines) + "\n}\n")

    def start(self, ports):
        self.write(ports)
        self.process = subprocess.Popen(["nginx", "-c", os.path.join(self.folder, "nginx.conf")], stderr=subprocess.DEVNULL)
        STARTED.append(self.process)
        wait_for_port(self.port)

    def reload(self, ports):
        self.write(ports)
        self.process.send_signal(signal.SIGHUP)

    def failed(self):
        """Requests that no back answered, by the log."""
        log = open(os.path.join(self.folder, "nginx.log")).read().splitlines()
        return sum("upstream" in line and ("[error]" in line or "[warn]" in line) for line in log)


class Link:
    """A connector of the chain."""

    def __init__(self, folder, name, text, **settings):
        self.port, self.manage = free_port(), free_port()
        config = os.path.join(folder, f"{name}.yml")
        with open(config, "w") as file:
            file.write(text.format(port=self.port, manage=self.manage, **settings))
        self.name, self.cpu, self.peak, self.taken_at_end = name, 0.0, 0.0, 0
        self.process = subprocess.Popen([BINARY, "run", "--config", config])
        STARTED.append(self.process)
        wait_for_port(self.port)

    def taken(self):
        """Records it delivered: the service port of a back has the management endpoint too."""
        if self.process.poll() is not None:
            return self.taken_at_end
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/manage/rest/v1/prometheus") as answer:
            lines = answer.read().decode().splitlines()
        line = next(line for line in lines if line.startswith("aerospike_esp_outbound_requests{") and 'status="success"' in line)
        self.taken_at_end = int(float(line.rsplit(" ", 1)[1]))
        return self.taken_at_end

    def stop(self):
        self.cpu, self.peak = cpu_seconds(self.process.pid), memory_mib(self.process.pid, "VmHWM")
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        if code != 0:
            raise SystemExit(f"{self.name} ended with {code} after SIGTERM")


def wait_for_port(port):
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nobody listens on {port}")


def shares(backs, before):
    """Of what came since `before`: the share of each back."""
    since = {back.name: back.taken() - before.get(back.name, 0) for back in backs}
    total = max(sum(since.values()), 1)
    return {name: taken / total for name, taken in since.items()}


def chain(name, records=1_400_000):
    """Two fronts, nginx, three backs; one back stops without a word to nginx, and another joins.

    Of 1,400,000 changes more than a million are shipped: of several to a record that waits XDR ships the last."""
    with tempfile.TemporaryDirectory() as folder:
        http = free_port()
        acked, delivered = os.path.join(folder, "acked"), os.path.join(folder, "delivered")
        receiver = subprocess.Popen([BINARY, "receive", "--listen", f"127.0.0.1:{http}", "--ledger", delivered, "--json"],
                                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        STARTED.append(receiver)
        wait_for_port(http)
        backs = [Link(folder, f"back-{n}", BACK, http=http, format=FLAT_JSON) for n in range(1, 4)]
        balancer = Balancer(folder)
        balancer.start([back.port for back in backs])
        fronts = [Link(folder, f"front-{n}", FRONT, balancer=balancer.port) for n in range(1, 3)]
        targets = [word for front in fronts for word in ("--to", f"127.0.0.1:{front.port}")]
        source = subprocess.Popen([BINARY, "simulate", *targets, "--records", str(records), "--ledger", acked, "--account", delivered,
                                   "--json", "--keys", str(records * 2 // 5), "--ordered", "--deadline", "1500", *RECORD],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        STARTED.append(source)

        def reached(share):
            while sum(back.taken() for back in backs) < records * share:
                if source.poll() is not None:
                    raise SystemExit(f"{name}: the source ended too early")
                time.sleep(0.2)

        def tell(what, found):
            print(f"  {what}: " + ", ".join(f"{back} {share:.1%}" for back, share in found.items()), flush=True)

        reached(0.3)
        tell("first 30 %", shares(backs, {}))
        leaving = backs[0]
        leaving.taken()
        leaving.stop()
        before = {back.name: back.taken() for back in backs}
        reached(0.5)
        tell("without back-1", shares(backs[1:], before))
        backs.append(Link(folder, "back-4", BACK, http=http, format=FLAT_JSON))
        balancer.reload([back.port for back in backs[1:]])
        before, joined = {back.name: back.taken() for back in backs}, time.monotonic()
        reached(0.55)
        tell(f"first {time.monotonic() - joined:.1f} s with back-4", shares(backs[1:], before))
        out, _ = source.communicate()
        found = shares(backs[1:], before)
        tell("all of the time with back-4", found)
        for link in [*fronts, *backs[1:]]:
            link.stop()
        receiver.send_signal(signal.SIGTERM)
        requests = json.loads(receiver.communicate(timeout=30)[0])["requests"]
        report = json.loads(out)
        summary, account = report.get("summary", report), report.get("account", {})
        fields = " ".join(f"{key} {account.get(key)}" for key in ("shipped", "acked", "delivered", "duplicates", "lost", "reordered"))
        cost = lambda links: sum(link.cpu for link in links) / max(account.get("shipped", 0), 1) * 1e6
        print(f"{name}: {fields} | {summary.get('rate', 0):.0f} records/s, {cost(fronts):.1f} µs CPU per record in the fronts and "
              f"{cost(backs):.1f} in the backs, peak {max(link.peak for link in fronts):.0f} MiB of a front and "
              f"{max(link.peak for link in backs):.0f} of a back, {requests} requests, {summary.get('retried')} refused to the source, "
              f"{balancer.failed()} lines of complaint from nginx", flush=True)
        return (source.returncode == 0 and account.get("lost") == 0 and account.get("reordered") == 0 and found["back-4"] >= 1 / 6)


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
    "chain": lambda: chain("chain"),
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
    "not-reloaded": lambda: plain("versions of 50,000 records in batches of 100", records=10_000_000, source=VERSIONS_ALONE, sections=BATCHES),
    "reload": lambda: reload("the same, reloaded every second", records=10_000_000, source=VERSIONS_ALONE, sections=BATCHES),
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
