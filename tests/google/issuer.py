"""Everyone who hands out tokens, in one process: Google's metadata server, security token service, OAuth server and IAM
credentials, the AWS security token service; and the public keys that receivers judge by. Also an HTTPS proxy that plays the
hosts it is asked for, for those whose addresses nobody can change.

The argument is a folder: into it go `ca.pem`, the authority of those hosts, and `key.json`, the key of a service account.
Prints its port. Each line on standard input is an order in JSON, answered by a line with what was counted so far:
`life` seconds of new tokens, `fail` status that every request for a token gets (0 for none), `revoke` replaces the key that
signs, so that nothing signed by the one before is good any more; `keys` an own set of claims to leave out.
"""

import base64
import datetime
import json
import os
import ssl
import sys
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

KEY_ACCOUNT = "with-a-key@my-project.iam.gserviceaccount.com"

lock = threading.Lock()
counts = {}
state = {"life": 3600, "fail": 0, "without": [], "access": set(), "subject": "the-subject-token"}


def new_key():
    state["key"] = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    state["kid"] = uuid.uuid4().hex


def signed(audience, subject, issuer, **more):
    now = int(time.time())
    claims = {"iss": issuer, "aud": audience, "sub": subject, "iat": now, "exp": now + state["life"], **more}
    # Two tokens of one second differ, as those of Google may not.
    claims["jti"] = uuid.uuid4().hex
    for name in state["without"]:
        claims.pop(name, None)
    return jwt.encode(claims, state["key"], algorithm="RS256", headers={"kid": state["kid"]})


def pem(key):
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()


def service_account(folder):
    """Writes the key of a service account as one downloads it."""
    state["account"] = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key = {"type": "service_account", "client_email": KEY_ACCOUNT, "project_id": "p", "private_key_id": "1"}
    key |= {"private_key": pem(state["account"]), "token_uri": "https://oauth2.googleapis.com/token"}
    with open(os.path.join(folder, "key.json"), "w", encoding="utf-8") as file:
        json.dump(key, file)


def certify(folder):
    """An authority, and a certificate of it for the hosts that are played."""
    now = datetime.datetime.now(datetime.timezone.utc)
    ca_key, key = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority of a test")])

    def certificate(subject, public_key, *extensions):
        builder = x509.CertificateBuilder(ca_name, subject, public_key, x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    ca = certificate(ca_name, ca_key.public_key(), (x509.BasicConstraints(True, None), True))
    names = x509.SubjectAlternativeName([x509.DNSName("*.googleapis.com")])
    usage = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH])
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "*.googleapis.com")])
    leaf = certificate(subject, key.public_key(), (names, False), (usage, False))
    for name, content in (("ca.pem", ca), ("leaf.pem", pem(key).encode() + leaf)):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)
    state["tls"] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    state["tls"].load_cert_chain(os.path.join(folder, "leaf.pem"))


def public_keys():
    numbers = state["key"].public_key().public_numbers()

    def number(value):
        return base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()

    key = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": state["kid"], "n": number(numbers.n), "e": number(numbers.e)}
    return {"keys": [key]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, content_type="application/json"):
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def count(self, what):
        counts[what] = counts.get(what, 0) + 1

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        with lock:
            if url.path == "/jwks":
                return self.answer(200, public_keys())
            if self.headers.get("Metadata-Flavor") != "Google":
                return self.answer(403, "without Metadata-Flavor: Google")
            if url.path.endswith("/default/identity"):
                self.count("identity")
                if state["fail"]:
                    return self.answer(state["fail"], "as ordered")
                return self.answer(200, signed(query["audience"], "12345", "https://accounts.google.com"), "text/html")
            if url.path.endswith("/default/token"):
                self.count("metadata-access")
                return self.answer(200, self.access_token())
            return self.answer(404, "no such metadata")

    def do_CONNECT(self):
        self.count("connect")
        self.send_response(200)
        self.end_headers()
        self.connection = state["tls"].wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", 0)
        self.close_connection = False

    def access_token(self):
        token = "ya29." + uuid.uuid4().hex
        state["access"].add(token)
        return {"access_token": token, "expires_in": 3600, "token_type": "Bearer"}

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with lock:
            if self.path == "/v1/token":
                return self.exchange(dict(urllib.parse.parse_qsl(body.decode())))
            if self.path.endswith(":generateIdToken"):
                return self.generate(json.loads(body))
            if self.path == "/token" and self.headers["Host"] == "oauth2.googleapis.com":
                return self.with_key(dict(urllib.parse.parse_qsl(body.decode())))
            if self.path == "/":
                return self.web_identity(dict(urllib.parse.parse_qsl(body.decode())))
            return self.answer(404, {"error": "nothing here: " + self.path})

    def exchange(self, form):
        self.count("exchange")
        if form.get("subject_token") != state["subject"]:
            return self.answer(400, {"error": "invalid_grant", "error_description": "not the subject token"})
        issued = "urn:ietf:params:oauth:token-type:access_token"
        return self.answer(200, {**self.access_token(), "issued_token_type": issued})

    def generate(self, wanted):
        self.count("generate")
        if self.headers.get("Authorization", "").removeprefix("Bearer ") not in state["access"]:
            return self.answer(401, {"error": {"code": 401, "status": "UNAUTHENTICATED", "message": "who is it?"}})
        if state["fail"]:
            return self.answer(state["fail"], {"error": {"code": state["fail"], "message": "as ordered"}})
        account = self.path.rsplit("/", 1)[1].removesuffix(":generateIdToken")
        email = {"email": account, "email_verified": True} if wanted.get("includeEmail") else {}
        self.answer(200, {"token": signed(wanted["audience"], "67890", "https://accounts.google.com", **email)})

    def with_key(self, form):
        self.count("key")
        key = state["account"].public_key()
        claims = jwt.decode(form["assertion"], key, algorithms=["RS256"], audience="https://oauth2.googleapis.com/token")
        token = signed(claims["target_audience"], "54321", "https://accounts.google.com", email=claims["iss"])
        self.answer(200, {"id_token": token})

    def web_identity(self, form):
        self.count("web-identity")
        if "/sts/aws4_request" not in self.headers.get("Authorization", ""):
            return self.aws_error(403, "MissingAuthenticationToken", "not signed for sts")
        if form["Action"] != "GetWebIdentityToken" or form["SigningAlgorithm"] != "RS256":
            return self.aws_error(400, "InvalidAction", "not what is tested here")
        if state["fail"]:
            return self.aws_error(state["fail"], "AccessDenied", "not authorized to perform: sts:GetWebIdentityToken")
        audience = form["Audience.member.1"]
        token = signed(audience, "arn:aws:iam::123456789012:role/connector", "https://issuer.tokens.sts.global.api.aws")
        end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + state["life"]))
        self.answer(
            200,
            '<GetWebIdentityTokenResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetWebIdentityTokenResult>'
            f"<WebIdentityToken>{token}</WebIdentityToken><Expiration>{end}</Expiration></GetWebIdentityTokenResult>"
            "<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetWebIdentityTokenResponse>",
            "text/xml",
        )

    def aws_error(self, status, code, message):
        self.answer(
            status,
            '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>'
            f"<Code>{code}</Code><Message>{message}</Message></Error><RequestId>1</RequestId></ErrorResponse>",
            "text/xml",
        )


def main():
    new_key()
    service_account(sys.argv[1])
    certify(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        with lock:
            if "issuer" in order:
                print(json.dumps(signed(order["audience"], "of-a-file", order["issuer"])), flush=True)
                continue
            if order.pop("revoke", False):
                new_key()
            state.update(order)
            print(json.dumps(counts), flush=True)


main()
