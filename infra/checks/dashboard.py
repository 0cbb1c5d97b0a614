"""The Grafana dashboard: its structure, and that every query finds something in a Prometheus that scrapes a connector."""

import json
import re
import tempfile
import urllib.parse
from pathlib import Path

from . import alerts, tools, vendor
from .connector import Process, get, wait
from .outcome import INFRA, Failed, Skipped, expect
from .scene import at_work

BOARD = INFRA / "grafana" / "esp-connector.json"
COLUMNS = 24


def panels(board):
    """All that draw something."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def check_structure(board):
    """Whether Grafana can draw it, and a reader understand it."""
    ids = [panel["id"] for panel in board["panels"]]
    expect(len(set(ids)) == len(ids), "two panels have one id")
    variables = {variable["name"] for variable in board["templating"]["list"]}
    used = set()
    taken = {}
    for panel in board["panels"]:
        place, title = panel["gridPos"], panel["title"]
        expect(place["x"] + place["w"] <= COLUMNS, f"{title}: wider than the board")
        for cell in ((x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])):
            expect(cell not in taken, f"{title} lies on {taken.get(cell)}")
            taken[cell] = title
    for panel in panels(board):
        title = panel["title"]
        expect(panel.get("description"), f"{title}: no description")
        expect(panel["fieldConfig"]["defaults"].get("unit"), f"{title}: no unit")
        expect(panel["datasource"]["uid"] == "${datasource}", f"{title}: a fixed data source")
        expect(panel["targets"], f"{title}: no query")
        for target in panel["targets"]:
            expect(target["datasource"]["uid"] == "${datasource}", f"{title}: a fixed data source")
            expect(target["legendFormat"], f"{title}: a query without a legend")
            named = set(re.findall(r"\$(?!__)\{?(\w+)", target["expr"]))
            expect(named <= variables, f"{title}: no such variable: {named - variables}")
            used |= named
    expect(variables - {"datasource"} <= used, f"variables that nothing uses: {variables - {'datasource'} - used}")


def expressions(board):
    """Every query with the panel it is in, the variables filled in as for everything."""
    for panel in panels(board):
        for target in panel["targets"]:
            filled = re.sub(r"\$(cluster|instance|destination)\b", ".*", target["expr"])
            yield panel["title"], filled.replace("$__rate_interval", "10s")


def check_names(wanted, scrape):
    """Whether all these metrics are in a page of metrics."""
    there = set(re.findall(r"^([a-z_]+)(?:\{| )", scrape, re.MULTILINE))
    expect(wanted, "there are no metrics to look for")
    expect(wanted <= there, f"metrics that the connector does not have: {sorted(wanted - there)}")


def check(path=BOARD):
    """Structure, names, and each query against a real Prometheus."""
    board = json.loads(path.read_text())
    check_structure(board)
    tools.need("openssl")
    queries = list(expressions(board))
    theirs = list(vendor.queries())
    cases = vendor.check_alerts()
    with at_work() as manage:
        wait(lambda: "status=\"503\"" in get(f"{manage}/metrics")[1], "nothing was delivered and refused")
        page = get(f"{manage}/metrics")[1]
        wanted = {name for _, query in queries for name in alerts.names_in(query)}
        check_names(wanted, page)
        check_names(alerts.metrics(), page)
        vendor.check_names(page)
        found = ask_prometheus(manage, queries + theirs)
    return (f"{len(panels(board))} panels, {len(queries)} queries, {len(wanted)} metrics; {len(theirs)} queries and {cases} cases of "
            f"the vendor's; {found}")


def ask_prometheus(manage, queries):
    """Puts every query to a Prometheus that scrapes the connector and has our alerts."""
    tools.need("prometheus")
    with tempfile.TemporaryDirectory(prefix="esp-connector-") as name:
        folder = Path(name)
        config = (INFRA / "prometheus" / "prometheus.yml").read_text()
        expect("connector:8902" in config, "prometheus.yml does not scrape connector:8902")
        # The vendor's alerts select by a name of the job that they have in common.
        yaml = tools.yaml()
        config = yaml.safe_load(config)
        config["scrape_configs"].append({**config["scrape_configs"][0], "job_name": vendor.JOB})
        config = yaml.safe_dump(config).replace("connector:8902", manage.removeprefix("http://")).replace("15s", "1s")
        (folder / "prometheus.yml").write_text(config)
        (folder / "alerts.yml").write_text((INFRA / "prometheus" / "alerts.yml").read_text())
        with start_prometheus(folder) as (process, url):
            asked = lambda query: json.loads(get(f"{url}/api/v1/query?" + urllib.parse.urlencode({"query": query}))[1] or "{}")
            result = lambda query: asked(query).get("data", {}).get("result", [])
            wait(lambda: any(sample["value"][1] == "1" for sample in result('up{job="esp-connector"}')),
                 "Prometheus does not reach the connector", lambda: process.printed)
            # Two scrapes make a rate, ten seconds of them what the queries look at.
            wait(lambda: result("count_over_time(up[10s]) > 5"), "Prometheus scrapes too rarely")
            empty = [f"{title}: {query}" for title, query in queries if not result(query)]
            expect(not empty, "queries that find nothing:\n" + "\n".join(empty))
            rules = json.loads(get(f"{url}/api/v1/rules")[1])["data"]["groups"]
            bad = [rule["name"] for group in rules for rule in group["rules"] if rule["health"] == "err"]
            expect(rules and not bad, f"rules that Prometheus cannot evaluate: {bad}")
            count = sum(len(group["rules"]) for group in rules)
    return f"all answered by Prometheus, {count} rules loaded"


def start_prometheus(folder):
    """A context with the process and its URL, on a port of the system's choice."""
    import contextlib
    import socket

    @contextlib.contextmanager
    def running():
        for _ in range(5):
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            url = f"http://127.0.0.1:{port}"
            command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                       f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
            with Process(*command) as process:
                try:
                    wait(lambda: get(f"{url}/-/ready")[0] == 200 or process.child.poll() is not None,
                         "Prometheus is not ready", lambda: process.printed)
                    if process.child.poll() is None:
                        yield process, url
                        process.stop()
                        return
                except Failed:
                    raise
        raise Skipped("Prometheus finds no free port")

    return running()
