"""The Helm chart: rendered by the real helm, each manifest against Kubernetes' own schemas, each configuration by the connector."""

import json
import re
import shlex
import tempfile
from pathlib import Path

from . import tools
from .connector import binary
from .outcome import INFRA, TOP, Failed, Skipped, expect, run

CHART = INFRA / "helm" / "esp-connector"
# Those that show how to install it.
PAGES = (TOP / "docs" / "deployment.md", INFRA / "README.md")

# The oldest that the chart names, and the newest that is known.
KUBERNETES = ("1.27", "1.37")

# What must be refused, and a word of the reason.
REFUSED = (
    ("replicaCount: two", "replicaCount"),
    ("replicas: 2", "replicas"),
    ("connectorSecrets: tls-certs", "connectorSecrets"),
    ("image: {repository: aerospike/aerospike-esp-outbound}", "vendor's image"),
    ("terminationGracePeriodSeconds: 10", "longer than"),
    ("connectorConfig: {service: {shutdown-grace-period: 60000}}", "longer than"),
    ("serviceMonitor: {enabled: true}\nconnectorConfig: {service: {port: 8901}}", "service.manage"),
    ("initContainers: [{name: jars, volumeMounts: [{name: aerospike-esp-outbound-init, mountPath: /x}]}]", "Java"),
)


def render(values, chart=CHART, status=0):
    """What helm makes of a values file, or says against it."""
    return run(tools.helm(), "template", "orders", chart, "--namespace", "shop", "--values", values,
               env=tools.helm_environment(), status=status)


def documents(values, chart=CHART):
    """The rendered manifests."""
    text = render(values, chart)
    text = text[text.index("---"):]
    return [document for document in tools.yaml().safe_load_all(text) if document]


def check(chart=CHART):
    """Lint, schemas, what holds the pieces together, and what is refused."""
    helm, yaml = tools.helm(), tools.yaml()
    run(helm, "lint", "--strict", chart, env=tools.helm_environment())
    for copy, original in (("alerts.yml", "prometheus/alerts.yml"), ("esp-connector.json", "grafana/esp-connector.json")):
        expect((chart / "files" / copy).read_text() == (INFRA / original).read_text(), f"files/{copy} is not infra/{original}")
    cases = sorted((chart / "ci").glob("*.yaml"))
    expect(len(cases) >= 3, "no values files in ci/")
    kinds, count = set(), 0
    for case in cases:
        manifests = documents(case, chart)
        count += len(manifests)
        kinds |= {manifest["kind"] for manifest in manifests}
        for manifest in manifests:
            check_manifest(manifest)
        check_pods(manifests)
        check_configuration(manifests, needs_files="secrets/" in case.read_text())
    expected = {"ConfigMap", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget", "PrometheusRule", "Service",
                "ServiceAccount", "ServiceMonitor", "StatefulSet"}
    expect(kinds == expected, f"kinds that no case renders, or that nobody expects: {sorted(kinds ^ expected)}")
    check_every_value(chart)
    with tempfile.TemporaryDirectory() as folder:
        for values, reason in REFUSED:
            file = Path(folder) / "values.yaml"
            file.write_text(values)
            said = render(file, chart, status=1)
            expect(reason in said, f"{values!r} is refused without {reason!r}:\n{said}")
        shown = check_commands(Path(folder))
        run(helm, "package", chart, "--destination", folder, env=tools.helm_environment())
    return f"{shown} commands of the pages, {len(cases)} values files, {count} manifests, {len(REFUSED)} refusals, Kubernetes {' and '.join(KUBERNETES)}"


def check_commands(folder):
    """The `helm install` that the pages show renders, with a values file that the vendor's chart takes."""
    (folder / "values.yaml").write_text((CHART / "ci" / "vendor.yaml").read_text())
    shown = 0
    for page in PAGES:
        for command in re.findall(r"^helm install (.+)$", page.read_text(), re.MULTILINE):
            words = shlex.split(command.replace(" infra/", f" {INFRA}/"))
            run(tools.helm(), "template", *words, cwd=folder, env=tools.helm_environment())
            shown += 1
    expect(shown >= 2, f"{shown} commands with helm were found")
    return shown


def check_manifest(manifest):
    """Against the schemas of Kubernetes; those of the Prometheus operator are not among them."""
    if manifest["apiVersion"].startswith("monitoring.coreos.com/"):
        expect(manifest["spec"], f"{manifest['kind']} is empty")
        return
    try:
        import kubernetes_validate
    except ImportError as error:
        raise Skipped("kubernetes-validate is not installed") from error
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            name = f"{manifest['kind']} {manifest['metadata']['name']}"
            raise Failed(f"{name}, Kubernetes {version}: {'.'.join(map(str, error.path))}: {error.message}") from error


def check_pods(manifests):
    """What no schema knows: names that must agree, and a pod that could be read as safe but is not."""
    (pods,) = (manifest for manifest in manifests if manifest["kind"] == "StatefulSet")
    (service,) = (manifest for manifest in manifests if manifest["kind"] == "Service")
    spec = pods["spec"]["template"]["spec"]
    container = spec["containers"][0]
    labels = pods["spec"]["template"]["metadata"]["labels"]
    expect(pods["spec"]["serviceName"] == service["metadata"]["name"], "the pods' service is another")
    expect(service["spec"]["clusterIP"] == "None", "the service is not headless")
    for selector in (pods["spec"]["selector"]["matchLabels"], service["spec"]["selector"]):
        expect(selector.items() <= labels.items(), f"{selector} does not select the pods")
    volumes = {volume["name"] for volume in spec["volumes"]}
    volumes |= {claim["metadata"]["name"] for claim in pods["spec"].get("volumeClaimTemplates", [])}
    mounts = [mount["name"] for mount in container["volumeMounts"]]
    expect(set(mounts) <= volumes, f"mounts without a volume: {set(mounts) - volumes}")
    for name in volumes | {port["name"] for port in container["ports"]}:
        expect("." not in name and len(name) <= 63, f"{name} is no name for a volume or a port")
    ports = {port["name"] for port in container["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        handler = container[probe].get("httpGet") or container[probe]["tcpSocket"]
        expect(handler["port"] in ports, f"{probe} asks a port that is not there")
    expect(container["livenessProbe"] != container["readinessProbe"], "a held destination would restart the pod")
    safe = container["securityContext"]
    expect(safe["readOnlyRootFilesystem"] and not safe["allowPrivilegeEscalation"] and safe["capabilities"]["drop"] == ["ALL"],
           f"the container may too much: {safe}")
    expect(spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] > 0, "runs as root")


def check_configuration(manifests, needs_files):
    """The configuration in the ConfigMap loads, as the connector itself says."""
    (text,) = (data for manifest in manifests if manifest["kind"] == "ConfigMap"
               for name, data in manifest["data"].items() if name.endswith(".yml"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if needs_files:
            secrets = folder / "secrets" / "tls-certs"
            secrets.mkdir(parents=True)
            tools.need("openssl")
            run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=connector", "-keyout",
                secrets / "tls.key", "-out", secrets / "tls.crt")
            (secrets / "ca.crt").write_text((secrets / "tls.crt").read_text())
        file = folder / "aerospike-esp-outbound.yml"
        file.write_text(text)
        run(binary(), "check", "--config", file, env={"ORDERS_API_TOKEN": "none"})


def check_every_value(chart):
    """Values and their schema name the same keys, so that a misspelt one is refused and a new one is not forgotten."""
    def keys(values, path=()):
        for key, value in values.items():
            yield (*path, key)
            if isinstance(value, dict) and path == ():
                yield from keys(value, (key,))
    schema = json.loads((chart / "values.schema.json").read_text())
    for path in keys(tools.yaml().safe_load((chart / "values.yaml").read_text())):
        node = schema
        for key in path:
            if "properties" not in node:
                break
            expect(key in node["properties"], f"values.schema.json does not know {'.'.join(path)}")
            node = node["properties"][key]
