import time
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import sseclient

from told import PAUSE_SECONDS, URL, ended, opened, told

last = None
while True:
    code = None
    headers = {"accept": "text/event-stream"} | ({"last-event-id": last} if last else {})
    try:
        with urlopen(Request(URL, headers=headers)) as response:
            code = response.status
            if code == 200:
                opened()
                for event in sseclient.SSEClient(response).events():
                    last = event.id or last
                    told(event.event, event.id, event.data)
    except HTTPError as error:
        code = error.code
    except OSError:
        pass
    ended(code)
    time.sleep(PAUSE_SECONDS)
