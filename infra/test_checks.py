"""That the checks find what they are for: each is given something broken and has to say so.

    python3 -m unittest discover infra -p 'test_*.py'     (infra/check.py runs them first)
"""

import json
import re
import shutil
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent))

from checks import alerts, chart, compose, dashboard, image, lifecycle, packages, service, tools  # noqa: E402
from checks.outcome import INFRA, Failed, Skipped, run  # noqa: E402


class Broken(unittest.TestCase):
    """A copy of infra/ to break."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="esp-connector-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name) / "infra"
        shutil.copytree(INFRA, self.folder, ignore=shutil.ignore_patterns("terraform", "__pycache__"))

    def edit(self, name, old, new):
        file = self.folder / name
        text = file.read_text()
        self.assertIn(old, text, f"{name} has changed: the test breaks nothing any more")
        file.write_text(text.replace(old, new, 1))

    def assert_fails(self, check, *arguments, says):
        try:
            seen = check(*arguments)
        except Skipped as reason:
            self.skipTest(str(reason))
        except Failed as reason:
            self.assertIn(says, str(reason))
        else:
            self.fail(f"nothing was found: {seen}")


class Alerts(Broken):
    def check(self, says):
        self.assert_fails(alerts.check, self.folder / "prometheus", says=says)

    def test_another_threshold(self):
        self.edit("prometheus/alerts.yml", "[5m]))) > 60", "[5m]))) > 6000")
        self.check("EspConnectorLagSevere")

    def test_an_expression_that_is_none(self):
        self.edit("prometheus/alerts.yml", "expr: esp_connector_lane_holding == 1", "expr: esp_connector_lane_holding === 1")
        self.check("parse error")

    def test_no_runbook(self):
        self.edit("prometheus/alerts.yml", "runbook_url: docs/troubleshooting.md#clock", "runbook_url: todo")
        self.check("EspConnectorClock: runbook_url")

    def test_an_alert_without_a_case(self):
        self.edit("prometheus/alerts_test.yml", '{alertname="EspConnectorClock"}', '{alertname="EspConnectorClocks"}')
        self.check("EspConnectorClock")


class Dashboard(Broken):
    def setUp(self):
        super().setUp()
        self.board = json.loads((self.folder / "grafana/esp-connector.json").read_text())

    def test_as_it_is(self):
        dashboard.check_structure(self.board)

    def test_panels_that_overlap(self):
        self.board["panels"][2]["gridPos"]["x"] = self.board["panels"][1]["gridPos"]["x"]
        self.assert_fails(dashboard.check_structure, self.board, says="lies on")

    def test_a_variable_that_is_not_there(self):
        dashboard.panels(self.board)[0]["targets"][0]["expr"] = 'up{instance="$host"}'
        self.assert_fails(dashboard.check_structure, self.board, says="host")

    def test_a_fixed_data_source(self):
        dashboard.panels(self.board)[0]["datasource"]["uid"] = "abc"
        self.assert_fails(dashboard.check_structure, self.board, says="a fixed data source")

    def test_a_metric_that_is_not_there(self):
        page = "# HELP a b\nesp_connector_ready{cluster_name=\"a\"} 1\n"
        dashboard.check_names({"esp_connector_ready"}, page)
        self.assert_fails(dashboard.check_names, {"esp_connector_redy"}, page, says="esp_connector_redy")

    def test_names_are_found_in_expressions(self):
        found = alerts.names_in("sum(rate(esp_connector_a_total{b=\"c\"}[5m])) / process_open_fds")
        self.assertEqual(found, {"esp_connector_a_total", "process_open_fds"})


class Chart(Broken):
    def check(self, says):
        self.assert_fails(chart.check, self.folder / "helm/esp-connector", says=says)

    def test_a_template_that_does_not_render(self):
        self.edit("helm/esp-connector/templates/service.yaml", "{{- end }}", "")
        self.check("service.yaml")

    def test_a_field_that_kubernetes_does_not_have(self):
        self.edit("helm/esp-connector/templates/service.yaml", "clusterIP: None", "clusterIp: None")
        self.check("clusterIp")

    def test_a_field_that_an_older_kubernetes_does_not_have(self):
        with mock.patch.object(chart, "KUBERNETES", ("1.25",)):
            self.check("unhealthyPodEvictionPolicy")

    def test_a_value_that_the_schema_does_not_know(self):
        self.edit("helm/esp-connector/values.yaml", "extraArgs: []", "extraArgs: []\nmoreArgs: []")
        self.check("moreArgs")

    def test_alerts_that_were_not_copied(self):
        self.edit("helm/esp-connector/files/alerts.yml", "severity: critical", "severity: warning")
        self.check("files/alerts.yml")

    def test_a_configuration_that_does_not_load(self):
        self.edit("helm/esp-connector/ci/vendor.yaml", "destinations: [dc1]", "destinations: [dc2]")
        self.check("dc2")

    def test_a_container_that_may_write_to_its_root(self):
        self.edit("helm/esp-connector/values.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false")
        self.check("may too much")

    def test_a_page_whose_command_does_not_render(self):
        (self.folder / "README.md").write_text("helm install orders infra/helm/esp-connector --set replicas=2 --values values.yaml\n" * 2)
        with mock.patch.object(chart, "PAGES", (self.folder / "README.md",)):
            self.assert_fails(chart.check_commands, self.folder, says="replicas")

    def test_a_volume_with_a_dot(self):
        self.edit("helm/esp-connector/templates/statefulset.yaml", "- name: secret-{{ $index }}", "- name: secret-{{ $secret }}")
        self.check("")


class Compose(Broken):
    def check(self, says):
        self.assert_fails(compose.check, self.folder / "compose.yaml", says=says)

    def test_a_key_that_compose_does_not_have(self):
        self.edit("compose.yaml", "read_only: true", "readonly: true")
        self.check("readonly")

    def test_a_port_open_to_the_network(self):
        self.edit("compose.yaml", '"127.0.0.1:9090:9090"', '"9090:9090"')
        self.check("open to the network")

    def test_an_image_without_a_version(self):
        self.edit("compose.yaml", "prom/prometheus:v3.5.0", "prom/prometheus:latest")
        self.check("no exact version")

    def test_a_file_that_is_not_there(self):
        self.edit("compose.yaml", "./prometheus/alerts.yml:", "./prometheus/alarms.yml:")
        self.check("alarms.yml")


class Service(Broken):
    def check(self, says):
        self.assert_fails(service.check, self.folder / "packages/esp-connector.service", says=says)

    def test_a_setting_that_systemd_does_not_have(self):
        self.edit("packages/esp-connector.service", "PrivateTmp=yes", "PrivateTemp=yes")
        self.check("PrivateTemp")

    def test_too_much_exposure(self):
        self.edit("packages/esp-connector.service", "CapabilityBoundingSet=\n", "")
        self.edit("packages/esp-connector.service", "SystemCallFilter=@system-service\n", "")
        self.check("exposure")

    def test_a_stop_shorter_than_the_drain(self):
        self.edit("packages/esp-connector.service", "TimeoutStopSec=30", "TimeoutStopSec=5")
        self.check("TimeoutStopSec")

    def test_a_call_that_the_filter_refuses(self):
        self.edit("packages/esp-connector.service", "TimeoutStopSec=30", "TimeoutStopSec=30")
        with mock.patch.object(service, "system_calls", lambda group: {"read", "write"} if group == "@system-service" else set()):
            self.check("epoll_wait")


class Image(Broken):
    def test_another_toolchain(self):
        text = re.sub(r"RUST_VERSION=[\d.]+", "RUST_VERSION=1.0.0", (INFRA / "docker/Dockerfile").read_text())
        self.assert_fails(image.check_dockerfile, text, says="does not build with Rust")

    def test_other_flags_and_another_list_of_crates(self):
        text = (INFRA / "docker/Dockerfile").read_text()
        self.assert_fails(image.check_dockerfile, text.replace("+crt-static", "-crt-static"), says="is not built with")
        self.assert_fails(image.check_dockerfile, re.sub(r"CYCLONEDX_VERSION=[\d.]+", "CYCLONEDX_VERSION=0.0.1", text), says="SBOM")

    def test_a_binary_that_needs_libraries(self):
        self.assert_fails(image.check_static, Path(sys.executable).resolve(), says="is not static")

    def test_a_dockerfile_that_hadolint_refuses(self):
        tools.need("hadolint")
        with self.assertRaises(Failed):
            run("hadolint", "-", stdin="FROM debian:latest\nRUN apt-get install curl\n")


class Packages(Broken):
    def test_an_sbom_without_checksums(self):
        names = ("rustls", "aws-lc-sys", "tokio", "adapters")
        sbom = {"bomFormat": "CycloneDX", "metadata": {"component": {"name": "esp-connector"}},
                "components": [{"name": name, "licenses": [{}]} for name in names]}
        file = self.folder / "sbom.json"
        file.write_text(json.dumps(sbom))
        self.assert_fails(image.check_sbom, file, says="without checksum")

    def test_a_configuration_that_everybody_may_read(self):
        root = self.folder / "root"
        for name, mode in packages.FILES.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()
            (root / name).chmod(0o644 if name == packages.CONFIG else mode)
        self.assert_fails(packages.check_files, root, says=f"{packages.CONFIG} has mode 644")


class Lifecycle(Broken):
    def mirror(self, name, text):
        folder = self.folder / "apt" / "sources.list.d"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        with mock.patch.object(lifecycle, "codename", lambda: "bookworm"):
            return lifecycle.mirror(self.folder / "apt")

    def test_the_mirror_is_that_of_debian(self):
        node = "Types: deb\nURIs: https://deb.nodesource.com/node_20.x\nSuites: nodistro\nComponents: main\n"
        self.assertEqual(self.mirror("node.sources", node), [])
        debian = "Types: deb\n# a comment\nURIs: http://deb.debian.org/debian\nSuites: bookworm bookworm-updates\nComponents: main\n"
        self.assertEqual(self.mirror("off.sources.disabled", debian), [])
        self.assertEqual(self.mirror("zz.sources", node + "\n" + debian), ["http://deb.debian.org/debian"])
        self.assertEqual(self.mirror("old.list", "deb [trusted=yes] http://mirror/debian bookworm main\n"), ["http://mirror/debian"])


class Outcome(unittest.TestCase):
    def test_what_is_not_installed_is_skipped(self):
        with self.assertRaisesRegex(Skipped, "no-such-program is not installed"):
            run("no-such-program")
        with self.assertRaisesRegex(Skipped, "no-such-program"):
            tools.need("sh", "no-such-program")

    def test_what_wants_root_is_skipped_for_others(self):
        with mock.patch("os.geteuid", lambda: 1000), self.assertRaisesRegex(Skipped, "not root, as dpkg wants"):
            tools.need_root("dpkg")

    def test_what_wants_namespaces_is_skipped_where_they_are_refused(self):
        with mock.patch.object(tools, "may_separate", lambda *kinds: False), self.assertRaisesRegex(Skipped, "no net and pid"):
            tools.need_namespaces("net", "pid")

    def test_a_skipped_check_fails_where_ci_is_set(self):
        import check
        module = mock.Mock(__name__="checks.some", check=mock.Mock(side_effect=Skipped("no helm")))
        for environment, outcome in (({}, "skipped"), ({"CI": "true"}, "failed")):
            with mock.patch.dict("os.environ", environment, clear=True):
                self.assertEqual(check.one(module)[0], outcome)
        module.check.side_effect = Failed("wrong")
        self.assertEqual(check.one(module)[0], "failed")
        module.check.side_effect = ValueError("a bug in a check")
        self.assertEqual(check.one(module)[0], "failed")

    def test_an_exit_status_that_was_not_expected(self):
        with self.assertRaisesRegex(Failed, "exit 3, expected 0"):
            run("sh", "-c", "exit 3")
        with self.assertRaisesRegex(Failed, "not done within 1 s"):
            run("sleep", "5", timeout_s=1)


if __name__ == "__main__":
    unittest.main()
