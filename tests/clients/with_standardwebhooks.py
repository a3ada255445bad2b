"""Signs a login and an event by `standardwebhooks`, and changes a login after it was signed."""

import json
import sys

from signed import post
from told import ask

edge, topic = sys.argv[1:]
media = {"content-type": "application/json"}
login = json.dumps({"user": "40228", "attributes": {"name": "Zoë"}}, ensure_ascii=False)
event = json.dumps({
    "specversion": "1.0",
    "id": "a",
    "source": "/standardwebhooks",
    "type": "dev.headstart.update",
    "subject": topic,
    "data": "signed",
})

ask("login", *post(f"{edge}/login", media, login))
ask("changed", *post(f"{edge}/login", media, login, login.replace("40228", "40229")))
ask("event", *post(f"{edge}/events", {"content-type": "application/cloudevents+json"}, event))
