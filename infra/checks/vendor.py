"""What the vendor's Grafana boards plot and its alerts watch, found in a Prometheus that scrapes the connector with `jvm-compat`.

Which series, labels and thresholds these are is in aerospike/aerospike-monitoring on GitHub (`config/grafana/dashboards/connectors`,
`config/prometheus/aerospike_connector_rules.yml`, read at 8722306); the queries here are written anew from that.
"""

import tempfile
from pathlib import Path

from . import tools
from .outcome import expect, run

PREFIX = "aerospike_esp_outbound_"
# What the vendor's alerts select by.
JOB = "aerospike_connect"

# Series, the labels that the boards select, and what the drawn lines are told apart by.
RATES = [
    ("connections", {}, "instance"),
    *(("requests", {"status": status}, "instance") for status in ("success", "error", "skipped", "parse-error")),
    *(("destination_requests", {"status": status}, "destination, instance") for status in ("success", "error")),
    *(("health_check", {"status": status}, "destination, instance") for status in ("success", "error")),
]
VALUES = [
    ("requests_lag", {}),
    ("requests_total", {"quantile": "0.5"}),
    ("record_payload_size", {"quantile": "0.5"}),
    ("destination_requests", {"status": "queued", "destination_endpoint": ".+"}),
    *((f"jvm_memory_{kind}_{of}", {}) for kind in ("heap", "non_heap", "total") for of in ("used", "max", "committed")),
    *((f"jvm_buffers_{kind}_{of}", {}) for kind in ("direct", "mapped") for of in ("used", "count", "capacity")),
    *((f"jvm_{name}", {}) for name in (
        "attribute_uptime", "os_processCpuLoad", "os_systemCpuLoad", "gc_count", "gc_time", "threads_count", "threads_daemon_count",
        "files_open", "files_max", "classloader_loaded")),
    ("jvm_threads_count", {"state": "runnable"}),
]
# What they plot and nobody counts here: Linux keeps no largest number of threads.
WITHOUT = {"jvm_threads_peak_count"}


def selected(name, labels, more=""):
    """A series as a board selects it, its variables filled in as for everything."""
    wanted = "".join(f',{label}=~"{value}"' for label, value in labels.items())
    return f'{PREFIX}{name}{{cluster_name=~".*",instance=~".*"{wanted}{more}}}'


def queries():
    """Everything that is drawn, and what the boards list clusters by."""
    board = "the vendor's board"
    yield board, f"count by (cluster_name, instance) ({selected('jvm_gc_count', {})})"
    for name, labels, by in RATES:
        yield board, f"sum by ({by}) (rate({selected(name, labels)}[10s]))"
    for name, labels in VALUES:
        yield board, selected(name, labels)
    heap, other = (selected(f"jvm_memory_{kind}_used", {}) + " * 100 / " + selected(f"jvm_memory_{kind}_max", {})
                   for kind in ("heap", "non_heap"))
    yield board, f"max({heap})"
    yield board, f"max({other})"
    yield board, f"max({selected('jvm_os_processCpuLoad', {})}) * 100"
    yield board, f"rate({selected('jvm_gc_time', {})}[10s]) / rate({selected('jvm_gc_count', {})}[10s])"
    for _, expression, _, _ in ALERTS:
        if " up{" not in f" {expression}":
            # Without its threshold: that there is something to compare.
            yield "the vendor's alerts", expression.rpartition(" > ")[0]


def of_job(name, status=""):
    return f'{PREFIX}{name}{{job="{JOB}"{status}}}'


# Name; when it fires; series that make it fire and series that leave it quiet, one value each 15 s.
ALERTS = [
    ("Down", f'up{{job="{JOB}"}} == 0', {"up": "0x20"}, {"up": "1x20"}),
    ("Lag", f"{of_job('requests_lag')} > 5000", {"requests_lag": "5001x20"}, {"requests_lag": "5000x20"}),
    ("Errors",
     "100 * " + of_job("requests", ',status="error"') + f" / on (cluster_name, instance, job) sum by (cluster_name, instance, job) ({of_job('requests')}) > 1",
     {'requests|status="error"': "2x20", 'requests|status="success"': "98x20"},
     {'requests|status="error"': "1x20", 'requests|status="success"': "99x20"}),
    ("Heap", f"{of_job('jvm_memory_heap_used')} * 100 / {of_job('jvm_memory_heap_max')} > 80",
     {"jvm_memory_heap_used": "81x20", "jvm_memory_heap_max": "100x20"},
     {"jvm_memory_heap_used": "80x20", "jvm_memory_heap_max": "100x20"}),
    # Shares of 1 never get there, here as there: the vendor's boards multiply the same series by 100.
    ("ProcessLoad", f"{of_job('jvm_os_processCpuLoad')} > 80", None, {"jvm_os_processCpuLoad": "1x20"}),
    ("SystemLoad", f"{of_job('jvm_os_systemCpuLoad')} > 80", None, {"jvm_os_systemCpuLoad": "1x20"}),
    # Nothing is collected here, so it has nothing to tell.
    ("Collections", f"rate({of_job('jvm_gc_time')}[1m]) / rate({of_job('jvm_gc_count')}[1m]) > 500", None,
     {"jvm_gc_time": "0x20", "jvm_gc_count": "0x20"}),
]


def check_alerts():
    """Whether each of the vendor's alerts fires and is quiet when it should be, on series as ours are."""
    yaml = tools.yaml()
    tools.need("promtool")
    common = f'cluster_name="blue",instance="a:1",job="{JOB}"'
    cases = []
    for name, _, fires, quiet in ALERTS:
        for series, count in ((fires, 1), (quiet, 0)):
            if series is None:
                continue
            made = []
            for key, values in series.items():
                metric, _, more = key.partition("|")
                metric = metric if metric == "up" else PREFIX + metric
                made.append({"series": f"{metric}{{{','.join(filter(None, (common, more)))}}}", "values": values})
            sample = {"labels": "{}", "value": count}
            expression = f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)'
            cases.append({"interval": "15s", "input_series": made, "promql_expr_test": [
                {"expr": expression, "eval_time": "2m", "exp_samples": [sample]}]})
    rules = [{"alert": name, "expr": expression, "for": "30s"} for name, expression, _, _ in ALERTS]
    with tempfile.TemporaryDirectory(prefix="esp-connector-") as folder:
        folder = Path(folder)
        (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "vendor", "rules": rules}]}))
        (folder / "test.yml").write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "evaluation_interval": "15s", "tests": cases}))
        run("promtool", "test", "rules", folder / "test.yml")
    return len(cases)


def check_names(page):
    """Whether the page has the boards' series, but for those that are known to be missing."""
    there = {line.partition("{")[0].partition(" ")[0] for line in page.splitlines() if not line.startswith("#")}
    missing = {PREFIX + name for name, *_ in [*RATES, *VALUES]} - there
    expect(not missing, f"series of the vendor's that the connector does not have: {sorted(missing)}")
    expect(not {PREFIX + name for name in WITHOUT} & there, "a series is there that is listed as missing")
