#!/usr/bin/env python3
"""Fills corpus/ from the fixtures of the tests, and from what was found before: what each fuzz target starts from.

    python3 connector/fuzz/seed.py          before a run
    python3 connector/fuzz/seed.py --keep   after `cargo +nightly fuzz cmin TARGET`: the smallest of corpus/ go to kept.tar.xz
"""

import gzip
import hashlib
import json
import pathlib
import struct
import sys
import tarfile
import zlib

HERE = pathlib.Path(__file__).resolve().parent
FIXTURES = HERE / "../../tests/fixtures"
VECTORS = FIXTURES / "wire"
HTTP1_ANSWERS = [
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: x\r\n\r\nok",
    b"HTTP/1.1 503 Busy\r\nRetry-After: 3\r\nConnection: close\r\nContent-Length: 2, 2\r\n\r\nno",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2;a=\"b\"\r\nok\r\n0\r\nx-sum: 1\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    b"\r\nHTTP/1.1 413\nx: y\n\nlarge",
]
KEPT = HERE / "kept.tar.xz"
# Of each target. They are small, alike, and compress well.
KEPT_BYTES_MAX, KEPT_FILE_BYTES_MAX = 150_000, 2_000


def main():
    seeds = {"frame": set(), "message": set(), "value": set(), "info": set(), "http2": set(answers()), "hpack": set(BLOCKS)}
    for path in sorted(VECTORS.glob("*.hex")):
        stream = bytes.fromhex(path.read_text())
        seeds["frame"].add(stream)
        for kind, body in frames(stream):
            if kind == 1:
                seeds["info"].add(body)
            elif kind == 3:
                seeds["message"].add(body)
                seeds["value"].update(values(body))
    seeds["incoming"] = {*seeds["frame"], *seeds["message"], *(gzip.compress(body, mtime=0) for body in seeds["message"])}
    seeds["configuration"] = {path.read_bytes() for path in sorted(FIXTURES.glob("config/*/*.yml"))}
    seeds["store"] = {path.read_bytes() for path in sorted(FIXTURES.glob("stores/*")) if path.suffix in (".p12", ".jks", ".jceks")}
    seeds["answer"] = set(answers())
    seeds["manage"] = set(requests())
    message = max(seeds["message"], key=len)
    seeds["template"] = {template.encode() + b"\xff" + message for template in TEMPLATES}
    seeds["http1"] = {bytes([piece]) + answer for piece in (0, 127, 128) for answer in HTTP1_ANSWERS}
    for target, inputs in seeds.items():
        folder = HERE / "corpus" / target
        folder.mkdir(parents=True, exist_ok=True)
        for content in inputs:
            (folder / hashlib.sha1(content).hexdigest()).write_bytes(content)
        print(f"{target}: {len(inputs)} seeds")
    if KEPT.exists():
        with tarfile.open(KEPT) as kept:
            kept.extractall(HERE / "corpus", filter="data")


def keep():
    """Packs what was found, the smallest first, the same bytes for the same files."""
    with tarfile.open(KEPT, "w:xz", preset=9) as kept:
        for folder in sorted(path for path in (HERE / "corpus").iterdir() if path.is_dir()):
            found, size = sorted((path for path in folder.iterdir()), key=lambda path: (path.stat().st_size, path.name)), 0
            for path in found:
                size += path.stat().st_size
                if size > KEPT_BYTES_MAX or path.stat().st_size > KEPT_FILE_BYTES_MAX:
                    break
                entry = tarfile.TarInfo(f"{folder.name}/{path.name}")
                entry.size = path.stat().st_size
                with path.open("rb") as content:
                    kept.addfile(entry, content)
    print(f"{KEPT.name}: {KEPT.stat().st_size:,} bytes")


TEMPLATES = [
    "{{ bins | tojson }}\nitems/{{ set }}/{{ key }}\na={{ digest }}\n{{ namespace }}",
    '{"id": {{ key | tojson }}, "name": "{{ bins.name }}", "n": {% if bins.n > 2 %}{{ bins.n + 1 }}{% else %}null{% endif %}}',
    '[{% for name, value in bins | items %}{{ name | tojson }}{% if not loop.last %},{% endif %}{% endfor %}]\n{{ bins.x | upper }}',
    "{{ metadata | tojson }}\n/a/{{ userKey }}/{{ digest | lower }}\nq={{ generation }}&t={{ lut }}\n{{ bins.a ~ bins.b }}",
]


def answers():
    """As the target `answer` takes them: kind, number of records, body."""
    failures = {"batchItemFailures": [{"itemIdentifier": "0"}, {"itemIdentifier": 1, "retryable": False, "reason": "no"}]}
    items = {"items": [{"index": {"status": 201}}, {"delete": {"status": 404}},
                       {"create": {"status": 409, "error": {"type": "version_conflict_engine_exception", "reason": "older"}}}]}
    function = {"statusCode": 200, "headers": {"Retry-After": 5}, "isBase64Encoded": True, "body": "e30="}
    fault = {"errorType": "Sandbox.Timedout", "errorMessage": "Task timed out after 3.00 seconds"}
    refusal = {"__type": "com.amazon#ExpiredTokenException", "message": "The security token included in the request is expired"}
    for kind, body in [(0, failures), (2, items), (4, function), (4, fault), (4, failures), (6, refusal)]:
        yield bytes([kind, 3]) + json.dumps(body).encode()
    for wait in (b"120", b"Sun, 06 Nov 1994 08:49:37 GMT", b"99999999999999999999"):
        yield bytes([7, 1]) + wait


def requests():
    """To the management endpoint."""
    for path in ("", "/metrics", "/prometheus", "/logging", "/reload"):
        yield f"GET /manage/rest/v1{path}\nHost: a\n\n".encode()
    for path in ("/metrics", "/healthz", "/readyz", "/nowhere", "*"):
        yield f"HEAD {path}\n\n".encode()
    yield b'PUT /manage/rest/v1/logging\nContent-Type: application/json\n\n{"levels": {"root": "debug", "adapters": "trace"}}'
    yield b"POST /manage/rest/v1/reload\nHost: a\nOrigin: http://b\n\n"


# A length and a block: fixed fields, fields to remember, Huffman codes (RFC 7541, C.5 and C.6), another size of the table.
BLOCKS = [bytes([len(block)]) + block for block in map(bytes.fromhex, [
    "88", "8286844188f1e3c2e5f23a6b", "4803333032580770726976617465", "4882640258 85aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff",
    "20 3fe11f 88", "88 0f0d 01 33", "1008617574686f7269 0173",
])]


def answers():
    """What HTTP/2 servers send, behind the size of its pieces."""
    frame = lambda kind, flags, stream, payload=b"": len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    number = lambda value: value.to_bytes(4, "big")
    heads = frame(1, 4, 1, b"\x88") + frame(0, 1, 1, b"ok")
    parts = frame(1, 0, 3, b"\x88") + frame(9, 4, 3, b"\x00\x01a\x01b") + frame(0, 8, 3, b"\x01x\x00") + frame(1, 5, 3)
    windows = frame(4, 0, 0, bytes([0, 4]) + number(5)) + frame(8, 0, 0, number(1 << 20)) + frame(8, 0, 5, number(1 << 20))
    ends = frame(3, 0, 5, number(7)) + frame(6, 0, 0, bytes(8)) + frame(7, 0, 0, number(5) + number(0)) + frame(1, 4, 5, b"\x08\x03103")
    for piece in (0, 6, 255):
        for stream in (heads, parts, windows, ends, heads + parts + windows + ends):
            yield bytes([piece]) + stream


def frames(stream):
    """Kind and body of each frame; compressed ones inflated. Stops at what is no frame."""
    while len(stream) >= 8:
        kind, size = stream[1], int.from_bytes(stream[2:8])
        body, stream = stream[8 : 8 + size], stream[8 + size :]
        if kind == 4:
            try:
                yield from frames(zlib.decompress(body[8:]))
            except zlib.error:
                pass
        else:
            yield kind, body


def values(body):
    """Particle type and bytes of each bin and key. Gives up where the message makes no sense."""
    try:
        n_fields, n_ops = struct.unpack_from(">HH", body, 18)
        at = 22
        for _ in range(n_fields):
            (size,) = struct.unpack_from(">I", body, at)
            if body[at + 4] == 2:
                yield body[at + 5 : at + 4 + size]
            at += 4 + size
        for _ in range(n_ops):
            size, _op, particle, flags, name = struct.unpack_from(">IBBBB", body, at)
            start = at + 8 + name + (8 if flags & 1 else 0)
            yield bytes([particle]) + body[start : at + 4 + size]
            at += 4 + size
    except (struct.error, IndexError):
        pass


keep() if sys.argv[1:] == ["--keep"] else main()
