"""What the scripts that follow something with another's client have in common: see told.mjs."""

import json
import sys
from urllib.parse import urlencode, urlsplit

URL = sys.argv[1]
KINDS = ("update", "gap", "offer", "failed")
PAUSE_SECONDS = 0.5


def ask(name, *values):
    """Asks the test that runs this script."""
    print("ask " + json.dumps({name: values}), flush=True)
    return json.loads(sys.stdin.readline())


def _go_on(enough):
    if enough:
        sys.exit()


def opened():
    """The connection is open."""
    _go_on(ask("opened"))


def told(kind, id, data):
    """An event came: its kind, its id, and the event as JSON."""
    if kind in KINDS:
        _go_on(ask("told", kind, id, data))


def ended(code):
    """The library has ended or lost the connection, with this status or code."""
    _go_on(ask("ended", code))


def after(id):
    """The URL that goes on after the event `id`."""
    if id is None:
        return URL
    separator = "&" if urlsplit(URL).query else "?"
    return URL + separator + urlencode({"last_event_id": id})


class Position:
    """A position in what comes over WebSockets, and the telling of it."""

    id = None

    def take(self, text):
        """Takes one message: of a topic's channel, or the one event of a ticket."""
        message = json.loads(text)
        if "specversion" in message:
            told("offer", message["id"], text)
        if "gap" in message:
            self.id = message["gap"]["first"] - 1
            told("gap", str(self.id), json.dumps(message["gap"]))
        for update in message.get("updates", []):
            self.id = int(update["sequence"])
            told("update", str(self.id), json.dumps(update))
