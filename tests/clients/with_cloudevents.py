"""Posts updates made by `cloudevents` in every content mode, and reads with it what the edge sends of them."""

import json
import sys

import httpx
from cloudevents.core.bindings.http import HTTPMessage, from_http_event, to_binary_event, to_structured_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from httpx_sse import connect_sse

from signed import post
from told import ask

edge, topic = sys.argv[1:]


def event(data, **more):
    return CloudEvent(
        {"source": "/cloudevents", "type": "dev.headstart.update", "subject": topic, "trace": "kept"} | more, data
    )


def publish(mode, message):
    ask("posted", mode, *post(f"{edge}/events", message.headers, message.body.decode()))


def told(event):
    data = event.get_data()
    data = data.decode() if isinstance(data, bytes) else data
    return [True, event.get_type(), event.get_subject(), event.get_extension("sequence"), event.get_extension("trace"), data]


def read(text):
    return told(JSONFormat().read(CloudEvent, text))


publish("structured", to_structured_event(event({"n": 1})))
publish("binary", to_binary_event(event({"n": 2}, datacontenttype="application/json")))
# It knows no batches: one is a list of events in JSON.
batch = b",".join(JSONFormat().write(event({"n": n})) for n in (3, 4))
publish("batch", HTTPMessage({"content-type": "application/cloudevents-batch+json"}, b"[%s]" % batch))
publish("bytes", to_structured_event(event(b"five", datacontenttype="application/octet-stream")))

# As answers hold them: the latest as an event, and all in a list.
answer = httpx.get(f"{edge}/topics/{topic}")
ask("latest", *told(from_http_event(HTTPMessage(dict(answer.headers), answer.content))))
updates = httpx.get(f"{edge}/topics/{topic}?since=0").json()["updates"]
ask("since", *(read(json.dumps(update)) for update in updates))

# As a stream tells them.
streamed = []
with httpx.Client() as client, connect_sse(client, "GET", f"{edge}/topics/{topic}/events?last_event_id=0") as source:
    for frame in source.iter_sse():
        if frame.event == "update":
            streamed.append(read(frame.data))
        if len(streamed) == len(updates):
            break
ask("streamed", *streamed)
