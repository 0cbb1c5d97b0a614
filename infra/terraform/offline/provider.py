#!/usr/bin/env python3
"""A Terraform provider that knows a schema and nothing else: it talks to no cloud.

Terraform starts it as a plugin (protocol 6). `SCHEMA` in the environment names what `schema.py` wrote. A plan leaves
unknown what only a cloud can say; an apply makes it up, the same every time: so the state of an applied example shows
which resource refers to which, and every policy in full.

Needs `tf` (the generated classes of the protocol), and with it grpcio and msgpack; and cryptography.
"""

import base64
import datetime
import hashlib
import json
import os
import pathlib
import sys
import tempfile
import threading
from concurrent import futures

import grpc
import msgpack
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tf.gen import grpc_controller_pb2 as controller
from tf.gen import grpc_controller_pb2_grpc as controller_grpc
from tf.gen import grpc_stdio_pb2_grpc as stdio_grpc
from tf.gen import tfplugin_pb2 as pb
from tf.gen import tfplugin_pb2_grpc as rpc

SCHEMA = json.loads(pathlib.Path(os.environ["SCHEMA"]).read_text())
ACCOUNT, REGION = "123456789012", "us-east-1"
UNKNOWN = msgpack.ExtType(0, b"\x00")
NESTING = {name: getattr(pb.Schema.NestedBlock, name.upper()) for name in ("single", "list", "set", "map")}
# Arguments that have to be JSON.
JSON = {"policy", "assume_role_policy", "redrive_policy", "redrive_allow_policy", "container_definitions", "dashboard_body"}


# --- values as Terraform writes them

def load(value):
    if value.msgpack:
        return msgpack.unpackb(value.msgpack, raw=False, strict_map_key=False, ext_hook=lambda code, data: UNKNOWN)
    return json.loads(value.json) if value.json else None


def dump(value):
    return pb.DynamicValue(msgpack=msgpack.packb(value, use_bin_type=True))


def is_unknown(value):
    return isinstance(value, msgpack.ExtType)


# --- the schema as Terraform wants it

def block(source):
    out = pb.Schema.Block()
    for name, a in sorted(source["attributes"].items()):
        out.attributes.append(pb.Schema.Attribute(
            name=name, type=json.dumps(a["type"]).encode(), required=a["required"], optional=a["optional"], computed=a["computed"]))
    for name, b in sorted(source["blocks"].items()):
        out.block_types.append(pb.Schema.NestedBlock(
            type_name=name, block=block(b["block"]), nesting=NESTING[b["nesting"]], min_items=b["min"], max_items=b["max"]))
    return out


def schema(source):
    return pb.Schema(version=0, block=block(source))


# --- what only a cloud can say

def arn(kind, known):
    """Of the types whose ARNs stand in policies, as AWS forms them; of the others something that looks like one."""
    def text(name):
        return known.get(name) if isinstance(known.get(name), str) else None

    within = f"{REGION}:{ACCOUNT}"
    made = {
        "aws_lambda_function": f"arn:aws:lambda:{within}:function:{text('function_name')}",
        "aws_lambda_alias": f"arn:aws:lambda:{within}:function:{(text('function_name') or '').split(':')[-1]}:{text('name')}",
        "aws_sqs_queue": f"arn:aws:sqs:{within}:{text('name')}",
        "aws_s3_bucket": f"arn:aws:s3:::{text('bucket')}",
        "aws_iam_role": f"arn:aws:iam::{ACCOUNT}:role/{text('name')}",
        "aws_cloudwatch_log_group": f"arn:aws:logs:{within}:log-group:{text('name')}",
        "aws_ssm_parameter": f"arn:aws:ssm:{within}:parameter/{(text('name') or '').lstrip('/')}",
    }
    return made.get(kind) or f"arn:aws:{kind.split('_')[1]}:{within}:{kind}/{digest(kind, known)}"


def digest(kind, known):
    text = json.dumps({k: v for k, v in known.items() if isinstance(v, (str, int)) and v is not None}, sort_keys=True)
    return hashlib.sha256(f"{kind} {text}".encode()).hexdigest()[:12]


def invented(of, name, kind, known):
    short = digest(f"{kind}.{name}", known)
    if of == "string":
        fixed = {"account_id": ACCOUNT, "owner_id": ACCOUNT, "partition": "aws", "dns_suffix": "amazonaws.com", "region": REGION}
        if name in fixed:
            return fixed[name]
        if kind == "aws_region" and name in ("id", "name"):
            return REGION
        if kind.startswith("aws_") and (name == "arn" or name.endswith("_arn")):
            return arn(kind, known) if name == "arn" else f"{arn(kind, known)}:{name}"
        if name in JSON or name in ("json", "minified_json"):
            return '{"Version":"2012-10-17","Statement":[]}'
        if name in ("url", "uri", "invoke_url", "function_url", "api_endpoint", "issuer_identifier"):
            return f"https://{short}.{REGION}.example.net" + ("/" if name == "function_url" else "")
        if name == "email":
            return f"{known.get('account_id', short)}@project.iam.gserviceaccount.com"
        if name in ("cidr_block", "ip_cidr_range"):
            return "10.0.0.0/16"
        return short
    if of == "number":
        return 1
    if of == "bool":
        return False
    if isinstance(of, list) and of[0] in ("list", "set"):
        return [short] if of[1] == "string" and name in ("names", "ids") else []
    return {} if isinstance(of, list) and of[0] == "map" else None


def fill(source, value, kind, applied):
    """Computed attributes without a value: unknown in a plan, made up when applied."""
    if not isinstance(value, dict):
        return value
    for name, a in source["attributes"].items():
        if is_unknown(value.get(name)) and applied or a["computed"] and value.get(name) is None:
            given = {k for k, a in source["attributes"].items() if not a["computed"] or a["optional"]}
            known = {k: v for k, v in value.items() if k in given and not is_unknown(v)}
            value[name] = invented(a["type"], name, kind, known) if applied else UNKNOWN
    for name, b in source["blocks"].items():
        inner = value.get(name)
        if isinstance(inner, list):
            value[name] = [fill(b["block"], one, kind, applied) for one in inner]
        elif isinstance(inner, dict) and b["nesting"] == "single":
            value[name] = fill(b["block"], inner, kind, applied)
    return value


class Provider(rpc.ProviderServicer):
    def GetMetadata(self, request, context):
        return pb.GetMetadata.Response(
            server_capabilities=pb.ServerCapabilities(),
            resources=[pb.GetMetadata.ResourceMetadata(type_name=name) for name in SCHEMA["resources"]],
            data_sources=[pb.GetMetadata.DataSourceMetadata(type_name=name) for name in SCHEMA["data_sources"]])

    def GetProviderSchema(self, request, context):
        out = pb.GetProviderSchema.Response(provider=schema(SCHEMA["provider"]))
        for name, source in SCHEMA["resources"].items():
            out.resource_schemas[name].CopyFrom(schema(source))
        for name, source in SCHEMA["data_sources"].items():
            out.data_source_schemas[name].CopyFrom(schema(source))
        return out

    def ValidateProviderConfig(self, request, context):
        return pb.ValidateProviderConfig.Response()

    def ValidateResourceConfig(self, request, context):
        wrong = []
        for name, value in (load(request.config) or {}).items():
            if name in JSON and isinstance(value, str):
                try:
                    json.loads(value)
                except ValueError as why:
                    wrong.append(pb.Diagnostic(severity=pb.Diagnostic.ERROR, summary=f"{request.type_name}.{name} is no JSON: {why}"))
        return pb.ValidateResourceConfig.Response(diagnostics=wrong)

    def ValidateDataResourceConfig(self, request, context):
        return pb.ValidateDataResourceConfig.Response()

    def ConfigureProvider(self, request, context):
        return pb.ConfigureProvider.Response()

    def UpgradeResourceState(self, request, context):
        return pb.UpgradeResourceState.Response(upgraded_state=pb.DynamicValue(json=request.raw_state.json))

    def ReadResource(self, request, context):
        return pb.ReadResource.Response(new_state=request.current_state)

    def PlanResourceChange(self, request, context):
        value = load(request.proposed_new_state)
        if value is not None and load(request.prior_state) is None:
            value = fill(SCHEMA["resources"][request.type_name], value, request.type_name, applied=False)
        return pb.PlanResourceChange.Response(planned_state=dump(value), legacy_type_system=True)

    def ApplyResourceChange(self, request, context):
        value = load(request.planned_state)
        if value is not None:
            value = fill(SCHEMA["resources"][request.type_name], value, request.type_name, applied=True)
        return pb.ApplyResourceChange.Response(new_state=dump(value), legacy_type_system=True)

    def ReadDataSource(self, request, context):
        value = fill(SCHEMA["data_sources"][request.type_name], load(request.config), request.type_name, applied=True)
        return pb.ReadDataSource.Response(state=dump(value))

    def GetFunctions(self, request, context):
        return pb.GetFunctions.Response()

    def StopProvider(self, request, context):
        return pb.StopProvider.Response()


class Controller(controller_grpc.GRPCControllerServicer):
    def __init__(self, stop):
        self.stop = stop

    def Shutdown(self, request, context):
        self.stop.set()
        return controller.Empty()


class Stdio(stdio_grpc.GRPCStdioServicer):
    def __init__(self, stop):
        self.stop = stop

    def StreamStdio(self, request, context):
        self.stop.wait()
        return iter([])


def identity():
    """Terraform speaks TLS with its plugins: a certificate for this run."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256()))
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(serialization.Encoding.DER), grpc.ssl_server_credentials([(private, pem)])


def main():
    stop = threading.Event()
    server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)])
    rpc.add_ProviderServicer_to_server(Provider(), server)
    controller_grpc.add_GRPCControllerServicer_to_server(Controller(stop), server)
    stdio_grpc.add_GRPCStdioServicer_to_server(Stdio(stop), server)
    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/socket"
        der, credentials = identity()
        server.add_secure_port(f"unix://{socket}", credentials)
        server.start()
        certificate = base64.b64encode(der).decode().rstrip("=")
        print("1", "6", "unix", socket, "grpc", certificate, sep="|", flush=True)
        stop.wait()
        server.stop(0.2)


if __name__ == "__main__":
    sys.exit(main())
