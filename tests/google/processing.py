"""What stands behind the judgement of a token: it takes records, and fails as functions do.

Environment: TAKEN a file that gets each record that was taken, one in a line; FAIL_EVERY so many calls fails as a whole, by
turns with 503, 429 and an answer of 500 after everything was taken; POISON_PER_MILLE of a thousand records can never be
processed, and are named in the answer.
"""

import base64
import itertools
import json
import os
import threading

FAIL_EVERY = int(os.environ.get("FAIL_EVERY", "0"))
POISON_PER_MILLE = int(os.environ.get("POISON_PER_MILLE", "0"))

lock = threading.Lock()
calls = itertools.count(1)


def is_poison(record):
    """The rule of `tests/src/poison.rs`."""
    digest = base64.b64decode(record.get("_meta", {}).get("digest", ""))
    return POISON_PER_MILLE > 0 and int.from_bytes(digest[:4], "big") % 1000 < POISON_PER_MILLE


def take(body):
    """Status, headers and text of the answer to a call that may be made."""
    with lock:
        call = next(calls)
        turn = call // FAIL_EVERY % 3 if FAIL_EVERY and call % FAIL_EVERY == 0 else None
        if turn == 0:
            return 503, {}, ""
        if turn == 1:
            return 429, {"Retry-After": "1"}, ""
        failures = []
        with open(os.environ["TAKEN"], "a", encoding="utf-8") as taken:
            for position, record in enumerate(json.loads(body) if body else []):
                if is_poison(record):
                    failures.append({"itemIdentifier": str(position), "retryable": False})
                else:
                    taken.write(json.dumps(record) + "\n")
    if turn == 2:
        return 500, {}, ""
    return 200, {"Content-Type": "application/json"}, json.dumps({"batchItemFailures": failures})
