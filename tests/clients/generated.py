"""Uses an edge by the client that `openapi-python-client` makes of openapi.yaml."""

import sys
from urllib.parse import urlsplit

from headstart_client import Client
from headstart_client.api.health import health, ping
from headstart_client.api.login import login
from headstart_client.api.offer import read_offer
from headstart_client.api.topics import list_subscribers, read_topic
from headstart_client.models import LoginRequest, LoginRequestAttributes

from signed import post, signature
from told import ask

url, topic = sys.argv[1:]


def sign(request):
    if request.method == "POST":
        request.headers.update(signature(urlsplit(str(request.url)).path, request.content.decode()))


edge = Client(url, httpx_args={"event_hooks": {"request": [sign]}})


def told(name, answer, of):
    ask(name, answer.status_code, of(answer.parsed))


told("ping", ping.sync_detailed(client=edge), lambda pong: pong.time > 0)
told("health", health.sync_detailed(client=edge), lambda health: health.status)

request = LoginRequest("40228", LoginRequestAttributes.from_dict({"max_items": 3}))
accepted = login.sync_detailed(client=edge, body=request)
told("login", accepted, lambda accepted: accepted.ticket)
told("offer", read_offer.sync_detailed(accepted.parsed.ticket, client=edge), lambda offer: offer)
told("unknown", read_offer.sync_detailed("unknown", client=edge), lambda problem: problem.type_)

# The generator's own fault keeps its publish_events from any event: it asks `isinstance(body, list[Event])`.
event = '{"specversion": "1.0", "id": "a", "source": "/generated", "type": "dev.headstart.update",' \
    f'"subject": "{topic}", "data": {{"home": 71}}}}'
status, report = post(f"{url}/events", {"content-type": "application/cloudevents+json"}, event)
ask("published", status, report["results"][0]["status"])
latest = read_topic.sync_detailed(topic, client=edge)
ask("latest", latest.status_code, latest.parsed.sequence, latest.parsed.data)
since = read_topic.sync_detailed(topic, client=edge, since=0)
told("since", since, lambda since: [update.sequence for update in since.updates])
told("subscribers", list_subscribers.sync_detailed(topic, client=edge), lambda listed: len(listed.subscribers))
