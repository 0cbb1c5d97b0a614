"""Archives change notifications in Cloud Storage, in the bucket BUCKET: an object for each batch, namespace, set, date and hour.

For a Cloud Run function behind a destination of type `gcp-functions`, with `json` or `flat-json` (`metadata-key: _meta`). An object is
named after what is in it and written only when it is not there, so a batch that comes again changes nothing.
"""

import datetime
import gzip
import hashlib
import json
import os
import zlib

import functions_framework
from google.api_core.exceptions import GoogleAPIError, PreconditionFailed
from google.cloud import storage

BUCKET = storage.Client().bucket(os.environ["BUCKET"])
MISSING = "__HIVE_DEFAULT_PARTITION__"
BYTES_MAX = 32 << 20


@functions_framework.http
def archive(request):
    try:
        records = read(request)
    except (ValueError, zlib.error) as error:
        return {"message": f"expected records as JSON, or lines of it: {error}"}, 400
    partitions, failures = {}, []
    for position, record in enumerate(records):
        try:
            partitions.setdefault(folder(record), []).append((position, record))
        except (KeyError, IndexError, TypeError):
            failures.append({"itemIdentifier": str(position), "retryable": False, "reason": "neither json nor flat-json"})
    for place, entries in partitions.items():
        try:
            put(place, [record for _, record in entries])
        except GoogleAPIError as error:
            reason = f"Cloud Storage: {type(error).__name__}"
            failures += [{"itemIdentifier": str(position), "reason": reason} for position, _ in entries]
    return {"batchItemFailures": failures}


def read(request):
    """One record, an array of them, or one a line."""
    body = request.get_data()
    if request.headers.get("Content-Encoding") == "gzip":
        unpack = zlib.decompressobj(wbits=31)
        body = unpack.decompress(body, BYTES_MAX)
        if not unpack.eof:
            raise ValueError("a body that is cut, or larger than 32 MiB")
    if "ndjson" in request.headers.get("Content-Type", ""):
        return [json.loads(line) for line in body.splitlines() if line]
    records = json.loads(body)
    return records if isinstance(records, list) else [records]


def folder(record):
    if "_meta" in record:
        about = record["_meta"]
        namespace, of_set, lut = about["namespace"], about.get("set"), about.get("lut")
    else:
        namespace, of_set, lut = record["key"][0], record["key"][1], record.get("lut")
    time = datetime.datetime.fromtimestamp(lut / 1000, datetime.timezone.utc) if lut else None
    date, hour = (time.strftime("%Y-%m-%d"), time.strftime("%H")) if time else (MISSING, MISSING)
    return f"namespace={namespace}/set={of_set or MISSING}/date={date}/hour={hour}/"


def put(place, records):
    lines = "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records).encode()
    name = hashlib.sha256(lines).hexdigest()[:32]
    blob = BUCKET.blob(f"{place}{name}.ndjson.gz")
    try:
        blob.upload_from_string(gzip.compress(lines, mtime=0), content_type="application/gzip", if_generation_match=0)
    except PreconditionFailed:
        pass  # it is there already
