#!/usr/bin/env python3
"""Reads back with other people's parsers what the connector wrote, and compares it with what the records hold.

    python3 read_back.py FOLDER

FOLDER holds what make.py left there, and one file for each format as the test (../e2e/roundtrip.rs) configured it:
for each record its name, whether it was written, and the body or why it was refused. Exit code 1 when anything is not
as it has to be: a body that says something else, a record refused without need, or one written that must not be.
"""

import concurrent.futures
import functools
import json
import pathlib
import pickle
import struct
import sys

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "fixtures" / "format"))

import generate  # noqa: E402
import read_avro  # noqa: E402
import read_json  # noqa: E402
import read_message_pack  # noqa: E402
from read_json import Rules, difference  # noqa: E402


class Format:
    """How a format is read, one record or a batch of them, and what it has to say."""

    def __init__(self, expected, read, batches=(), variant=False):
        self.expected, self.read, self.batches, self.variant = expected, read, dict(batches), variant

    def records(self, all):
        return SOME if self.variant else all


def json_format(say, batches=(), **rules):
    return Format(lambda notification: say(notification, Rules(**rules)), read_json.read, batches, variant=bool(rules))


def avro_format(say, read_all, batch, variant=False):
    return Format(say, read_avro.one(read_all), {batch: read_all}, variant)


ALL_TYPES = read_avro.Schema("all-types.avsc")
ORDERS = read_avro.Schema("orders.avsc")
# By the name of the file. The settings are those of ../e2e/roundtrip.rs.
FORMATS = {
    "json": json_format(read_json.typed_json, read_json.BATCHES),
    "json-nan-null": json_format(read_json.typed_json, nan="null"),
    "json-keys-as-they-are": json_format(read_json.typed_json, stringify=False),
    "flat-json": json_format(read_json.flat_json, read_json.BATCHES),
    "flat-json-nan-error-durable-when-true": json_format(read_json.flat_json, nan="error", durable="when-true"),
    "message-pack": Format(read_message_pack.message_pack, read_message_pack.read, read_message_pack.BATCHES),
    "avro": avro_format(read_avro.all_types, ALL_TYPES.read_all, "concatenated"),
    "avro-file": avro_format(read_avro.all_types, ALL_TYPES.read_file, "file", variant=True),
    "avro-order": avro_format(read_avro.order, ORDERS.read_all, "concatenated"),
    "avro-order-single-object": avro_format(read_avro.order, ORDERS.read_single_objects, "concatenated"),
    "avro-order-file": avro_format(read_avro.order, ORDERS.read_file, "file"),
}
# So many of the records are tried in variants, and so many of those that can be written in batches.
SOME = 2_000
# Formats that take nearly everything, and how many records they must have taken for this to mean something.
FOR_ALL = ("json", "flat-json", "message-pack", "avro")
READ_BACK_MIN = 10_000
SHOWN_MAX = 10
LINE_MAX = 500


def vectors():
    """The records of the vectors and of fixtures/format/records, named as the test names them."""
    decoded = {name: entry["decoded"] for name, entry in json.loads(generate.EXPECTED.read_text(encoding="utf-8")).items()}
    for vector, content in {**decoded, **generate.records.RECORDS}.items():
        if vector.startswith(("xdr-", "client-", "own-")):
            yield from ((name, message) for name, message in generate.messages(vector, content) if message["event"] in ("write", "delete"))


def outcomes(path):
    """What became of each record: its name, and a body or the text of a refusal."""
    content = path.read_bytes()
    at = 0
    while at < len(content):
        name_bytes, written, body_bytes = struct.unpack_from(">HBI", content, at)
        at += 7
        name = content[at : at + name_bytes].decode()
        at += name_bytes
        body = content[at : at + body_bytes]
        at += body_bytes
        yield name, bool(written), body


def expectation(format, message):
    """What the format has to say, or why it has to refuse the record."""
    try:
        return format.expected(generate.Notification(message)), None
    except generate.Refused as refused:
        return None, refused.args


def complaint(format, expected, refusal, written, body):
    """What is wrong with the outcome for one record, or None."""
    if refusal:
        if written:
            return f"written although it cannot be: {refusal}"
        missing = [phrase for phrase in refusal if phrase not in body.decode()]
        return f"refused with {body.decode()!r}, which does not say {missing}" if missing else None
    if not written:
        return f"refused without need: {body.decode()}"
    try:
        found = format.read(body)
    except ValueError as error:
        return f"cannot be read: {error} in {body[:200]}"
    return difference(expected, found)


def bodies(path):
    """The bodies of batches."""
    content, at = path.read_bytes(), 0
    while at < len(content):
        (size,) = struct.unpack_from(">I", content, at)
        at += 4 + size
        yield content[at - size : at]


def check_batches(label, read, path, expected):
    """All batches together must hold what was expected, in order. What was seen, and what is wrong."""
    found, count = [], 0
    for body in bodies(path):
        count += 1
        try:
            found += read(body)
        except ValueError as error:
            return f"{label}: unreadable", [f"{label}: cannot be read: {error} in {body[:200]}"]
    different = difference(expected, found)
    return f"{label}: {len(found)} records read back from {count} batches", [f"{label}: {different}"] if different else []


@functools.cache
def all_messages(folder):
    """What the records hold, by name; loaded once in each process."""
    return {**dict(vectors()), **dict(pickle.loads(folder.joinpath("records.pickle").read_bytes()))}


def check(name, folder):
    """What was seen, and what is wrong."""
    messages = all_messages(folder)
    format, wrong, refused, seen, holds = FORMATS[name], [], 0, set(), []
    for record, written, body in outcomes(folder / f"{name}.bodies"):
        expected, refusal = expectation(format, messages[record])
        different = complaint(format, expected, refusal, written, body)
        if refusal:
            refused += 1
        else:
            holds.append(expected)
        seen.add(record)
        if different:
            wrong.append(f"{name}: {record}: {different}")
    if len(seen) != format.records(len(messages)):
        wrong.append(f"{name}: {len(seen)} records, expected {format.records(len(messages))}")
    if name in FOR_ALL and len(holds) < READ_BACK_MIN:
        wrong.append(f"{name}: only {len(holds)} records can be written, expected {READ_BACK_MIN}")
    lines = [f"{name}: {len(seen)} records, {len(holds)} read back, {refused} refused as they must be, {len(wrong)} wrong"]
    for batch, read in format.batches.items():
        line, wrong_here = check_batches(f"{name} {batch}", read, folder / f"{name}.{batch}.batches", holds[:SOME])
        lines.append(line)
        wrong += wrong_here
    return lines, wrong


def main():
    folder = pathlib.Path(sys.argv[1])
    written = {path.stem for path in folder.glob("*.bodies")}
    wrong = [f"{name}: nobody here can read this format" for name in written - FORMATS.keys()]
    wrong += [f"{name}: not written" for name in FORMATS.keys() - written]
    with concurrent.futures.ProcessPoolExecutor() as readers:
        checks = [readers.submit(check, name, folder) for name in sorted(written & FORMATS.keys())]
        for done in checks:
            lines, wrong_here = done.result()
            print("\n".join(lines))
            wrong += wrong_here
    print("\n".join(line[:LINE_MAX] for line in wrong[:SHOWN_MAX]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
