"""The connector under load, with everything on that it does for its users: answers after confirmation, retries, deadlines,
metrics, the management endpoint."""

import json
import os
import signal

from processes import BINARY, Disturbed, Sink, cpu_ns, free_port, memory_mib, report_of, source, start, stop, wait_for_port, waits

WARM_SECONDS = 0.3


def configuration(bench, sink_url, port, manage, *, protocol="HTTP_1_1", connections=64, batch=1, xdr_tls=False, destinations=1,
                  sets=0, call_timeout=5000, destination=None, service=None):
    """As JSON, which is YAML too."""
    each = max(1, connections // destinations)
    destination = {"urls": [sink_url], "protocol": protocol, "max-connections-per-endpoint": each, "http2-max-concurrent-streams": 64,
                   "call-timeout": call_timeout, **(destination or {})}
    if sink_url.startswith("https"):
        destination["tls"] = {"ca-file": bench.chain}
    config = {
        "service": {"address": "127.0.0.1", "manage": {"port": manage, "address": "127.0.0.1"}, **(service or {})},
        "destinations": {f"d{number}": destination for number in range(destinations)},
        "format": {"mode": "flat-json", "metadata-key": "_meta"},
        "routing": {"mode": "static-multi-destination", "destinations": ["d0"]},
        "logging": {"levels": {"root": "error"}},
    }
    if xdr_tls:
        config["service"]["tls"] = {"port": port, "address": "127.0.0.1", "certificate-file": bench.chain, "key-file": bench.key}
    else:
        config["service"]["port"] = port
    if batch > 1:
        config["batching"] = {"max-records": batch}
    if sets:
        # Most sets differ in nothing: a configuration has a bound of its own.
        to = lambda number: {"routing": {"mode": "static-multi-destination", "destinations": [f"d{number % destinations}"]}} if destinations > 1 else {}
        config["namespaces"] = {"shop": {"sets": {f"set-{number}": to(number) for number in range(sets)}}}
    return config


def write_configuration(bench, *arguments, **setup):
    """Its path."""
    path = os.path.join(bench.folder, "connector.yml")
    with open(path, "w") as file:
        json.dump(configuration(bench, *arguments, **setup), file)
    return path


def wait(process, port, manage):
    """Until it takes records and tells how it is."""
    wait_for_port(manage, process)
    wait_for_port(port, process)


def measure(bench, *, sink_options=(), source_options=(), tls=False, cpus=None, sink_cpus=None, seconds=None, server=None, **setup):
    """One run: what a record cost the connector, how fast they went, how much memory it took at most."""
    sink = server() if server else Sink(bench, *sink_options, cpus=sink_cpus)
    connector = None
    try:
        port, manage = free_port(), free_port()
        path = write_configuration(bench, sink.url(tls), port, manage, **setup)
        connector = start([BINARY, "run", "--config", path], cpus or bench.cpus)
        wait(connector, port, manage)
        options = list(source_options)
        if setup.get("sets"):
            options += ["--sets", str(setup["sets"])]
        if setup.get("xdr_tls"):
            options += ["--tls-ca", bench.chain]
        # Connections, threads and memory that a first load brings belong to the start, not to the records.
        report_of(source(bench, port, *options, seconds=WARM_SECONDS, cpus=sink_cpus))
        before, cpu_before, sink_before, waits_before = sink.counts(), cpu_ns(connector.pid), sink.cpu_ns(), waits(connector.pid)
        report = report_of(source(bench, port, *options, seconds=seconds, cpus=sink_cpus))
        cpu, sink_cpu, after = cpu_ns(connector.pid) - cpu_before, sink.cpu_ns() - sink_before, sink.counts()
        slept = waits(connector.pid) - waits_before
        peak = memory_mib(connector.pid, "VmHWM")
        stop(connector, signal.SIGTERM)
        if connector.returncode != 0:
            raise Disturbed(f"the connector ended with {connector.returncode}")
    finally:
        if connector is not None and connector.poll() is None:
            stop(connector, signal.SIGKILL)
        sink.stop()
    shipped = report["shipped"]
    if after is None:
        # A server that does not count.
        before = {"records": 0, "requests": 0, "failed": 0}
        after = {**before, "records": report["acked"], "requests": report["acked"]}
    delivered = after["records"] - before["records"]
    if report["acked"] + report["abandoned"] != shipped or report["abandoned"] or delivered < shipped or shipped == 0:
        raise Disturbed(f"shipped {shipped}, acked {report['acked']}, delivered {delivered}: records are missing")
    return {
        "cpu_us": cpu / 1e3 / shipped,
        "rate": shipped / report["seconds"],
        "peak_mib": peak,
        "waits": slept / shipped,
        "busy": cpu / 1e9 / report["seconds"],
        "receiver_busy": sink_cpu / 1e9 / report["seconds"],
        "records": shipped,
        "requests": after["requests"] - before["requests"],
        "failed": after["failed"] - before["failed"],
        "refused": report["refused"],
        "duplicates": delivered - shipped,
        "latency": report["latency"],
        "record_bytes": report["record_bytes"],
    }
