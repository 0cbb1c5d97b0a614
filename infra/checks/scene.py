"""A source, the connector and a receiver at work, so that every metric has something to say."""

import base64
import contextlib
import json
import tempfile
import time
from pathlib import Path

from .connector import Process, binary, get, manage_url, wait, xdr_address
from .outcome import run

CONFIG = """
service:
  port: 0
  address: 127.0.0.1
  tls: {{port: 0, certificate-file: tls.crt, key-file: tls.key}}
  manage: {{port: 0, address: 127.0.0.1}}
  cluster-name: check
destinations:
  # One that proves who asks, one that does not; a place for dead letters, and none.
  orders:
    type: aws-alb
    urls: ["{receiver}"]
    protocol: HTTP_1_1
    token: {{file: token.jwt}}
    dead-letter: letters
  audit:
    urls: ["{receiver}"]
    protocol: HTTP_1_1
    max-connections-per-endpoint: 4
  letters: {{type: file, path: letters}}
format: {{mode: flat-json, metadata-key: _meta}}
batching: {{max-records: 20}}
metrics: {{jvm-compat: true}}
record-ordering: {{enable: true}}
routing: {{mode: static-multi-destination, destinations: [orders, audit]}}
"""


def token(lives_s):
    """An unsigned token with an expiry: the connector looks at nothing else."""
    part = lambda claims: base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"{part({'alg': 'none'})}.{part({'exp': int(time.time()) + lives_s})}.c2lnbmF0dXJl"


@contextlib.contextmanager
def at_work(rate=300, under=()):
    """Yields the management URL of a connector that delivers, some requests being refused; started by `under` if given."""
    with tempfile.TemporaryDirectory(prefix="esp-connector-") as name, contextlib.ExitStack() as running:
        folder = Path(name)
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=connector",
            "-keyout", folder / "tls.key", "-out", folder / "tls.crt")
        (folder / "token.jwt").write_text(token(3600))
        start = lambda *command, **more: running.enter_context(Process(binary(), *command, **more))
        receiver = start("receive", "--listen", "127.0.0.1:0", "--fail-share", "0.05", "--fail-status", "503")
        url = receiver.wait_for(r"receiving at (http://\S+)")
        (folder / "connector.yml").write_text(CONFIG.format(receiver=url))
        connector = running.enter_context(Process(*under, binary(), "run", "--config", folder / "connector.yml"))
        simulator = start("simulate", "--to", xdr_address(connector), "--rate", rate, "--records", 10_000_000, "--keys", 5000,
                          "--nodes", 1, "--connections", 2, "--namespace", "shop", "--sets", "orders")
        yield manage_url(connector)
        simulator.child.kill()
        connector.stop()


def at_work_under(*command):
    """Has the connector, started by this command, deliver, be asked, and stop."""
    with at_work(under=command) as manage:
        wait(lambda: 'status="503"' in get(f"{manage}/metrics")[1], "nothing was delivered and refused")
