"""Requests signed by `standardwebhooks`, as its README signs a webhook."""

import os
import uuid
from datetime import datetime, timezone
from urllib.parse import urlsplit

import httpx
from standardwebhooks import Webhook

LOGIN_KEY = os.environ["HEADSTART_LOGIN_KEY"]
ORIGIN_KEY = os.environ["HEADSTART_ORIGIN_KEY"]


def signature(path, body):
    """The headers that sign `body`, which is text."""
    id, at = str(uuid.uuid4()), datetime.now(timezone.utc)
    signer = Webhook(LOGIN_KEY if path == "/login" else ORIGIN_KEY)
    return {
        "webhook-id": id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signer.sign(id, at, body),
    }


def post(url, headers, body, sent=None):
    """Posts `body`, signed; `sent` in place of it where that is given. Gives the status and the JSON of the answer."""
    headers = dict(headers) | signature(urlsplit(url).path, body)
    answer = httpx.post(url, headers=headers, content=(sent or body).encode())
    return answer.status_code, answer.json()
