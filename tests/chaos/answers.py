"""Destinations that fail: they die, hang, answer what is no answer, lose their certificate, move to another address."""

import os
import signal
import subprocess
import time

from machine import resolver
from scene import Failed, Scene, Skipped, end_now, started

PROXY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "proxy.py")
SECONDS, RATE = 8, 1500


def killed(folder):
    scene = Scene(folder)
    yield scene
    scene.ship(12, RATE)
    for _ in range(3):
        time.sleep(2)
        scene.restart_receiver(1.5)
    yield scene.finish()


def hung(folder):
    """Its socket takes connections, and nobody reads them."""
    scene = Scene(folder)
    yield scene
    scene.ship(16, RATE)
    for _ in range(2):
        time.sleep(2)
        scene.receiver.send_signal(signal.SIGSTOP)
        time.sleep(5)
        scene.receiver.send_signal(signal.SIGCONT)
    yield scene.finish()


def never_answered(folder):
    scene = Scene(folder, receive=["--hang-share", "0.02"])
    yield scene
    scene.ship(SECONDS, RATE)
    yield scene.finish()


def down(folder):
    """For twenty seconds nobody listens: everything is refused for now, in time."""
    scene = Scene(folder)
    yield scene
    scene.ship(26, RATE)
    time.sleep(3)
    scene.restart_receiver(20)
    yield scene.finish()


def spoiled(fault, share, protocol="HTTP_1_1", **settings):
    """The proxy in front of the receiver."""

    def case(folder):
        from scenarios import free_port

        port = free_port()
        destination = {"protocol": protocol, **settings}
        if protocol == "HTTP_2":
            destination["max-connections-per-endpoint"] = 4
        scene = Scene(folder, target=f"http://127.0.0.1:{port}/", destination=destination)
        yield scene
        count = os.path.join(folder, "spoiled")
        proxy = started(["python3", PROXY, str(port), str(scene.http), fault, str(share), count], stderr=subprocess.DEVNULL)
        try:
            scene.ship(SECONDS, RATE)
            row = scene.finish()
            if proxy.poll() is not None:
                raise Failed("the proxy ended")
            with open(count) as file:
                row["faults"] = int(file.read() or 0)
            if row["faults"] < 5:
                raise Failed(f"only {row['faults']} answers were spoiled")
        finally:
            end_now(proxy)
        yield row

    return case


NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{
    access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    upstream receiver {{ server 127.0.0.1:{to}; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port} http2;
        keepalive_requests 40;
        location / {{ proxy_pass http://receiver; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
"""


def nginx_goaway(folder):
    """A real server that says GOAWAY every forty requests, and with every reload."""
    from scenarios import free_port

    port = free_port()
    scene = Scene(folder, target=f"http://127.0.0.1:{port}/", destination={"protocol": "HTTP_2", "max-connections-per-endpoint": 4})
    yield scene
    config = os.path.join(folder, "nginx.conf")
    with open(config, "w") as file:
        file.write(NGINX.format(folder=folder, port=port, to=scene.http))
    os.chmod(folder, 0o777)
    try:
        nginx = started(["nginx", "-c", config], stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        raise Skipped("nginx is not installed")
    try:
        scene.ship(SECONDS, RATE)
        for _ in range(3):
            time.sleep(2)
            nginx.send_signal(signal.SIGHUP)
        yield scene.finish()
    finally:
        nginx.terminate()
        nginx.wait()


AUTHORITY = """
[ca]
default_ca = here
[here]
database = {folder}/index
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
"""


class Authority:
    """An authority whose certificates are good for as many seconds as one likes."""

    def __init__(self, folder):
        self.folder = folder
        self.config, self.certificate = os.path.join(folder, "ca.conf"), os.path.join(folder, "ca.pem")
        with open(self.config, "w") as file:
            file.write(AUTHORITY.format(folder=folder))
        open(os.path.join(folder, "index"), "w").close()
        with open(os.path.join(folder, "serial"), "w") as file:
            file.write("01\n")
        self.run("req", "-x509", *NEW_KEY, "-days", "2", "-subj", "/CN=authority", "-keyout", self.path("ca.key"), "-out", self.certificate)

    def path(self, name):
        return os.path.join(self.folder, name)

    def run(self, *arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)

    def issue(self, name, seconds):
        self.run("req", "-new", *NEW_KEY, "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
                 "-keyout", self.path(f"{name}.key"), "-out", self.path(f"{name}.csr"))
        end = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + seconds))
        self.run("ca", "-batch", "-notext", "-config", self.config, "-keyfile", self.path("ca.key"), "-cert", self.certificate,
                 "-startdate", time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() - 60)), "-enddate", end,
                 "-in", self.path(f"{name}.csr"), "-out", self.path(f"{name}.pem"))
        return ["--tls-cert", self.path(f"{name}.pem"), "--tls-key", self.path(f"{name}.key")]


NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def certificate_expires(folder):
    """The receiver's, in mid-run; after six seconds somebody replaces it.

    Sessions that are resumed show no certificate, so the receiver is one that forgot them."""
    authority = Authority(folder)
    short = authority.issue("short", 8)
    scene = Scene(folder, receive=short, target="https://127.0.0.1:{http}/",
                  destination={"connection-ttl": 500, "tls": {"ca-file": authority.certificate}})
    yield scene
    begun = scene.ship(20, RATE)
    time.sleep(9)
    scene.restart_receiver()
    time.sleep(0.5)
    before = scene.numbers()["destinations"]["receiver"]["delivered"]
    time.sleep(4)
    between = scene.numbers()["destinations"]["receiver"]["delivered"]
    if between > before:
        raise Failed(f"{between - before} records went to a server whose certificate had expired")
    time.sleep(max(0, begun + 15 - time.monotonic()))
    scene.receive = authority.issue("long", 3600)
    scene.restart_receiver()
    yield scene.finish()


def moved(folder):
    """The name of the destination leads to another address, and nobody is left at the old one."""
    resolves = resolver(folder)
    resolves("127.0.0.2")
    scene = Scene(folder, address="127.0.0.2", target="http://receiver.test:{http}/")
    yield scene
    scene.ship(14, RATE)
    for address in ("127.0.0.3", "127.0.0.2"):
        time.sleep(4)
        resolves(address)
        scene.address = address
        scene.restart_receiver()
    yield scene.finish()


CASES = {
    "receiver-killed": ("receiver killed and started again, 3 times", killed, {}),
    "receiver-hung": ("receiver stopped (SIGSTOP) for 5 s, twice", hung, {}),
    "receiver-down": ("receiver away for 20 s", down, {}),
    "no-answer": ("1 request in 50 never answered", never_answered, {}),
    "garbage": ("1 answer in 20 is garbage", spoiled("garbage", 0.05), {}),
    "short": ("1 answer in 20 is shorter than its Content-Length", spoiled("short", 0.05), {}),
    "two-lengths": ("1 answer in 20 has two lengths", spoiled("two-lengths", 0.05), {}),
    "half-head": ("1 answer in 20 ends in its head", spoiled("half-head", 0.05), {}),
    "early-close": ("1 request in 20 delivered, then the connection closed", spoiled("close-after", 0.05), {}),
    "rst": ("1 request in 20 answered with RST", spoiled("rst", 0.05), {}),
    "slow-loris": ("1 answer in 20 comes at 3 bytes/s", spoiled("slow-loris", 0.05), {}),
    "huge-head": ("1 answer in 20 has a head of 4 MiB", spoiled("huge-head", 0.05), {}),
    "endless-headers": ("1 answer in 50 has 200,000 headers", spoiled("endless-headers", 0.02), {}),
    "early-hints": ("1 answer in 50 begins with 5,000 interim answers", spoiled("informational", 0.02), {}),
    "huge-answer": ("1 answer in 50 has 4 GB", spoiled("huge-answer", 0.02), {}),
    "gzip-bomb": ("1 answer in 20 is a bomb of gzip", spoiled("gzip-bomb", 0.05), {}),
    "goaway": ("HTTP/2: GOAWAY, 1 frame in 100", spoiled("h2-goaway", 0.01, "HTTP_2"), {}),
    "goaway-calm": ("HTTP/2: GOAWAY with ENHANCE_YOUR_CALM, 1 frame in 100", spoiled("h2-calm", 0.01, "HTTP_2"), {}),
    "h2-reset": ("HTTP/2: RST_STREAM, 1 frame in 20", spoiled("h2-reset", 0.05, "HTTP_2"), {}),
    "h2-rst": ("HTTP/2: RST, 1 frame in 100", spoiled("h2-rst", 0.01, "HTTP_2"), {}),
    "h2-garbage": ("HTTP/2: frames against the protocol, 1 in 100", spoiled("h2-garbage", 0.01, "HTTP_2"), {}),
    "h2-flood": ("HTTP/2: floods of PING and SETTINGS, 1 frame in 200", spoiled("h2-flood", 0.005, "HTTP_2"), {}),
    "h2-continuation": ("HTTP/2: headers without an end, 1 frame in 200", spoiled("h2-continuation", 0.005, "HTTP_2"), {}),
    "h2-settings": ("HTTP/2: no streams allowed for 0.5 s, 1 frame in 200", spoiled("h2-settings", 0.005, "HTTP_2"), {}),
    "nginx-goaway": ("nginx: GOAWAY every 40 requests, 3 reloads", nginx_goaway, {}),
    "certificate": ("the receiver's certificate expires, replaced after 6 s", certificate_expires, {}),
    "dns": ("the destination's name leads elsewhere, twice", moved, {}),
}
