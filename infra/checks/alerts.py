"""Prometheus alerts: the rules, their unit tests, and that no alert is without one."""

import re

from . import tools
from .outcome import INFRA, TOP, expect, run

FOLDER = INFRA / "prometheus"
RUNBOOKS = "docs/troubleshooting.md"
SEVERITIES = {"critical", "warning"}


def check(folder=FOLDER):
    """Every alert is well formed, documented, and fires and is quiet in a test."""
    yaml = tools.yaml()
    tools.need("promtool")
    rules = [rule for group in yaml.safe_load((folder / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
    sections = anchors((TOP / RUNBOOKS).read_text())
    for rule in rules:
        name, notes = rule["alert"], rule.get("annotations", {})
        expect(name.startswith("EspConnector"), f"{name}: its name does not say whose alert it is")
        expect(rule.get("labels", {}).get("severity") in SEVERITIES, f"{name}: severity is none of {sorted(SEVERITIES)}")
        expect(notes.get("summary") and notes.get("description"), f"{name}: summary and description are needed")
        page, _, section = notes.get("runbook_url", "").partition("#")
        expect(page == RUNBOOKS and section in sections, f"{name}: runbook_url names no section of {RUNBOOKS}")
    names = [rule["alert"] for rule in rules]
    expect(len(set(names)) == len(names), "two alerts have one name")
    run("promtool", "check", "rules", folder / "alerts.yml")
    cases = yaml.safe_load((folder / "alerts_test.yml").read_text())["tests"]
    fires = {
        match
        for case in cases for expression in case.get("promql_expr_test", []) for sample in expression["exp_samples"]
        for match in re.findall(r'alertname="(\w+)"', sample["labels"])
    }
    expect(fires == set(names), f"alerts without a case in which they fire, or the reverse: {sorted(fires ^ set(names))}")
    run("promtool", "test", "rules", folder / "alerts_test.yml")
    if (folder / "prometheus.yml").exists():
        run("promtool", "check", "config", folder / "prometheus.yml")
    return f"{len(rules)} alerts, {len(cases)} cases in promtool"


def anchors(page):
    """What the headings of a page are called in links, as GitHub makes it."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def metrics(folder=FOLDER):
    """The names of metrics in the alerts' expressions."""
    groups = tools.yaml().safe_load((folder / "alerts.yml").read_text())["groups"]
    return {name for group in groups for rule in group["rules"] for name in names_in(rule["expr"])}


def names_in(expression):
    """Names of our metrics, and those of the process, that an expression reads."""
    return set(re.findall(r"\b((?:esp_connector|process|aerospike_esp_outbound)_[a-z_]+)\b", expression))
