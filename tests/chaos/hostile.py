#!/usr/bin/env python3
"""Whoever reaches a port may send anything: the release binary with real sockets, under peers that mean it no good.

    cargo build --release --bin esp-connector && python3 tests/chaos/hostile.py [CASE …] [--list]

While each attack goes on an ordinary source ships through another connection. The row tells what was sent, what became of those
connections, and of the records meanwhile. Exit code 1 as with faults.py, or when an attacker's connection outlives its limit.
Writes target/chaos/hostile.json. About five minutes. What peers can send inside the limits of a protocol is the fuzz targets'
business (tests/chaos/fuzz.sh).
"""

import argparse
import gzip
import json
import os
import random
import select
import socket
import ssl
import sys
import tempfile
import time
import zlib

from answers import Authority
from faults import each, isolate, line
from machine import captured
from scene import BINARY, Failed, Scene, end_now, free_port, started, wait_for_port, wrong

HEADERS = ["attack", "connections", "what became of them", "shipped", "lost", "longest unanswered", "peak MiB", "verdict"]


def attack(scene, seconds, sockets, feed=None):
    """Holds the sockets open for so long, or until the connector has closed them all: how many it closed, and the last one when."""
    begun, closed, last = time.monotonic(), 0, 0.0
    left = {connection.fileno(): connection for connection in sockets}
    poll = select.poll()
    for number in left:
        poll.register(number, select.POLLIN | select.POLLHUP | select.POLLERR)
    next_feed = begun
    while left and time.monotonic() < begun + seconds:
        for number, _ in poll.poll(200):
            try:
                data = left[number].recv(65536)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                poll.unregister(number)
                left.pop(number).close()
                closed, last = closed + 1, time.monotonic() - begun
        if feed and time.monotonic() >= next_feed:
            next_feed = time.monotonic() + feed[1]
            for connection in left.values():
                try:
                    connection.send(feed[0])
                except OSError:
                    pass
    for connection in left.values():
        connection.close()
    return closed, last


def opened(port, count, first=b""):
    sockets = []
    for number in range(count):
        connection = socket.create_connection(("127.0.0.1", port), 10, (f"127.0.1.{number % 20 + 1}", 0))
        if first:
            connection.sendall(first)
        connection.setblocking(False)
        sockets.append(connection)
    return sockets


def held(port_of, first, count, within, feed=None, **setup):
    """Connections that begin with `first` and go on with nothing, or with `feed`, must be closed `within` seconds."""

    def case(folder):
        scene = Scene(folder, limits=["prlimit", "--nofile=16384:16384"], **(setup["scene"](folder) if "scene" in setup else {}))
        yield scene
        scene.ship(8, 1500)
        closed, last = attack(scene, within + 10, opened(port_of(scene), count, first), feed)
        row = scene.finish()
        row |= {"connections": count, "became": f"{closed:,} closed, the last after {last:.0f} s"}
        if closed < count or last > within + 5:
            row["broken"] = [f"{count - closed} of {count} were still open after {within + 10} s" if closed < count else f"closed after {last:.0f} s only"]
        yield row

    return case


def tls_scene(folder):
    """With TLS on both sides."""
    authority = Authority(folder)
    _, certificate, _, key = authority.issue("connector", 3600)
    tls = lambda: {"port": free_port(), "address": "127.0.0.1", "certificate-file": certificate, "key-file": key}
    service, manage = tls(), tls()
    tls_scene.service, tls_scene.manage = service["port"], manage["port"]
    port = free_port()
    return {"manage": port, "config": {"service": {"tls": service, "manage": {"port": port, "address": "127.0.0.1", "tls": manage}}}}


def client_hello():
    """The first bytes of a handshake."""
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(into, out, server_hostname="connector")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def frame(kind, body, size=None):
    return bytes([2, kind]) + (len(body) if size is None else size).to_bytes(6, "big") + body


def sent(payloads, count, port_of=lambda scene: scene.port, **setup):
    """Connections that send one of `payloads` each as fast as they can, over and over for eight seconds."""

    def case(folder):
        scene = setup["scene"] if "scene" in setup else Scene(folder)
        yield scene
        scene.ship(10, 1500)
        dice, begun, made, total = random.Random(1), time.monotonic(), 0, 0
        some = payloads() if callable(payloads) else payloads
        while time.monotonic() < begun + 8:
            sockets = opened(port_of(scene), count)
            made += len(sockets)
            for connection in sockets:
                payload = dice.choice(some)
                connection.setblocking(True)
                connection.settimeout(setup.get("patience", 2))
                try:
                    connection.sendall(payload)
                    total += len(payload)
                    connection.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
            for connection in sockets:
                try:
                    while connection.recv(65536):
                        pass
                except OSError:
                    pass
                connection.close()
        row = scene.finish()
        yield row | {"connections": made, "became": f"{total / 1e6:,.0f} MB taken"}

    return case


def garbage():
    dice = random.Random(2)
    noise = [bytes(dice.randrange(256) for _ in range(dice.randrange(1, 4000))) for _ in range(50)]
    return [*noise, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", client_hello(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x02\x03" + b"\xff" * 6,
            frame(3, b"\x16" * 40), frame(9, b""), frame(1, b"build\n" * 5000), b"\n" * 9000]


def bombs():
    """A thousandth on the wire of what it says, or more than it says, or less."""
    zeros = zlib.compress(b"\0" * (15 << 20), 9)
    return [frame(4, (15 << 20).to_bytes(8, "big") + zeros), frame(4, (1 << 20).to_bytes(8, "big") + zeros), frame(4, (1 << 40).to_bytes(8, "big") + zeros),
            frame(4, (15 << 20).to_bytes(8, "big") + zeros) * 20]


def large_records(folder):
    """Records of 15 MiB in 15 KB, which are sound, on two hundred connections at once, while the receiver takes its time."""
    scene = Scene(folder, receive=["--delay-ms", "300"])
    yield scene
    small = captured(folder, 1, "--namespace", "large", "--bins", "1", "--keys", "1")
    body = small[8 : 8 + int.from_bytes(small[2:8], "big")]
    # One more bin, a blob of zeros.
    blob = b"\x02\x04\0\x05large" + b"\0" * (15 << 20)
    body = body[:20] + (int.from_bytes(body[20:22], "big") + 1).to_bytes(2, "big") + body[22:] + len(blob).to_bytes(4, "big") + blob
    inner = frame(3, body)
    bomb = frame(4, len(inner).to_bytes(8, "big") + zlib.compress(inner, 9))
    scene.ship(20, 500)
    time.sleep(1)
    sockets = opened(scene.port, 200, bomb)
    closed, _ = attack(scene, 15, sockets)
    yield scene.finish() | {"connections": 200, "became": f"{closed} closed"}


def http_bombs():
    body = gzip.compress(b"\x16" * (15 << 20), 9)
    lying = body[:-4] + (100).to_bytes(4, "little")
    head = lambda body: b"POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    return [head(body) + body, head(lying) + lying, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"fffffff\r\n" + b"x" * 200_000]


def incoming_http(folder):
    """A connector behind another one takes records over HTTP, and from anybody."""
    port = free_port()
    scene = Scene(folder, target=f"http://127.0.0.1:{port}/", config={"format": {"mode": "xdr", "metadata-key": None}, "batching": None})
    text = {
        "service": {"protocol": "HTTP_1_1", "port": port, "address": "127.0.0.1"},
        "destinations": {"receiver": {"urls": [f"http://127.0.0.1:{scene.http}/"], "protocol": "HTTP_1_1", "max-connections-per-endpoint": 16}},
        "format": {"mode": "flat-json", "metadata-key": "_meta"}, "routing": {"mode": "static", "destination": "receiver"},
        "logging": {"levels": {"root": "warn"}},
    }
    config = os.path.join(folder, "back.json")
    with open(config, "w") as file:
        json.dump(text, file)
    with open(scene.log, "ab") as log:
        scene.sampled = started([BINARY, "run", "--config", config], stdout=log, stderr=log)
    wait_for_port(port)
    try:
        yield from sent(http_bombs, 20, lambda _: port, scene=scene)(folder)
        if scene.sampled.poll() is not None:
            raise Failed(f"it ended with {scene.sampled.returncode}")
    finally:
        end_now(scene.sampled)


def management_noise():
    return [b"GET /manage/rest/v1/prometheus HTTP/1.1\r\nHost: x\r\n\r\n" * 20, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
            b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", b"PUT /manage/rest/v1/logging HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n" + b"{" * 200_000,
            b"PUT /manage/rest/v1/logging HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b"[" * 65536 + b"\r\n0\r\n\r\n",
            b"POST /manage/rest/v1/reload HTTP/1.1\r\nHost: x\r\nOrigin: http://evil.example\r\n\r\n", b"\0" * 5000, *garbage()[:20]]


HELLO = client_hello()
CASES = {
    # Some 30 KB for each of the 1,024 that are under way at most, and 7 KB for each that waits.
    "half-handshakes": ("half TLS handshakes for XDR", held(lambda scene: tls_scene.service, HELLO[:100], 5000, 10, scene=tls_scene), {}),
    "half-handshakes-manage": ("half TLS handshakes for the management port", held(lambda scene: tls_scene.manage, HELLO[:100], 200, 10, scene=tls_scene), {}),
    "byte-by-byte": ("one byte of a message every 10 s", held(lambda scene: scene.port, b"\x02\x03\0\0\0\0\x01\0", 1000, 30, feed=(b"\x16", 10)), {}),
    "promises": ("headers of 16 MiB messages, and silence", held(lambda scene: scene.port, frame(3, b"\x16" * 10, 16 << 20), 2000, 30), {}),
    "slow-head": ("requests to the management port, one byte every 5 s", held(lambda scene: scene.manage, b"GET /heal", 200, 30, feed=(b"x", 5)), {}),
    "garbage": ("garbage, other protocols, sizes that lie", sent(garbage, 50), {}),
    "bombs": ("compressed messages that grow a thousandfold", sent(bombs, 20), {"memory_mib": 160}),
    # What is read may take `max-concurrent-bytes`, 64 MiB, what is being inflated as much again, and requests are written besides.
    "large-records": ("sound records of 15 MiB, compressed a thousandfold", large_records, {"memory_mib": 384}),
    "http-bombs": ("gzip that grows a thousandfold, and sizes that lie, over HTTP", incoming_http, {"memory_mib": 160}),
    "management": ("requests without sense or end to the management port", sent(management_noise, 50, lambda scene: scene.manage), {}),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--list", action="store_true", help="say which cases there are")
    args = parser.parse_args()
    if args.list:
        print("\n".join(f"{name:24} {what}" for name, (what, _, _) in CASES.items()))
        return
    if unknown := [name for name in args.cases if name not in CASES]:
        parser.error(f"unknown: {unknown}; --list says which there are")
    isolate(__file__)
    print(line(HEADERS), line(["---"] * len(HEADERS)), sep="\n", flush=True)
    rows = each(args.cases or CASES, HEADERS, run, "hostile.json")
    sys.exit(1 if any(row["wrong"] for row in rows) else 0)


def run(name):
    what, case, bounds = CASES[name]
    scene = None
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        try:
            steps = case(folder)
            scene = next(steps)
            row = next(steps)
        except Failed as why:
            return dict.fromkeys(HEADERS, "") | {"attack": what, "wrong": [str(why)], "verdict": f"FAILED: {why}"}
        finally:
            if scene:
                scene.stop()
    row.pop("samples")
    broken = wrong(row, **bounds) + row.pop("broken", [])
    return {**row, "case": name, "attack": what, "wrong": broken, "what became of them": row["became"],
            "longest unanswered": f"{row['unanswered_s']:.2f} s", "peak MiB": f"{row['peak_mib']:.0f}",
            "verdict": "FAILED: " + "; ".join(broken) if broken else "good"}


if __name__ == "__main__":
    main()
