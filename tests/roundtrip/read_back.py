#!/usr/bin/env python3
"""Reads back with other people's parsers what the connector wrote, and compares it with what the records hold.

    python3 read_back.py FOLDER

FOLDER holds what make.py left there, and one file for each format as the test (../e2e/roundtrip.rs) configured it:
for each record its name, whether it was written, and the body or why it was refused. Exit code 1 when anything is not
as it has to be: a body that says something else, a record refused without need, or one written that must not be.
"""

import json
import pathlib
import pickle
import struct
import sys

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "fixtures" / "format"))

import generate  # noqa: E402
import read_json  # noqa: E402
from read_json import Rules  # noqa: E402


class JsonFormat:
    """One of the two JSON formats with its settings."""

    read = staticmethod(read_json.read)
    difference = staticmethod(read_json.difference)

    def __init__(self, say, **rules):
        self.say, self.rules = say, Rules(**rules)

    def expected(self, notification):
        return self.say(notification, self.rules)


# By the name of the file. The settings are those of ../e2e/roundtrip.rs.
FORMATS = {
    "json": JsonFormat(read_json.typed_json),
    "flat-json": JsonFormat(read_json.flat_json),
    "flat-json-durable-when-true": JsonFormat(read_json.flat_json, durable="when-true"),
}
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


def complaint(format, message, written, body):
    """What is wrong with an outcome, or None; and whether the record is one that cannot be written."""
    try:
        expected = format.expected(generate.Notification(message))
    except generate.Refused as refused:
        if written:
            return f"written although it cannot be: {refused.args}", True
        missing = [phrase for phrase in refused.args if phrase not in body.decode()]
        return (f"refused with {body.decode()!r}, which does not say {missing}" if missing else None), True
    if not written:
        return f"refused without need: {body.decode()}", False
    try:
        found = format.read(body)
    except ValueError as error:
        return f"cannot be read: {error} in {body[:200]}", False
    return format.difference(expected, found), False


def check(name, format, path, messages):
    wrong, refused, seen = [], 0, set()
    for record, written, body in outcomes(path):
        different, cannot = complaint(format, messages[record], written, body)
        refused += cannot
        seen.add(record)
        if different:
            wrong.append(f"{name}: {record}: {different}")
    wrong += [f"{name}: {record} is missing" for record in messages.keys() - seen]
    print(f"{name}: {len(seen)} records, {len(seen) - refused} read back, {refused} refused as they must be, {len(wrong)} wrong")
    return wrong


def main():
    folder = pathlib.Path(sys.argv[1])
    messages = dict(vectors())
    messages.update(pickle.loads(folder.joinpath("records.pickle").read_bytes()))
    written = {path.stem for path in folder.glob("*.bodies")}
    wrong = [f"{name}: nobody here can read this format" for name in written - FORMATS.keys()]
    wrong += [f"{name}: not written" for name in FORMATS.keys() - written]
    for name in sorted(written & FORMATS.keys()):
        wrong += check(name, FORMATS[name], folder / f"{name}.bodies", messages)
    print("\n".join(line[:LINE_MAX] for line in wrong[:SHOWN_MAX]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
