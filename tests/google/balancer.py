"""A load balancer whose listener takes JSON web tokens: RS256 only, issuer, audience and end, keys from an address.

Arguments: address of the keys, issuer, audience. Environment: that of `processing.py`. Prints its port.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from processing import take

KEYS, ISSUER, AUDIENCE = sys.argv[1:]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            # Not kept: the listener of a test sees at once that a key is gone.
            key = jwt.PyJWKClient(KEYS, cache_keys=False, cache_jwk_set=False).get_signing_key_from_jwt(token)
            required = {"require": ["exp", "iss"]}
            jwt.decode(token, key, algorithms=["RS256"], issuer=ISSUER, audience=AUDIENCE, options=required)
            status, headers, answer = take(body)
        except jwt.PyJWTError as error:
            print("refused:", type(error).__name__, file=sys.stderr, flush=True)
            status, headers, answer = 401, {}, ""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
