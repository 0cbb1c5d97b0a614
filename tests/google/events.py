"""A function that takes CloudEvents, binary and structured, and keeps what the SDK made of each: a line of JSON."""

import json
import os

import functions_framework


@functions_framework.cloud_event
def events(event):
    attributes = {name: event[name] for name in ("id", "source", "type", "specversion", "subject", "time")}
    with open(os.environ["TAKEN"], "a") as taken:
        taken.write(json.dumps({**attributes, "data": event.data}) + "\n")
