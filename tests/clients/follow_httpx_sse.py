import time

import httpx
from httpx_sse import connect_sse

from told import PAUSE_SECONDS, URL, ended, opened, told

last = None
with httpx.Client(timeout=None) as client:
    while True:
        code = None
        headers = {"last-event-id": last} if last else {}
        try:
            with connect_sse(client, "GET", URL, headers=headers) as source:
                code = source.response.status_code
                if code == 200:
                    opened()
                    for event in source.iter_sse():
                        last = event.id or last
                        told(event.event, event.id, event.data)
        except httpx.TransportError:
            pass
        ended(code)
        time.sleep(PAUSE_SECONDS)
