#!/usr/bin/env python3
"""Fills corpus/ from the golden vectors: what each fuzz target starts from."""

import hashlib
import pathlib
import struct
import zlib

HERE = pathlib.Path(__file__).resolve().parent
VECTORS = HERE / "../../tests/fixtures/wire"


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
    for target, inputs in seeds.items():
        folder = HERE / "corpus" / target
        folder.mkdir(parents=True, exist_ok=True)
        for content in inputs:
            (folder / hashlib.sha1(content).hexdigest()).write_bytes(content)
        print(f"{target}: {len(inputs)} seeds")


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


main()
