"""Programs under test and around them: where each runs, what it may use, what it cost.

CPU is user + system time of the process under test, read from its own CPU clock, in nanoseconds. The connector and its
peers get processors of their own; source and receiver share the rest.
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

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from scenarios import BINARY, ROOT, STARTED, free_port, memory_mib  # noqa: E402

LOAD = os.path.join(os.path.dirname(BINARY), "bench-load")


class Disturbed(Exception):
    """A run that says nothing: a party failed, or records are missing."""


def processors():
    """Those of the process under test, and those of everything around it."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) == 1:
        return available, available
    half = max(1, len(available) // 2) if len(available) > 2 else 1
    return available[:half], available[half:]


def cpu_ns(pid):
    """CPU time of a process, all its threads: its clock has this number (see clock_getcpuclockid)."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def waits(pid):
    """How often its threads went to sleep."""
    count = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{thread}/status") as status:
                count += sum(int(line.split()[1]) for line in status if line.startswith("voluntary"))
        except OSError:
            pass
    return count


def start(command, cpus, user=None, **options):
    """Starts a process that ends with this program; `user`: not as root, where that is a choice."""
    if user and os.geteuid() == 0:
        options |= {"user": user, "group": user, "extra_groups": []}
    mask = ",".join(map(str, cpus))
    process = subprocess.Popen(["taskset", "-c", mask, *command], stdin=subprocess.DEVNULL, **options)
    STARTED.append(process)
    return process


def stop(process, sig=signal.SIGTERM):
    if process.poll() is None:
        process.send_signal(sig)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    STARTED.remove(process)


def wait_for_port(port, process=None, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process and process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.01)
    raise Disturbed(f"nobody listens on port {port}")


def certificates(folder):
    """A certificate for 127.0.0.1 that is no authority's."""
    chain, key = os.path.join(folder, "loopback.pem"), os.path.join(folder, "loopback.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE",
                    "-keyout", key, "-out", chain], check=True, capture_output=True)
    os.chmod(key, 0o644)
    return chain, key


class Bench:
    """One invocation: a folder, certificates, processors, and how long a measurement takes."""

    def __init__(self, folder, seconds):
        self.folder, self.seconds = folder, seconds
        self.cpus, self.other_cpus = processors()
        self.chain, self.key = certificates(folder)
        self.body = os.path.join(folder, "body.json")
        with open(self.body, "wb") as file:
            file.write(subprocess.run([LOAD, "body"], check=True, capture_output=True).stdout)


class Sink:
    """The receiver, the same for everybody."""

    def __init__(self, bench, *options, cpus=None):
        self.port, self.tls_port = free_port(), free_port()
        self.process = start([LOAD, "sink", "--listen", f"127.0.0.1:{self.port}", "--listen-tls", f"127.0.0.1:{self.tls_port}",
                              "--tls-cert", bench.chain, "--tls-key", bench.key, *options], cpus or bench.other_cpus)
        wait_for_port(self.tls_port, self.process)
        self.cpu_before = cpu_ns(self.process.pid)

    def url(self, tls=False):
        return f"https://127.0.0.1:{self.tls_port}/" if tls else f"http://127.0.0.1:{self.port}/"

    def counts(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=20) as answer:
            return json.load(answer)

    def cpu_ns(self):
        return cpu_ns(self.process.pid) - self.cpu_before

    def stop(self):
        stop(self.process)


def source(bench, port, *options, seconds=None, cpus=None):
    return start([LOAD, "source", "--to", f"127.0.0.1:{port}", "--seconds", str(seconds or bench.seconds), *options],
                 cpus or bench.other_cpus, stdout=subprocess.PIPE)


def report_of(process, seconds=120):
    """What a process says at its end, as JSON."""
    out, _ = process.communicate(timeout=seconds)
    STARTED.remove(process)
    if process.returncode != 0:
        raise Disturbed(f"{os.path.basename(process.args[3])} ended with {process.returncode}")
    return json.loads(out)


def temporary_folder():
    """One that programs which are not root may read."""
    folder = tempfile.TemporaryDirectory(prefix="bench-")
    os.chmod(folder.name, 0o755)
    return folder
