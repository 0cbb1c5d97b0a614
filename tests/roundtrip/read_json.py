"""What `json` and `flat-json` have to say about a record, read with Python's own parser.

From the description of the formats (../fixtures/format/README.md), not from the encoders.
"""

import json
import math
import re
import struct

from generate import BASE64_TYPES, METADATA_KEY, Refused, bin_type

NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?\Z")


class Members(list):
    """Names and values of an object as they came: a name may come twice, and order counts."""


class Rules:
    """`nan-policy`, `stringify-map-keys` and `durable` of the configuration."""

    def __init__(self, nan="string", stringify=True, durable="always"):
        self.nan, self.stringify, self.durable = nan, stringify, durable


def refuse(word):
    raise ValueError(f"{word} is not JSON")


# JSON and nothing but JSON: Python would take NaN too.
DECODER = json.JSONDecoder(object_pairs_hook=Members, parse_constant=refuse)


def parse(text):
    return DECODER.decode(text)


def read(body):
    """One record. It stands on one line, so that lines can be made of them."""
    if b"\n" in body or b"\r" in body:
        raise ValueError("a line break")
    return parse(body.decode("utf-8"))


def read_array(body):
    """The records of a batch in an array."""
    return parse(body.decode("utf-8"))


def read_lines(body):
    """The records of a batch, one on a line, the last line ended like all others."""
    *lines, rest = body.split(b"\n")
    if rest:
        raise ValueError("the last line has no end")
    return [read(line) for line in lines]


def read_concatenated(body):
    """The records of a batch with nothing in between."""
    text, at, records = body.decode("utf-8"), 0, []
    while at < len(text):
        record, at = DECODER.raw_decode(text, at)
        records.append(record)
    return records


BATCHES = {"json-array": read_array, "ndjson": read_lines, "concatenated": read_concatenated}


def shown(name):
    """A name as text: what is no UTF-8 becomes U+FFFD."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def number(value, rules):
    if isinstance(value, int) or math.isfinite(value):
        return value
    if rules.nan == "error":
        raise Refused("not finite", "nan-policy")
    if rules.nan == "null":
        return None
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def geojson(value):
    raw = value["raw"] if "raw" in value else value["value"].encode()
    text = raw.decode("utf-8", "replace")
    try:
        return parse(text)
    except ValueError:
        return text


class NumberKey:
    """A number as a map key: its digits are free, its value is not."""

    def __init__(self, value):
        self.value = value

    def is_written_as(self, text):
        if isinstance(self.value, int):
            return text == str(self.value)
        return NUMBER.match(text) is not None and bits(float(text)) == bits(self.value)


def map_key(key, rules):
    kind = key["type"]
    if kind == "string":
        return key["value"]
    if kind not in ("integer", "double"):
        raise Refused("map key")
    if not rules.stringify:
        raise Refused("map key", "stringify-map-keys")
    value = key["value"]
    if math.isfinite(value):
        return NumberKey(value)
    if rules.nan == "error":
        raise Refused("map key", "not finite", "nan-policy")
    # Never null, which is no key.
    return number(value, Rules())


def bare(value, rules):
    kind = value["type"]
    if kind in ("nil", "null"):
        return None
    if kind in ("integer", "double"):
        return number(value["value"], rules)
    if kind in ("string", "boolean"):
        return value["value"]
    if kind == "geojson":
        return geojson(value)
    if kind in BASE64_TYPES:
        return value["base64"]
    if kind == "list":
        return [bare(item, rules) for item in value["items"]]
    return Members((map_key(key, rules), bare(item, rules)) for key, item in value["entries"])


def typed(name, value, rules):
    members = Members([("name", shown(name)), ("type", bin_type(value)), ("value", bare(value, rules))])
    if value["type"] == "list":
        members.append(("ordered", value["flags"] & 1 == 1))
    if value["type"] == "map" and value["flags"] & 1:
        members.append(("order", "key-value" if value["flags"] & 2 else "key"))
    return members


def of_bin(name, what, *arguments):
    """Runs `what`, and says for which bin it could not be done."""
    try:
        return what(*arguments)
    except Refused as refused:
        raise Refused("bin " + json.dumps(shown(name), ensure_ascii=False), *refused.args) from None


def user_key(n, rules):
    try:
        return None if n.user_key is None else bare(n.user_key, rules)
    except Refused as refused:
        raise Refused("user key", *refused.args) from None


def typed_json(n, rules):
    """`n` is a Notification of generate.py."""
    key = [shown(n.namespace), n.set and shown(n.set), n.digest, user_key(n, rules)]
    if n.delete:
        return Members([("msg", "delete"), ("key", key), ("durable", n.durable)])
    bins = [of_bin(name, typed, name, value, rules) for name, value in n.bins]
    return Members([("msg", "write"), ("key", key), ("gen", n.generation), ("exp", n.expiry), ("lut", n.lut), ("bins", bins)])


def flat_json(n, rules):
    metadata = Members([("namespace", shown(n.namespace))])
    if n.set is not None:
        metadata.append(("set", shown(n.set)))
    if n.user_key is not None:
        metadata.append(("userKey", user_key(n, rules)))
    metadata += [("digest", n.digest), ("msg", "delete" if n.delete else "write"), ("gen", n.generation), ("lut", n.lut)]
    if not n.delete:
        metadata.append(("exp", n.expiry))
    elif n.durable or rules.durable == "always":
        metadata.append(("durable", n.durable))
    bins = n.bins if not n.delete else []
    # The metadata's name is taken: a bin of that name is left out.
    bins = [(name, value) for name, value in bins if name != METADATA_KEY]
    return Members([(METADATA_KEY, metadata), *((shown(name), of_bin(name, bare, value, rules)) for name, value in bins)])


def bits(value):
    return struct.pack(">d", value)


def difference(expected, found):
    """Where `found` is not what was expected, or None."""
    kind = type(expected)
    if kind is NumberKey:
        same = isinstance(found, str) and expected.is_written_as(found)
    elif kind is not type(found):
        same = False
    elif kind is float:
        same = bits(expected) == bits(found)
    elif kind in (list, tuple, Members):
        if len(expected) != len(found):
            return f": {len(found)} elements, expected {len(expected)}"
        for index, (one, other) in enumerate(zip(expected, found)):
            different = difference(one, other)
            if different:
                return f".{index}{different}"
        same = True
    elif kind is dict:
        return difference(list(expected.items()), list(found.items()))
    else:
        same = expected == found
    return None if same else f": {found!r:.200}, expected {expected!r:.200}"
