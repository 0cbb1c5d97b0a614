"""What `avro` has to say about a record by the schemas of ../fixtures/format/avro, read with `fastavro`.

From the rules in the configuration reference, not from the encoder: each schema has its expectation written by hand.
"""

import base64
import datetime
import io
import json

import fastavro
import fastavro.schema

from generate import BASE64_TYPES, EXPECTED, Refused
from read_json import NumberKey, Rules, number, of_bin, shown

SCHEMAS = EXPECTED.parent.parent / "format" / "avro"
INT_MAX = 2**31 - 1
# The schema nests lists and maps so deep.
ALL_TYPES_DEPTH = 4
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
SINGLE_OBJECT = b"\xc3\x01"


class Schema:
    """How bodies by one schema are read."""

    def __init__(self, name):
        self.source = json.loads((SCHEMAS / name).read_text(encoding="utf-8"))
        self.parsed = fastavro.parse_schema(self.source)
        canonical = fastavro.schema.to_parsing_canonical_form(self.source)
        self.prefix = SINGLE_OBJECT + bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))

    def read_all(self, body, prefix=b""):
        """The data in a body, one after the other with nothing in between."""
        stream, data = io.BytesIO(body), []
        while stream.tell() < len(body):
            found = stream.read(len(prefix))
            if found != prefix:
                raise ValueError(f"it begins with {found.hex()}, expected {prefix.hex()}")
            data.append(checked(fastavro.schemaless_reader, stream, self.parsed))
        return data

    def read_single_objects(self, body):
        return self.read_all(body, self.prefix)

    def read_file(self, body):
        """The data of an object container file, which brings its schema along."""
        reader = checked(fastavro.reader, io.BytesIO(body))
        if json.loads(reader.metadata["avro.schema"]) != self.source:
            raise ValueError("the file has another schema")
        return checked(list, reader)


def checked(read, *arguments):
    """Whatever a reader says about bytes it cannot read."""
    try:
        return read(*arguments)
    except (EOFError, IndexError, KeyError, UnicodeDecodeError, OverflowError) as error:
        raise ValueError(repr(error)) from error


def one(read):
    """Reads a body that holds a single record."""

    def read_one(body):
        data = read(body)
        if len(data) != 1:
            raise ValueError(f"{len(data)} data, expected one")
        return data[0]

    return read_one


def raw(value):
    return value["raw"] if "raw" in value else base64.b64decode(value["base64"])


def scalar(value):
    kind = value["type"]
    if kind in ("nil", "null"):
        return None
    return raw(value) if kind in BASE64_TYPES else value["value"]


def map_key(key):
    if key["type"] == "string":
        return key["value"]
    if key["type"] == "integer":
        return str(key["value"])
    if key["type"] == "double":
        found = number(key["value"], Rules())
        return found if isinstance(found, str) else NumberKey(found)
    raise Refused("map key")


def metadata(n):
    """The metadata record of both schemas. A generation is an `int` there, which not every one fits."""
    if n.generation is not None and n.generation > INT_MAX:
        raise Refused('"metadata.gen"')
    return {
        "namespace": shown(n.namespace),
        "set": n.set and shown(n.set),
        "userKey": None if n.user_key is None else scalar(n.user_key),
        "digest": base64.b64decode(n.digest),
        "msg": "delete" if n.delete else "write",
        "durable": n.durable if n.delete else None,
        "gen": n.generation,
        "exp": None if n.delete else n.expiry,
        "lut": n.lut,
    }


def all_types(n):
    """A map of anything, with the metadata among it. `n` is a Notification of generate.py."""
    found = {"metadata": metadata(n)}
    if (found["metadata"]["exp"] or 0) > INT_MAX:
        raise Refused('"metadata.exp"')
    for name, value in n.bins if not n.delete else []:
        if name == "metadata":
            raise Refused('bin "metadata"')
        found[shown(name)] = of_bin(name, any_value, value, ALL_TYPES_DEPTH)
    return found


def any_value(value, depth):
    if value["type"] not in ("list", "map"):
        return scalar(value)
    if depth == 0:
        raise Refused(value["type"])
    if value["type"] == "list":
        return [any_value(item, depth - 1) for item in value["items"]]
    return {map_key(key): any_value(item, depth - 1) for key, item in value["entries"]}


def order(n):
    """A record with a field for each bin, and a default or null where there is no such bin."""
    bins = dict(n.bins) if not n.delete else {}
    for name in bins:
        if name == "metadata" or name not in ORDER_FIELDS:
            raise Refused("bin " + json.dumps(shown(name), ensure_ascii=False))
    found = {"metadata": metadata(n)}
    if n.lut is not None:
        found["metadata"]["lut"] = EPOCH + datetime.timedelta(milliseconds=n.lut)
    for name, (default, take) in ORDER_FIELDS.items():
        # A bin that was deleted is none.
        absent = name not in bins or bins[name]["type"] == "null"
        found[name] = default if absent else of_bin(name, take, bins[name])
    return found


def only(*kinds):
    """Takes values of these types and refuses others."""

    def take(value):
        if value["type"] not in kinds:
            raise Refused()
        return scalar(value)

    return take


def status(value):
    if value["type"] != "string" or value.get("raw", b"").decode("latin-1") not in ("unknown", "new", "paid", "shipped"):
        raise Refused()
    return value["value"]


def total(value):
    """Integers too, as long as no digit is lost."""
    if value["type"] == "double" or (value["type"] == "integer" and int(float(value["value"])) == value["value"]):
        return float(value["value"])
    raise Refused()


def count(value):
    if value["type"] == "integer" and -INT_MAX - 1 <= value["value"] <= INT_MAX:
        return value["value"]
    raise Refused('field "count"')


def note(value):
    return None if value["type"] == "nil" else only("string", "geojson")(value)


def items(value):
    if value["type"] != "list":
        raise Refused()
    return [item(entry) for entry in value["items"]]


def item(value):
    """A map as a record: its keys are the fields."""
    if value["type"] != "map":
        raise Refused()
    entries = {key.get("value"): entry for key, entry in value["entries"] if key["type"] == "string"}
    if len(entries) != len(value["entries"]) or not entries.keys() <= {"sku", "count", "note"}:
        raise Refused()
    if "sku" not in entries:
        raise Refused('field "sku"')
    found = {"sku": only("string", "geojson")(entries["sku"]), "count": 1, "note": None}
    if "count" in entries:
        found["count"] = count(entries["count"])
    if "note" in entries:
        found["note"] = note(entries["note"])
    return found


def labels(value):
    if value["type"] != "map":
        raise Refused()
    take = only("nil", "string", "geojson", "integer")
    return {map_key(key): take(entry) for key, entry in value["entries"]}


# Bin: what stands there when there is none, and what a value becomes.
ORDER_FIELDS = {
    "order_id": (None, only("integer")),
    "customer": (None, only("string", "geojson")),
    "status": ("unknown", status),
    "total": (0.0, total),
    "express": (False, only("boolean")),
    "items": ([], items),
    "labels": ({}, labels),
    "receipt": (None, only(*BASE64_TYPES)),
}
