"""A Lambda function that puts each record into SQS, or each batch into S3, with the rights of its role and no others.

It stands in for the consumers of `lambda-examples` where only permissions are looked at. Runs as a `bootstrap`, so it speaks
the runtime API itself.
"""

import base64
import gzip
import hashlib
import json
import os
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

QUICK = Config(retries={"max_attempts": 1}, connect_timeout=2, read_timeout=3)


def records(event):
    body = event["body"]
    body = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    found = json.loads(body)
    return body, found if isinstance(found, list) else [found]


def to_queue(url, all_of_them):
    sqs = boto3.client("sqs", config=QUICK)
    for begin in range(0, len(all_of_them), 10):
        entries = []
        for position, record in enumerate(all_of_them[begin:begin + 10]):
            entry = {"Id": str(position), "MessageBody": json.dumps(record)}
            if url.endswith(".fifo"):
                meta = record["_meta"]
                entry |= {"MessageGroupId": hashlib.sha256(meta["digest"].encode()).hexdigest(),
                          "MessageDeduplicationId": hashlib.sha256(f"{meta['digest']} {meta['lut']} {os.urandom(8)}".encode()).hexdigest()}
            entries.append(entry)
        answer = sqs.send_message_batch(QueueUrl=url, Entries=entries)
        if answer.get("Failed"):
            raise RuntimeError(answer["Failed"][0]["Code"])


def to_bucket(bucket, prefix, body, all_of_them):
    key = f"{prefix}{hashlib.sha256(body).hexdigest()}.ndjson.gz"
    lines = gzip.compress("".join(json.dumps(record) + "\n" for record in all_of_them).encode(), mtime=0)
    try:
        boto3.client("s3", config=QUICK).put_object(Bucket=bucket, Key=key, Body=lines, IfNoneMatch="*")
    except ClientError as why:
        # It is there already: the connector sent it again.
        if why.response["ResponseMetadata"]["HTTPStatusCode"] != 412:
            raise


def handle(event):
    body, all_of_them = records(event)
    if "QUEUE_URL" in os.environ:
        to_queue(os.environ["QUEUE_URL"], all_of_them)
    else:
        to_bucket(os.environ["BUCKET"], os.environ["PREFIX"], body, all_of_them)
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "isBase64Encoded": False, "body": "{}"}


def post(address, value):
    urllib.request.urlopen(urllib.request.Request(address, json.dumps(value).encode(), {"content-type": "application/json"}))


def main():
    api = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"
    while True:
        with urllib.request.urlopen(f"{api}/next") as answer:
            request, event = answer.headers["Lambda-Runtime-Aws-Request-Id"], json.load(answer)
        try:
            post(f"{api}/{request}/response", handle(event))
        except Exception as why:
            post(f"{api}/{request}/error", {"errorType": type(why).__name__, "errorMessage": str(why)})


if __name__ == "__main__":
    main()
