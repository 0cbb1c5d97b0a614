#!/usr/bin/env python3
"""A receiver that signs each request again, as it came, with botocore, and refuses what differs.

    judge.py CERTIFICATE KEY REGION SERVICE CLOCK_AHEAD_SECONDS

Listens on two ports, one with TLS, and prints them as JSON. Then one line of JSON for each request: what was wrong with it.
The keys are those of the environment, as for any other program.
"""

import asyncio
import calendar
import json
import os
import re
import socket
import sys
import time
from email.utils import formatdate
from urllib.parse import parse_qsl

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypercorn.asyncio import serve
from hypercorn.config import Config

CERTIFICATE, KEY, REGION, SERVICE = sys.argv[1:5]
AHEAD = int(sys.argv[5])
TOKEN = os.environ["AWS_SESSION_TOKEN"]
SIGNER = SigV4Auth(Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"], TOKEN), SERVICE, REGION)
AUTHORIZATION = re.compile("AWS4-HMAC-SHA256 Credential=([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})")
# What proxies add, drop or rewrite.
NEVER_SIGNED = {"user-agent", "content-length", "connection", "te", "transfer-encoding", "accept-encoding", "traceparent",
                "x-amzn-trace-id", "expect"}


def faults(scope, body):
    """Yields what is wrong; type first, then words."""
    headers = [(name.decode(), value.decode()) for name, value in scope["headers"]]

    def all_of(wanted):
        return [value for name, value in headers if name == wanted]

    if len(all_of("authorization")) != 1:
        yield "IncompleteSignatureException", f"{len(all_of('authorization'))} Authorization headers"
        return
    match = AUTHORIZATION.fullmatch(all_of("authorization")[0])
    if not match:
        yield "IncompleteSignatureException", "Authorization is not of the form that is expected"
        return
    credential, names, signature = match.groups()
    names = names.split(";")
    if len(all_of("host")) != 1 or len(all_of("x-amz-date")) != 1:
        yield "IncompleteSignatureException", "not one host and one date"
        return
    date = all_of("x-amz-date")[0]
    expected = f"{SIGNER.credentials.access_key}/{date[:8]}/{REGION}/{SERVICE}/aws4_request"
    if credential != expected:
        yield "InvalidSignatureException", f"Credential should be scoped to {expected}, not {credential}"
    if all_of("x-amz-security-token") != [TOKEN]:
        yield "UnrecognizedClientException", "The security token included in the request is invalid"
    if names != sorted(set(names)):
        yield "InvalidSignatureException", f"signed headers not in order: {names}"
    sent = {name for name, _ in headers}
    unsigned = {name for name in sent if name.startswith("x-amz-")} | {"host", "content-type"}
    if (unsigned & sent) - set(names):
        yield "InvalidSignatureException", f"not signed: {(unsigned & sent) - set(names)}"
    if set(names) & NEVER_SIGNED:
        yield "InvalidSignatureException", f"signed, though proxies change it: {set(names) & NEVER_SIGNED}"
    skew = calendar.timegm(time.strptime(date, "%Y%m%dT%H%M%SZ")) - time.time() - AHEAD
    if skew < -300:
        yield "InvalidSignatureException", f"Signature expired: {date} is now earlier than is taken"
    if skew > 300:
        yield "InvalidSignatureException", f"Signature not yet current: {date} is still later than is taken"

    request = AWSRequest(method=scope["method"], url=f"https://receiver{scope['raw_path'].decode()}", data=body,
                         params=parse_qsl(scope["query_string"].decode().replace("+", "%2B"), keep_blank_values=True))
    for name, value in headers:
        if name in names:
            request.headers.add_header(name, value)
    request.context["timestamp"] = date
    canonical = SIGNER.canonical_request(request)
    if SIGNER.signature(SIGNER.string_to_sign(request, canonical), request) != signature:
        yield "InvalidSignatureException", f"The Canonical String for this request should have been '{canonical}'"


async def application(scope, receive, send):
    if scope["type"] != "http":
        return
    body = b""
    more = True
    while more:
        event = await receive()
        body += event.get("body", b"")
        more = event.get("more_body", False)
    found = list(faults(scope, body))
    hashes = [value.decode() for name, value in scope["headers"] if name == b"x-amz-content-sha256"]
    line = {"http": scope["http_version"], "tls": scope["scheme"] == "https", "path": scope["raw_path"].decode(),
            "bytes": len(body), "content_sha256": hashes, "faults": [words for _, words in found]}
    print(json.dumps(line), flush=True)
    headers = [(b"date", formatdate(time.time() + AHEAD, usegmt=True).encode())]
    answer = b"{}"
    if found:
        headers.append((b"x-amzn-errortype", found[0][0].encode()))
        answer = json.dumps({"message": found[0][1]}).encode()
    headers.append((b"content-length", str(len(answer)).encode()))
    await send({"type": "http.response.start", "status": 403 if found else 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


def listen():
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, listener.getsockname()[1]


(tls, tls_port), (plain, plain_port) = listen(), listen()
config = Config()
config.bind, config.insecure_bind = [f"fd://{tls.detach()}"], [f"fd://{plain.detach()}"]
config.certfile, config.keyfile = CERTIFICATE, KEY
config.include_date_header = False
config.loglevel = "ERROR"
print(json.dumps({"tls": tls_port, "plain": plain_port}), flush=True)


async def until_told():
    # Ends with whoever started it: then there is nothing more to read.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(serve(application, config, shutdown_trigger=until_told))
