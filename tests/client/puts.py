"""Writes records with the official client, to the connector as if it were a cluster of one node.

    puts.py PORT

Prints one JSON object a line for each command: the case, the set, the digest in Base64, and either the result "ok"
or the client's error code and how long it took. What arrives at the other end is judged in e2e/client.rs, by values
written down there a second time.
"""

import base64
import json
import sys
import time

import aerospike
from aerospike import exception
from aerospike_helpers import HyperLogLog
from aerospike_helpers.operations import hll_operations, operations

NAMESPACE = "test"
SEND_KEY = {"key": aerospike.POLICY_KEY_SEND}
HLL_BYTES = bytes.fromhex("0004000000000000000000") + bytes(12)

# Case, bins. The key is the name of the case.
PUTS = [
    ("integers", {"zero": 0, "neg": -1, "min": -(2**63), "max": 2**63 - 1}),
    ("doubles", {"half": 0.5, "neg": -2.25, "third": 1 / 3, "big": 1e300}),
    ("text", {"s": 'h\u00e9llo \u4e16\u754c \U0001f600 "q" \\ \n\t\x01', "empty": ""}),
    ("bytes", {"b": bytes([0, 1, 2, 255]), "array": bytearray(b"ab"), "empty": b""}),
    ("booleans", {"t": True, "f": False}),
    ("list", {"l": [1, -1, 255, 65536, -(2**40), "a", "", b"\x01\x02", True, None, 1.5, [2, [3, []]], {"k": 1}]}),
    ("map", {"m": {"a": 1, 7: "seven", "deep": {"list": [1, {"x": None}], -3: 2.5}}, "empty": {}}),
    ("ordered map", {"m": aerospike.KeyOrderedDict({"z": 26, "a": 1})}),
    ("geojson", {"g": aerospike.GeoJSON({"type": "Point", "coordinates": [-122.0, 37.5]})}),
    ("hll", {"h": HyperLogLog(HLL_BYTES)}),
    ("deleted bin", {"keep": 1, "gone": aerospike.null()}),
    ("large", {"b": b"\xab" * 600_000}),
]

# Case, key as the client knows it.
KEYS = [
    ("text key", "cl\u00e9 1"),
    ("integer key", 123),
    ("negative key", -5),
    ("bytes key", bytearray(b"\xde\xad")),
]


def say(case, set_, key, command):
    line = {"case": case, "set": set_, "digest": None}
    start = time.monotonic()
    try:
        line["digest"] = base64.b64encode(aerospike.calc_digest(key[0], key[1] or "", key[2])).decode()
        command(key)
        line["result"] = "ok"
    except exception.AerospikeError as error:
        line["result"] = error.code
        line["error"] = str(error)
    line["seconds"] = time.monotonic() - start
    print(json.dumps(line), flush=True)


def every_case(client, set_):
    def put(case, key, bins, meta=None, policy=None):
        say(case, set_, (NAMESPACE, set_, key), lambda k: client.put(k, bins, meta, {**SEND_KEY, **(policy or {})}))

    for case, bins in PUTS:
        put(case, case, bins)
    for case, key in KEYS:
        put(case, key, {"a": 1})
    put("compressed", "compressed", {"s": "abcdefgh" * 100}, policy={"compress": True})
    put("ttl", "ttl", {"a": 1}, {"ttl": 3600})
    put("ttl never", "ttl never", {"a": 1}, {"ttl": aerospike.TTL_NEVER_EXPIRE})
    put("durable put", "durable put", {"a": 1}, policy={"durable_delete": True})
    put("generation", "generation", {"a": 1}, {"gen": 7}, {"gen": aerospike.POLICY_GEN_EQ})

    key = (NAMESPACE, set_, "key kept back")
    say("key kept back", set_, key, lambda k: client.put(k, {"a": 1}, None, {"key": aerospike.POLICY_KEY_DIGEST}))
    key = (NAMESPACE, set_, "touch")
    say("touch", set_, key, lambda k: client.touch(k, 60, None, SEND_KEY))
    key = (NAMESPACE, set_, "remove")
    say("remove", set_, key, lambda k: client.remove(k, None, SEND_KEY))
    key = (NAMESPACE, set_, "remove durable")
    say("remove durable", set_, key, lambda k: client.remove(k, None, {**SEND_KEY, "durable_delete": True}))


def main():
    config = {
        "hosts": [("127.0.0.1", int(sys.argv[1]))],
        "policies": {
            "write": {"total_timeout": 30_000, "socket_timeout": 30_000, "max_retries": 0},
            "read": {"total_timeout": 30_000, "socket_timeout": 30_000, "max_retries": 0},
            "remove": {"total_timeout": 30_000, "socket_timeout": 30_000, "max_retries": 0},
            "operate": {"total_timeout": 30_000, "socket_timeout": 30_000, "max_retries": 0},
        },
    }
    client = aerospike.client(config)
    say("connected", "", (NAMESPACE, "", "none"), lambda _: None if client.is_connected() else 1 / 0)
    every_case(client, "flat")
    every_case(client, "typed")
    key = (NAMESPACE, None, "no set")
    say("no set", None, key, lambda k: client.put(k, {"a": 1}, None, SEND_KEY))

    # What no configuration of the connector can take: XDR ships values, never operations, and never asks.
    key = (NAMESPACE, "flat", "refused")
    say("increment", "flat", key, lambda k: client.operate(k, [operations.increment("n", 1)]))
    say("hll operation", "flat", key, lambda k: client.operate(k, [hll_operations.hll_add("h", ["a"], 4)]))
    say("read", "flat", key, client.get)
    # What the format cannot write, and what finds nobody to go to.
    say("unwritable", "flat", key, lambda k: client.put(k, {"m": {b"\x01": 1}}))
    say("down", "down", (NAMESPACE, "down", "down"), lambda k: client.put(k, {"a": 1}))

    # The connection and the partition table are still good after all that, and across a few rounds of tending.
    time.sleep(2.5)
    key = (NAMESPACE, "flat", "afterwards")
    say("afterwards", "flat", key, lambda k: client.put(k, {"a": 1}, None, SEND_KEY))
    client.close()


if __name__ == "__main__":
    main()
