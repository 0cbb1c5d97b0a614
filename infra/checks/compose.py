"""infra/compose.yaml: against the Compose specification, and its programs started here with the same arguments."""

import contextlib
import re
import tempfile
from pathlib import Path

from . import tools
from .connector import Process, binary, get, manage_url, wait, xdr_address
from .dashboard import ask_prometheus
from .outcome import INFRA, expect, run

FILE = INFRA / "compose.yaml"


def check(file=FILE):
    """The file, what it names, and the topology at work."""
    compose = tools.yaml().safe_load(file.read_text())
    tools.need("check-jsonschema")
    run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", file)
    services = compose["services"]
    for name, service in services.items():
        expect(re.search(r":v?\d+\.\d+\.\d+$", service["image"]), f"{name}: the image has no exact version")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                expect((file.parent / source).exists(), f"{name} mounts {source}, which is not there")
            else:
                expect(source in compose["volumes"], f"{name} mounts {source}, which is no volume")
        for port in service.get("ports", []):
            expect(port.startswith("127.0.0.1:"), f"{name}: {port} is open to the network")
    build = services["connector"]["build"]
    expect((file.parent / build["context"] / build["dockerfile"]).exists(), "the Dockerfile is not there")
    return f"{len(services)} services; {start(services)}"


def start(services):
    """The three programs of ours, with the names of the containers replaced by addresses here."""
    local = re.compile(r"\b0\.0\.0\.0:\d+")
    with tempfile.TemporaryDirectory(prefix="esp-connector-") as name, contextlib.ExitStack() as running:
        folder = Path(name)
        launch = lambda command: running.enter_context(Process(binary(), *command))
        receiver = launch([local.sub("127.0.0.1:0", part) for part in services["receiver"]["command"]])
        url = receiver.wait_for(r"receiving at http://([^/]+)")
        config = (INFRA / "compose" / "connector.yml").read_text()
        for there, here in (("receiver:8080", url), ("port: 8901", "port: 0\n  address: 127.0.0.1"),
                            ("{port: 8902}", "{port: 0, address: 127.0.0.1}"), ("/var/lib/esp-connector", str(folder / "state"))):
            expect(there in config, f"compose/connector.yml has no {there!r}")
            config = config.replace(there, here)
        (folder / "esp-connector.yml").write_text(config)
        command = [part.replace("/etc/esp-connector", str(folder)) for part in services["connector"]["command"]]
        connector = launch(command)
        manage = manage_url(connector)
        run(binary(), "health", "--url", manage)
        simulator = [part.replace("connector:8901", xdr_address(connector)) for part in services["simulator"]["command"]]
        launch(simulator)
        delivered = lambda: re.search(r"esp_connector_lane_delivered_records_total\{[^}]*\"receiver\"[^}]*\} ([1-9]\d*)",
                                      get(f"{manage}/metrics")[1])
        wait(delivered, "nothing is delivered", lambda: connector.printed)
        told = ask_prometheus(manage, [("delivered", "rate(esp_connector_lane_delivered_records_total[10s]) > 0")])
        return f"{delivered().group(1)} records delivered; {told}"
