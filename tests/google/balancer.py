"""A load balancer whose listener takes JSON web tokens: RS256 only, issuer, audience and end, keys from an address.

Arguments: address of the keys, issuer, audience, file for the records that were taken. Prints its port.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt

KEYS, ISSUER, AUDIENCE, TAKEN = sys.argv[1:]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        status = 200
        try:
            # Not kept: the listener of a test sees at once that a key is gone.
            key = jwt.PyJWKClient(KEYS, cache_keys=False, cache_jwk_set=False).get_signing_key_from_jwt(token)
            required = {"require": ["exp", "iss"]}
            jwt.decode(token, key, algorithms=["RS256"], issuer=ISSUER, audience=AUDIENCE, options=required)
        except jwt.PyJWTError as error:
            print("refused:", type(error).__name__, file=sys.stderr, flush=True)
            status = 401
        if status == 200 and body:
            with open(TAKEN, "a", encoding="utf-8") as taken:
                for record in json.loads(body):
                    taken.write(json.dumps(record) + "\n")
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
