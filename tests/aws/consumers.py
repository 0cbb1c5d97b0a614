#!/usr/bin/env python3
"""Builds what an example function needs on AWS: queues, buckets, a key, and the function with a role that may do what its
README says. Prints where everything is as one JSON object.

    consumers.py ENDPOINT BOOTSTRAP SETTINGS

SETTINGS is JSON: `queues` and `buckets` by name, `key`: whether there is one, `environment` and `timeout` of the function,
and `statements`: lists of actions, each with a resource. `queue:NAME`, `url:NAME`, `bucket:NAME` and `key` stand for ARNs
and URLs in both.
"""

import io
import json
import subprocess
import sys
import zipfile

import boto3
from botocore.config import Config

REGION = "us-east-1"
ENDPOINT, BOOTSTRAP, SETTINGS = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])


def client(service):
    return boto3.client(service, endpoint_url=ENDPOINT, region_name=REGION, aws_access_key_id="test",
                        aws_secret_access_key="test", config=Config(retries={"max_attempts": 1}))


def archive():
    # Debug information would make it several times larger.
    stripped = subprocess.run(["strip", "-o", "/dev/stdout", BOOTSTRAP], capture_output=True)
    binary = stripped.stdout or open(BOOTSTRAP, "rb").read()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        file.writestr(entry, binary)
    return out.getvalue()


def make():
    """What the names stand for."""
    names = {}
    for name in SETTINGS.get("queues", []):
        sqs = client("sqs")
        url = sqs.create_queue(QueueName=name, Attributes={"FifoQueue": "true"} if name.endswith(".fifo") else {})["QueueUrl"]
        names[f"url:{name}"] = url
        names[f"queue:{name}"] = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    for name in SETTINGS.get("buckets", []):
        client("s3").create_bucket(Bucket=name)
        names[f"bucket:{name}"] = f"arn:aws:s3:::{name}"
    if SETTINGS.get("key"):
        names["key"] = client("kms").create_key()["KeyMetadata"]["Arn"]
    return names


def main():
    names = make()
    statements = []
    for actions, resource in SETTINGS["statements"]:
        name, slash, path = resource.partition("/")
        statements.append({"Effect": "Allow", "Action": actions, "Resource": names.get(name, name) + slash + path})
    iam = client("iam")
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}]}
    role = iam.create_role(RoleName="function", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    if statements:
        policy = {"Version": "2012-10-17", "Statement": statements}
        iam.put_role_policy(RoleName="function", PolicyName="all-it-may", PolicyDocument=json.dumps(policy))
    environment = {name: names.get(value, value) for name, value in SETTINGS.get("environment", {}).items()}
    client("lambda").create_function(
        FunctionName="function", Runtime="provided.al2023", Handler="bootstrap", Role=role, Code={"ZipFile": archive()},
        Timeout=SETTINGS.get("timeout", 5), MemorySize=256, Environment={"Variables": environment})
    print(json.dumps(names))


main()
