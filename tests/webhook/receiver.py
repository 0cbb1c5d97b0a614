#!/usr/bin/env python3
"""A receiver of webhooks that checks each with the reference library, and prints a line of JSON for each that it takes.

    receiver.py SECRET REFUSALS

Prints its port first. Refuses the requests of these numbers, from 0 on: with 503 after it has processed them, as if the answer
had been lost, or, where a minus stands before the number, with 429 without.
"""

import itertools
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

WEBHOOK = Webhook(sys.argv[1])
REFUSALS = {abs(int(n)): int(n) < 0 for n in sys.argv[2].split(",") if n}
NUMBERS = itertools.count(1)
PRINTING = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        line = {"path": self.path, "id": self.headers["webhook-id"], "content_type": self.headers["content-type"],
                "signatures": len(self.headers["webhook-signature"].split(" "))}
        status = 204
        try:
            line["body"] = WEBHOOK.verify(body, dict(self.headers.items()))
        except WebhookVerificationError as error:
            status, line["error"] = 401, str(error)
        number = next(NUMBERS)
        if status == 204 and number in REFUSALS:
            status = 429 if REFUSALS[number] else 503
        line["status"] = status
        with PRINTING:
            print(json.dumps(line), flush=True)
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(json.dumps({"port": server.server_address[1]}), flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
# Ends with whoever started it.
sys.stdin.read()
