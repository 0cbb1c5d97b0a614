#!/usr/bin/env python3
"""Makes records from a seed: every type, every size and everything odd that a record may hold.

    python3 make.py SEED COUNT FOLDER    writes their frames to FOLDER/frames, one after the other

What they hold is kept in FOLDER/records.pickle for read_back.py. It looks like ../fixtures/wire/expected.json, with the
bytes of a value under `raw`.
"""

import base64
import pathlib
import pickle
import random
import struct
import sys

sys.dont_write_bytecode = True

import wire  # noqa: E402

TEXTS = [
    "", " ", "a", "key", "\u00e9t\u00e9", "\u4f60\u597d", "\U0001f600", "\U0010ffff", "\u2028\u2029", "\ufeffbom", "\ufffd", "\uffff",
    '"', "\\", '\\u0041"/', "\b\f\n\r\t", "".join(map(chr, range(0x20))), "\x7f\x80\x9f", "null", "NaN", "1", "-0", "true",
    "</script>", "e\u0301", "\u200d", "a" * 14, "a" * 15, "a" * 31, "a" * 32, "b" * 255, "c" * 256, "\u00e9" * 128,
]  # fmt: skip
NO_TEXTS = [
    b"\xff", b"\x80", b"\xc0\xaf", b"\xc3", b"\xe2\x82", b"\xed\xa0\x80", b"\xed\xb0\x80", b"\xf0\x9f\x98", b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80", b"ok\xfeok", b"\xe2\x28\xa1", b"\xf0\x9f\xff\x98\x80", b"\xef\xbf",
]  # fmt: skip
INTEGERS = sorted(
    {sign * (1 << bits) + off for bits in (0, 4, 5, 7, 8, 15, 16, 31, 32, 53, 62, 63) for off in (-1, 0, 1) for sign in (-1, 1)}
)
INTEGERS = [value for value in INTEGERS if -(2**63) <= value < 2**63]
DOUBLES = [struct.pack(">d", value) for value in (
    0.0, -0.0, 1.0, -1.0, 0.1, 1 / 3, 100.0, 1e15, 1e16, 1e17, 1e21, 1e22, 1e23, 123456789012345680.0, 1e-5, 1e-7, 2.0**53, 2.0**63,
    -(2.0**63), 1.7976931348623157e308, 2.2250738585072014e-308, 5e-324, -5e-324, 2.225073858507201e-308, 3.4028234663852886e38,
    float("nan"), float("inf"), float("-inf"), 9007199254740993.0, 4.35, 0.3, 2.5,
)]  # fmt: skip
GEOJSON = [
    b'{"type":"Point","coordinates":[4.9,52.4]}',
    b'{ "type" : "Point", "coordinates": [ 4.90, 52 ] }',
    b'{\n\t"type": "AeroCircle",\r\n\t"coordinates": [[-122.250629, 37.871022], 300]\n}\n',
    b'{"type":"Polygon","coordinates":[[[0,0],[1e0,0],[1,1E+2],[0,0]]],"name":"\\u00e9\\"\\\\ \xc3\xa9"}',
    b'{"type":"Point","coordinates":[12345678901234567890123,-0]}',
    b"[]",
    b"5",
    b'"text"',
]
NO_GEOJSON = [
    b"", b"{", b"hello", b'{"type":"Point"} x', b'{"type":"Point","coordinates":[1,]}', b"{'type':1}", b'{"a":NaN}', b'{"a":01}',
    b'{"a":"\n"}', b'{"a":"\xff"}', b'\xff{"a":1}', b'\xef\xbb\xbf{"a":1}', b'{"\xed\xa0\x80":1}', b'{"a":1}{"a":1}',
]  # fmt: skip
RAW_TYPES = ["blob", "blob", "blob", "hll", "java_blob", "csharp_blob", "python_blob", "ruby_blob", "php_blob", "erlang_blob", "vector", "unknown", "unknown_high"]
TTLS = [0, 0xFFFFFFFF, 0xFFFFFFFE, 1, 3600, 315_360_000, 315_360_001, 500_000_000]
TTL_MAX = 0xFFFFFFFD
DELETE, DURABLE = 0x02, 0x10
TOP_DEPTH = 3


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def chance(self, share):
        return self.random.random() < share

    def integer(self):
        roll = self.random.random()
        if roll < 0.5:
            value = self.random.choice(INTEGERS)
        elif roll < 0.55:
            value = self.random.getrandbits(64) - 2**63
        else:
            value = self.random.randint(-300, 70_000)
        return {"type": "integer", "value": value}

    def double(self):
        roll = self.random.random()
        if roll < 0.5:
            raw = self.random.choice(DOUBLES)
        elif roll < 0.75:
            # Any bits: every exponent, and NaNs of every kind.
            raw = struct.pack(">Q", self.random.getrandbits(64))
        else:
            raw = struct.pack(">d", round(self.random.uniform(-1e6, 1e6), self.random.randint(0, 8)))
        return {"type": "double", "value": struct.unpack(">d", raw)[0], "raw": raw}

    def string(self):
        roll = self.random.random()
        if roll < 0.5:
            raw = self.random.choice(TEXTS).encode()
        elif roll < 0.55:
            raw = self.random.choice(NO_TEXTS)
        elif roll < 0.6:
            raw = bytes(self.random.choices(range(256), k=self.random.randint(1, 40)))
        else:
            raw = "".join(self.random.choices("abcdefgh \u00e9\u4f60\U0001f600", k=self.random.randint(1, 50))).encode()
        return {"type": "string", "value": raw.decode("utf-8", "replace"), "raw": raw}

    def raw(self):
        raw = self.random.randbytes(self.random.choice([0, 1, 2, 3, 4, 20, 30, 31, 255]))
        return self.bytes_of(self.random.choice(RAW_TYPES), raw)

    def bytes_of(self, kind, raw):
        return {"type": kind, "base64": base64.b64encode(raw).decode(), "raw": raw}

    def geojson(self):
        raw = self.random.choice(GEOJSON if self.chance(0.8) else NO_GEOJSON)
        return {"type": "geojson", "value": raw.decode("utf-8", "replace"), "raw": raw, "cells": self.random.choice([0, 0, 1, 3])}

    def boolean(self):
        return {"type": "boolean", "value": self.chance(0.5)}

    def inside(self, depth):
        """A value inside a list or map."""
        if depth > 0 and self.chance(0.2):
            return self.collection(depth - 1)
        if self.chance(0.05):
            return {"type": "nil"}
        make = [self.integer, self.integer, self.double, self.string, self.string, self.raw, self.boolean, self.geojson]
        return self.random.choice(make)()

    def map_key(self):
        roll = self.random.random()
        if roll < 0.60:
            return self.string()
        if roll < 0.90:
            return self.integer()
        if roll < 0.985:
            return self.double()
        if roll < 0.995:
            return self.bytes_of(self.random.choice(["blob", "blob", "java_blob"]), self.random.randbytes(4))
        return self.random.choice([self.boolean(), {"type": "nil"}, {"type": "list", "flags": 0, "items": [self.integer()]}])

    def collection(self, depth):
        size = self.random.choice([0, 1, 2, 3, 3, 4, 15, 16] if depth == TOP_DEPTH else [0, 1, 2, 3])
        if self.chance(0.5):
            flags = self.random.choice([0, 0, 1, 1, 0x11, 0x10])
            return {"type": "list", "flags": flags, "items": [self.inside(depth) for _ in range(size)]}
        flags = self.random.choice([0, 0, 1, 1, 3, 0x11, 0x13, 0x09])
        entries = {}
        while len(entries) < size:
            key = self.map_key()
            # A server keeps each key once.
            entries.setdefault(wire.packed(key), (key, self.inside(depth)))
        return {"type": "map", "flags": flags, "entries": list(entries.values())}

    def bin(self):
        if self.chance(0.04):
            return {"type": "null"}
        make = [self.integer, self.double, self.string, self.string, self.raw, self.boolean, self.geojson]
        return self.collection(TOP_DEPTH) if self.chance(0.25) else self.random.choice(make)()

    def user_key(self):
        make = [self.integer, self.integer, self.string, self.string, self.double]
        if self.chance(0.2):
            return self.bytes_of(self.random.choice(["blob", "blob", "java_blob", "python_blob"]), self.random.randbytes(5))
        return self.random.choice(make)()

    def names(self, count):
        """Names of bins, each once. One in a hundred is no UTF-8, one is the name flat-json keeps for metadata."""
        names = {}
        while len(names) < count:
            if self.chance(0.01):
                name = self.random.choice(["\udcff", "a\udcc3", "_meta", "\u4f60\u597d\u4f60\u597d\u4f60", '"', "\\n", "msg", "key", "metadata"])
            else:
                name = f"b{len(names)}"
            names[name] = None
        return list(names)

    def identity(self):
        row = {
            "namespace": self.random.choice(["test", "n", "shop", "n" * 31]),
            "digest_base64": base64.b64encode(self.random.randbytes(20)).decode(),
        }
        if self.chance(0.85):
            row["set"] = self.random.choice(["demo", "demo", "orders", "s" * 63, "\u00e9", "\udcfe", ""])
        if self.chance(0.7):
            row["user_key"] = self.user_key()
        if self.chance(0.85):
            row["lut_unix_ms"] = self.random.choice([wire.CL_EPOCH_UNIX_MS, 1_700_000_000_123, 1_767_225_600_000, 2**40 + wire.CL_EPOCH_UNIX_MS - 1])
        return row

    def record(self, bins=None):
        delete = bins is None and self.chance(0.1)
        info2 = 1
        if delete:
            info2 |= DELETE | (DURABLE if self.chance(0.5) else 0)
            bins = {}
        if bins is None:
            count = 100 if self.chance(0.002) else self.random.choice([0, 1, 2, 3, 4, 5, 6, 8])
            bins = {name: self.bin() for name in self.names(count)}
        return {
            "kind": "as_msg",
            "event": "delete" if delete else "write",
            "info2": info2,
            "generation": self.random.choice([2**31, 2**32 - 1] if self.chance(0.02) else [0, 1, 2, 65_535, 65_536, 2**31 - 1]),
            "record_ttl": TTL_MAX if self.chance(0.02) else self.random.choice(TTLS),
            "record": self.identity(),
            "ops": [{"op": "write", "bin": name, "value": value} for name, value in bins.items()],
            "compressed": self.chance(0.1),
        }

    def order(self):
        """A record for orders.avsc: some of its bins, most of them as its fields want them."""
        makers = {
            "order_id": self.integer,
            "customer": self.string,
            "status": lambda: self.word("unknown", "new", "paid", "shipped", "shipped", "paid", "lost"),
            "total": lambda: self.double() if self.chance(0.7) else self.integer(),
            "express": self.boolean,
            "items": lambda: {"type": "list", "flags": 0, "items": [self.item() for _ in range(self.random.randint(0, 4))]},
            "labels": self.labels,
            "receipt": self.raw,
        }
        bins = {}
        for name in self.random.sample(list(makers), self.random.randint(0, len(makers))):
            bins[name] = {"type": "null"} if self.chance(0.03) else self.bin() if self.chance(0.02) else makers[name]()
        return self.record(bins)

    def word(self, *words):
        raw = self.random.choice(words).encode()
        return {"type": "string", "value": raw.decode(), "raw": raw}

    def item(self):
        entries = [(self.word("sku"), self.string())] if self.chance(0.98) else []
        if self.chance(0.7):
            entries.append((self.word("count"), {"type": "integer", "value": self.random.choice([0, 7, 2**31 - 1, -(2**31), 2**31])}))
        if self.chance(0.3):
            entries.append((self.word("note"), {"type": "nil"} if self.chance(0.5) else self.string()))
        if self.chance(0.01):
            entries.append((self.word("colour"), self.string()))
        self.random.shuffle(entries)
        return {"type": "map", "flags": self.random.choice([0, 1]), "entries": entries}

    def labels(self):
        entries = {}
        for _ in range(self.random.randint(0, 5)):
            key = self.integer() if self.chance(0.2) else self.string()
            value = self.double() if self.chance(0.01) else self.random.choice([self.string, self.integer, lambda: {"type": "nil"}])()
            entries.setdefault(wire.packed(key), (key, value))
        return {"type": "map", "flags": 1, "entries": list(entries.values())}

    def large(self):
        """What needs the widest forms of counts and lengths."""
        nested = {"type": "integer", "value": 7}
        for _ in range(120):
            nested = {"type": "list", "flags": 0, "items": [nested]}
        count = {"type": "integer", "value": 1}
        text = ("\u00e9" * 40_000).encode()
        return [
            {"s": {"type": "string", "value": text.decode(), "raw": text}, "b": self.bytes_of("blob", bytes(70_000))},
            {"l": {"type": "list", "flags": 1, "items": [count] * 70_000}},
            {"m": {"type": "map", "flags": 1, "entries": [({"type": "integer", "value": key}, count) for key in range(70_000)]}},
            {"deep": nested},
            {"within": {"type": "list", "flags": 0, "items": [{"type": "string", "value": text.decode(), "raw": text}]}},
        ]


def records(seed, count):
    """Names and records: a few large ones, and as many others as make `count`."""
    maker = Maker(seed)
    large = [maker.record(bins) for bins in maker.large()]
    others = (maker.order() if maker.chance(0.2) else maker.record() for _ in range(count - len(large)))
    return [(f"made-{index:05}", record) for index, record in enumerate([*large, *others])]


def main():
    seed, count, folder = int(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3])
    made = records(seed, count)
    folder.joinpath("frames").write_bytes(b"".join(wire.frame(record) for _, record in made))
    folder.joinpath("records.pickle").write_bytes(pickle.dumps(made))


if __name__ == "__main__":
    main()
