"""What is measured: each group is a list of rows, all measured in turn, round after round, so that whatever disturbs the
machine disturbs all alike; a row's figures are medians over the rounds."""

import os
import shutil
import signal
import statistics
import subprocess
import sys
import time

import connector
import peers
from processes import BINARY, LOAD, Disturbed, Sink, cpu_ns, free_port, memory_mib, report_of, source, start, stop

H2 = {"protocol": "HTTP_2", "connections": 1}
BATCH = {"batch": 100}
EVERYWHERE = "on all processors"


class Row:
    """One line of a table: a name, what measures it once, the rows it is compared with, and goals: a figure, the row that the
    bound is a multiple of (or `None`: the bound itself), the bound."""

    def __init__(self, name, measure, goals=(), against=(), compared="cpu_us"):
        self.name, self.measure, self.goals, self.against, self.compared = name, measure, goals, against, compared
        self.rounds = []

    def median(self, key):
        values = [value for one in self.rounds if (value := dig(one, key)) is not None]
        return statistics.median(values) if values else None

    def spread(self, key):
        values = [value for one in self.rounds if (value := dig(one, key)) is not None]
        return (min(values), max(values)) if values else None


    def ratios(self, other, key):
        """To another row in the same round; `None` where one of them is missing."""
        pairs = zip(self.rounds, other.rounds)
        ratios = [mine / theirs for one, another in pairs if (mine := dig(one, key)) and (theirs := dig(another, key))]
        return statistics.median(ratios) if ratios else None

    def added(self, other, key):
        """More than another row in the same round."""
        pairs = zip(self.rounds, other.rounds)
        more = [mine - theirs for one, another in pairs if (mine := dig(one, key)) and (theirs := dig(another, key))]
        return statistics.median(more) if more else None


def dig(value, key):
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value


def ours(bench, **setup):
    return lambda: connector.measure(bench, **setup)


def run_rounds(rows, rounds, say):
    """Every row once, then all again; a disturbed run is repeated once and then left out, and told."""
    for number in range(rounds):
        for row in rows:
            for attempt in (1, 2):
                try:
                    row.rounds.append(row.measure())
                    break
                except (Disturbed, OSError, subprocess.SubprocessError) as error:
                    print(f"\n  {row.name}, round {number + 1}: {error}" + (": once more" if attempt == 1 else ": left out"), file=sys.stderr)
                    if attempt == 2:
                        row.rounds.append({})
            say(number, row)


def cost(bench):
    rows = [
        Row("1 record, HTTP/1.1", ours(bench), [("cpu_us", "wrk", 1.3), ("cpu_us", "rsyslog, 1", 0.4)], ("wrk", "rsyslog, 1", "syslog-ng, 1")),
        Row("1 record, HTTP/2", ours(bench, **H2), [("cpu_us", "h2load", 1.5)], ("h2load", "rsyslog, 1", "syslog-ng, 1")),
        Row("100 records, HTTP/1.1", ours(bench, **BATCH), [("cpu_us", None, 2.2)], ("rsyslog, 100", "syslog-ng, 100")),
        Row("100 records, HTTP/2", ours(bench, **BATCH, **H2), [("cpu_us", None, 2.2)], ("rsyslog, 100", "syslog-ng, 100")),
        Row("1 record, HTTP/1.1, TLS", ours(bench, tls=True), (), ("wrk, TLS",)),
        Row("1 record, HTTP/2, TLS", ours(bench, tls=True, **H2), (), ("h2load, TLS",)),
        Row("100 records, HTTP/1.1, TLS", ours(bench, tls=True, **BATCH)),
        Row("100 records, HTTP/1.1, TLS on both sides", ours(bench, tls=True, xdr_tls=True, **BATCH)),
    ]
    others = {
        "wrk": ("wrk", lambda: peers.wrk(bench)),
        "wrk, TLS": ("wrk", lambda: peers.wrk(bench, tls=True)),
        "h2load": ("h2load", lambda: peers.h2load(bench)),
        "h2load, TLS": ("h2load", lambda: peers.h2load(bench, tls=True)),
        "rsyslog, 1": ("rsyslogd", lambda: peers.rsyslog(bench, 1)),
        "rsyslog, 100": ("rsyslogd", lambda: peers.rsyslog(bench, 100)),
        "syslog-ng, 1": ("syslog-ng", lambda: peers.syslog_ng(bench, 1)),
        "syslog-ng, 100": ("syslog-ng", lambda: peers.syslog_ng(bench, 100)),
    }
    return rows + [Row(name, measure) for name, (program, measure) in others.items() if peers.program(program)]


def load(bench):
    """Cost against load: below full speed fewer records share a wake-up, a read, a write."""
    rows = []
    for name, setup, rates in [("1 record, HTTP/1.1", {}, SINGLE_RATES), ("1 record, HTTP/2", H2, SINGLE_RATES),
                               ("100 records, HTTP/1.1", BATCH, BATCH_RATES)]:
        for rate in rates:
            paced = {"source_options": ["--rate", str(rate)]} if rate else {}
            rows.append(Row(f"{name}, {rate or 'all that goes'}{'/s' if rate else ''}", ours(bench, **setup, **paced)))
    return rows


def faults(bench):
    rows = []
    for name, setup in [("HTTP/1.1", {}), ("HTTP/2", H2)]:
        none = f"{name}, no faults"
        rows.append(Row(none, ours(bench, **setup)))
        for fault in ("503", "429", "cut"):
            failing = ours(bench, sink_options=failing_with(fault), **setup)
            rows.append(Row(f"{name}, 5 % {fault}", failing, [("rate", none, 0.9)], (none,), "rate"))
    if peers.program("wrk"):
        # What the system takes for connections that are made anew, whoever does it.
        rows.append(Row("wrk, no faults", lambda: peers.wrk(bench)))
        rows.append(Row("wrk, 5 % cut", lambda: peers.wrk(bench, sink_options=failing_with("cut")), (), ("wrk, no faults",), "rate"))
    return rows


def failing_with(fault):
    return ["--fault-share", "0.05", "--fault", fault]


def latency(bench):
    """At half of what went through at full speed; a direct POST by the same client at the same rate."""
    rows = []
    for name, setup, protocol in [("HTTP/1.1", {}, "HTTP_1_1"), ("HTTP/2", H2, "HTTP_2")]:
        rate = int(connector.measure(bench, **setup)["rate"] / 2)
        direct = f"{name}, direct POST, {rate}/s"
        rows.append(Row(direct, lambda rate=rate, protocol=protocol, setup=setup: post(bench, protocol, rate, setup.get("connections", 64))))
        rows.append(Row(f"{name}, through the connector, {rate}/s", ours(bench, source_options=["--rate", str(rate)], **setup),
                        [("latency.p99_us", direct, 1000)], (direct,), "latency.p99_us"))
    return rows


def post(bench, protocol, rate, connections):
    sink = Sink(bench)
    try:
        client = start([LOAD, "post", "--url", sink.url(), "--protocol", protocol, "--rate", str(rate), "--seconds", str(bench.seconds),
                        "--connections", str(connections)], bench.cpus, stdout=subprocess.PIPE)
        report = report_of(client)
        if (seen := sink.counts()["records"]) < report["requests"]:
            raise Disturbed(f"of {report['requests']} requests {seen} arrived")
        return {"latency": report["latency"], "rate": report["requests"] / report["seconds"], "receiver_busy": sink.cpu_ns() / 1e9 / report["seconds"]}
    finally:
        sink.stop()


def memory(bench):
    deep = ["--records", "1000000", "--connections", "16", "--depth", "65536"]
    return [
        Row("full speed, HTTP/1.1", ours(bench), [("peak_mib", None, 24)]),
        Row("full speed, HTTP/2", ours(bench, **H2), [("peak_mib", None, 24)]),
        Row("full speed, 100 records", ours(bench, **BATCH), [("peak_mib", None, 24)]),
        Row("1,000,000 pending, target 200 ms, HTTP/1.1", lambda: pending(bench, deep), [("peak_mib", None, 64)]),
        Row("1,000,000 pending, target 200 ms, HTTP/2", lambda: pending(bench, deep, **H2), [("peak_mib", None, 64)]),
        Row("1,000,000 pending, target 200 ms, 100 records", lambda: pending(bench, deep, **BATCH), [("peak_mib", None, 64)]),
    ]


def pending(bench, source_options, **setup):
    """A source with a million records, for as long as memory could still grow."""
    sink = Sink(bench, "--delay-ms", "200")
    process = shipper = None
    try:
        port, manage = free_port(), free_port()
        path = connector.write_configuration(bench, sink.url(), port, manage, **setup)
        process = start([BINARY, "run", "--config", path], bench.cpus)
        connector.wait(process, port, manage)
        shipper = source(bench, port, *source_options, seconds=PENDING_SECONDS + 60)
        time.sleep(PENDING_SECONDS)
        if shipper.poll() is not None:
            raise Disturbed("the source ended early")
        seen = sink.counts()["records"]
        return {"peak_mib": memory_mib(process.pid, "VmHWM"), "rate": seen / PENDING_SECONDS, "records": seen,
                "cpu_us": cpu_ns(process.pid) / 1e3 / max(seen, 1)}
    finally:
        for party in (shipper, process):
            if party is not None:
                stop(party, signal.SIGKILL)
        sink.stop()


def scale(bench):
    """Each dimension by itself; against its first row."""
    rows = []

    def dimension(name, points):
        first = None
        for point, setup in points:
            row = f"{name}: {point}"
            rows.append(Row(row, ours(bench, **setup), [("cpu_us", first, 1.1)] if first else (), (first,) if first else ()))
            first = first or row

    # What is in flight is the same everywhere: 2048 records.
    connections = lambda count: {"source_options": ["--connections", str(count), "--depth", str(max(8, 2048 // count))]}
    dimension("source connections", [(count, connections(count)) for count in (1, 4, 16, 64, 256)])
    dimension("destinations", [(count, {"destinations": count, "sets": 64}) for count in (1, 4, 16, 64)])
    dimension("sets", [(count, {"sets": count}) for count in (1, 100, SETS_MAX)])
    dimension("sets, 100 records a request", [(count, {"sets": count, **BATCH}) for count in (1, 100, SETS_MAX)])
    cores = [f"{len(bench.cpus)} core", "all cores"]
    everywhere = sorted({*bench.cpus, *bench.other_cpus})
    for name, setup in (("HTTP/1.1", {}), ("100 records", BATCH)):
        dimension(f"{name}, connector on", [(cores[0], setup), (cores[1], {"cpus": everywhere, "sink_cpus": everywhere, **setup})])
    return rows


def servers(bench):
    """The first rows of `cost` again, delivering to real servers."""
    rows = []
    for name, load, load_name, setup in [("nginx", peers.wrk, "wrk", {}), ("nghttpd", peers.h2load, "h2load", H2)]:
        if not shutil.which(name):
            print(f"SKIPPED: {name} is not installed")
            continue
        server = lambda name=name: peers.Server(bench, name)
        rows.append(Row(f"{load_name} to {name}", lambda load=load, server=server: load(bench, server=server)))
        rows.append(Row(f"1 record to {name}", ours(bench, server=server, **setup), (), (f"{load_name} to {name}",)))
    return rows


def sizes(bench):
    """Larger records cost more for everybody: against `wrk` with the same body."""
    rows = []
    for bytes_ in (100, 480, 1000, 10_000, 100_000):
        body = os.path.join(bench.folder, f"body-{bytes_}.json")
        with open(body, "wb") as file:
            file.write(subprocess.run([LOAD, "body", "--record-bytes", str(bytes_)], check=True, capture_output=True).stdout)
        against = ()
        if peers.program("wrk"):
            against = (f"wrk, {bytes_} B",)
            rows.append(Row(against[0], lambda body=body: peers.wrk(bench, body=body)))
        rows.append(Row(f"1 record, {bytes_} B", ours(bench, source_options=["--record-bytes", str(bytes_)]), (), against))
        rows.append(Row(f"100 records, {bytes_} B", ours(bench, source_options=["--record-bytes", str(bytes_)], **BATCH)))
    return rows


def first_delivery(bench):
    return [Row("from exec to the first request", lambda: started(bench), [("ready_ms", None, 100)]),
            Row(f"the same, {SETS_MAX:,} sets", lambda: started(bench, sets=SETS_MAX), [("ready_ms", None, 100)]),
            Row("the same, TLS on both sides", lambda: started(bench, tls=True, xdr_tls=True), [("ready_ms", None, 100)])]


def started(bench, tls=False, **setup):
    """The source tries to connect every millisecond from before the connector is started."""
    sink = Sink(bench)
    process = None
    try:
        port, manage = free_port(), free_port()
        path = connector.write_configuration(bench, sink.url(tls), port, manage, **setup)
        options = ["--tls-ca", bench.chain] if setup.get("xdr_tls") else []
        options += ["--sets", str(setup["sets"])] if setup.get("sets") else []
        shipper = source(bench, port, "--records", "1", *options)
        time.sleep(0.3)
        begun = time.monotonic_ns()
        process = start([BINARY, "run", "--config", path], bench.cpus)
        report_of(shipper)
        return {"ready_ms": (sink.counts()["first_ns"] - begun) / 1e6, "peak_mib": memory_mib(process.pid, "VmHWM")}
    finally:
        if process is not None:
            stop(process)
        sink.stop()


# Longer than a record may stay unanswered, so that the window has filled and turned over.
PENDING_SECONDS = 15
SETS_MAX = 10_000
SINGLE_RATES = (1_000, 5_000, 10_000, 20_000, 40_000, 0)
BATCH_RATES = (1_000, 10_000, 40_000, 100_000, 200_000, 0)

GROUPS = {"cost": cost, "load": load, "faults": faults, "latency": latency, "memory": memory, "scale": scale, "sizes": sizes, "servers": servers,
          "start": first_delivery}
