"""Records as the bytes a source server ships.

The counterpart of ../fixtures/format/records.py with the short forms that servers write: the smallest integer and
length that fits, order marks in front of ordered lists and maps, fields only where there is something to say.
"""

import base64
import struct
import sys
import zlib

sys.dont_write_bytecode = True
sys.path.insert(0, str(__import__("pathlib").Path(__file__).resolve().parent.parent / "fixtures" / "format"))

import records  # noqa: E402

PARTICLES = {**records.PARTICLES, "null": 0, "boolean": 17}
CL_EPOCH_UNIX_MS = 1_262_304_000_000
NAMESPACE, SET, KEY, DIGEST, LUT = 0, 1, 2, 4, 14
WRITE = 2


def named(text):
    """The bytes of a name; what is no UTF-8 stands in it as Python's surrogate escapes."""
    return text.encode("utf-8", "surrogateescape")


def integer(value):
    if value >= 0:
        for head, form, top in ((None, "B", 0x7F), (0xCC, "B", 0xFF), (0xCD, "H", 0xFFFF), (0xCE, "I", 2**32 - 1), (0xCF, "Q", 2**63)):
            if value <= top:
                return struct.pack(">" + form, value) if head is None else struct.pack(">B" + form, head, value)
    for head, form, bottom in ((None, "b", -32), (0xD0, "b", -(2**7)), (0xD1, "h", -(2**15)), (0xD2, "i", -(2**31)), (0xD3, "q", -(2**63))):
        if value >= bottom:
            return struct.pack(">" + form, value) if head is None else struct.pack(">B" + form, head, value)
    raise ValueError(value)


def counted(count, short, short_max, *wider):
    """A header with a count: in one byte when it is small, else behind the first of `wider` that holds it."""
    if count <= short_max:
        return bytes([short + count])
    for head, form in wider:
        if count < 1 << (8 * struct.calcsize(form)):
            return struct.pack(">B" + form, head, count)
    raise ValueError(count)


def packed(value):
    """A value inside a list or map."""
    kind = value["type"]
    if kind == "nil":
        return b"\xc0"
    if kind == "boolean":
        return b"\xc3" if value["value"] else b"\xc2"
    if kind == "integer":
        return integer(value["value"])
    if kind == "double":
        return b"\xcb" + value["raw"]
    if kind in ("list", "map"):
        is_map = kind == "map"
        count = len(value["entries" if is_map else "items"])
        # The order is an element of its own in front; in a map it is a key, with nothing as its value.
        mark = bytes([0xC7, 0, value["flags"]]) + b"\xc0" * is_map if value["flags"] else b""
        count += bool(mark)
        if is_map:
            head = counted(count, 0x80, 15, (0xDE, "H"), (0xDF, "I"))
            return head + mark + b"".join(packed(key) + packed(item) for key, item in value["entries"])
        head = counted(count, 0x90, 15, (0xDC, "H"), (0xDD, "I"))
        return head + mark + b"".join(map(packed, value["items"]))
    content = bytes([PARTICLES[kind]]) + value["raw"]
    return counted(len(content), 0xA0, 31, (0xD9, "B"), (0xDA, "H"), (0xDB, "I")) + content


def particle(value):
    """The bytes of a bin, or of a key."""
    kind = value["type"]
    if kind == "null":
        return b""
    if kind == "boolean":
        return bytes([value["value"]])
    if kind == "integer":
        return struct.pack(">q", value["value"])
    if kind == "geojson":
        cells = value.get("cells", 0)
        return struct.pack(">BH", 0, cells) + bytes(8 * cells) + value["raw"]
    if kind in ("list", "map"):
        return packed(value)
    return value["raw"]


def frame(message):
    row = message["record"]
    fields = [records.field(NAMESPACE, named(row["namespace"]))]
    if "set" in row:
        fields.append(records.field(SET, named(row["set"])))
    fields.append(records.field(DIGEST, base64.b64decode(row["digest_base64"])))
    if "user_key" in row:
        key = row["user_key"]
        fields.append(records.field(KEY, bytes([PARTICLES[key["type"]]]) + particle(key)))
    if "lut_unix_ms" in row:
        fields.append(records.field(LUT, struct.pack(">Q", row["lut_unix_ms"] - CL_EPOCH_UNIX_MS)))
    ops = []
    for op in message["ops"]:
        name, value = named(op["bin"]), particle(op["value"])
        head = struct.pack(">IBBBB", 4 + len(name) + len(value), WRITE, PARTICLES[op["value"]["type"]], 0, len(name))
        ops.append(head + name + value)
    header = struct.pack(
        ">BBBBBBIIIHH",
        22, 0x10, message["info2"], 0, 0, 0, message["generation"], message["record_ttl"], 0, len(fields), len(ops),
    )  # fmt: skip
    body = header + b"".join(fields) + b"".join(ops)
    plain = struct.pack(">BB", 2, 3) + len(body).to_bytes(6, "big") + body
    if not message.get("compressed"):
        return plain
    body = struct.pack(">Q", len(plain)) + zlib.compress(plain, 1)
    return struct.pack(">BB", 2, 4) + len(body).to_bytes(6, "big") + body
