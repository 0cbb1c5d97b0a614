"""What `message-pack` has to say about a record, read with the `msgpack` of PyPI.

From the description of the layout (../fixtures/format/README.md and the vendor's page), not from the encoder.
"""

import base64

import msgpack

import wire
from read_json import Members, shown

VERSION, WRITE, DELETE = 1, 1, 2
PLAIN_BLOB = wire.PARTICLES["blob"]
EXT_TYPE_MAX = 127


def unpacker():
    """Text must be UTF-8, keys may be anything, pairs stay as they came."""
    return msgpack.Unpacker(
        raw=False, strict_map_key=False, object_pairs_hook=Members, use_list=True, ext_hook=msgpack.ExtType, max_buffer_size=1 << 30
    )


def read_all(body):
    """The records in a body, one after the other with nothing in between."""
    reader = unpacker()
    reader.feed(body)
    records = list(reader)
    if reader.tell() != len(body):
        raise ValueError(f"{len(body) - reader.tell()} bytes are left")
    return records


def read(body):
    """One record and nothing after it."""
    records = read_all(body)
    if len(records) != 1:
        raise ValueError(f"{len(records)} values, expected one")
    return records[0]


BATCHES = {"concatenated": read_all}


def raw(value):
    return value["raw"] if "raw" in value else base64.b64decode(value["base64"])


def element(value):
    """A value inside a list or map, where only its own form can tell its type."""
    kind = value["type"]
    if kind in ("nil", "null"):
        return None
    if kind in ("integer", "double", "boolean", "string"):
        return value["value"]
    if kind == "geojson":
        return msgpack.ExtType(wire.PARTICLES[kind], value["value"].encode())
    if kind == "list":
        return [element(item) for item in value["items"]]
    if kind == "map":
        return Members((element(key), element(item)) for key, item in value["entries"])
    particle = wire.PARTICLES[kind]
    return raw(value) if particle == PLAIN_BLOB or particle > EXT_TYPE_MAX else msgpack.ExtType(particle, raw(value))


def whole(value):
    """The value of a bin, or a user key: its type stands beside it."""
    if value["type"] == "geojson":
        return value["value"]
    return raw(value) if "base64" in value else element(value)


def flags(value):
    if value["type"] == "list":
        return value["flags"] & 1
    if value["type"] == "map":
        return value["flags"] & 3 if value["flags"] & 1 else 0
    return 0


def message_pack(n):
    """`n` is a Notification of generate.py."""
    digest = base64.b64decode(n.digest)
    key = [shown(n.namespace), n.set and shown(n.set), digest, None if n.user_key is None else whole(n.user_key)]
    if n.delete:
        return [VERSION, DELETE, [key, int(n.durable)]]
    bins = [[shown(name), wire.PARTICLES[value["type"]], flags(value), whole(value)] for name, value in n.bins]
    return [VERSION, WRITE, [key, n.generation, n.expiry, n.lut, bins]]
