#!/usr/bin/env python3
"""Fills corpus/ from the golden vectors, and from answers of HTTP/1.1: what each fuzz target starts from."""

import hashlib
import pathlib
import struct
import zlib

HERE = pathlib.Path(__file__).resolve().parent
VECTORS = HERE / "../../tests/fixtures/wire"
ANSWERS = [
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: x\r\n\r\nok",
    b"HTTP/1.1 503 Busy\r\nRetry-After: 3\r\nConnection: close\r\nContent-Length: 2, 2\r\n\r\nno",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2;a=\"b\"\r\nok\r\n0\r\nx-sum: 1\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    b"\r\nHTTP/1.1 413\nx: y\n\nlarge",
]


def main():
    seeds = {"frame": set(), "message": set(), "value": set(), "info": set()}
    for path in sorted(VECTORS.glob("*.hex")):
        stream = bytes.fromhex(path.read_text())
        seeds["frame"].add(stream)
        for kind, body in frames(stream):
            if kind == 1:
                seeds["info"].add(body)
            elif kind == 3:
                seeds["message"].add(body)
                seeds["value"].update(values(body))
    seeds["answer"] = {bytes([piece]) + answer for piece in (0, 127, 128) for answer in ANSWERS}
    for target, inputs in seeds.items():
        folder = HERE / "corpus" / target
        folder.mkdir(parents=True, exist_ok=True)
        for content in inputs:
            (folder / hashlib.sha1(content).hexdigest()).write_bytes(content)
        print(f"{target}: {len(inputs)} seeds")


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


main()
