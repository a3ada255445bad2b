"""Makes tokens by `PyJWT`."""

import base64
import os
import sys
import time
from datetime import datetime, timedelta, timezone

import jwt

from told import ask

key = base64.b64decode(os.environ["HEADSTART_TOKEN_KEY"].removeprefix("whsec_"))


def token(exp, **claims):
    return jwt.encode({"topics": [sys.argv[1]], "exp": exp} | claims, key, algorithm="HS256")


ask("good", "a date", token(datetime.now(timezone.utc) + timedelta(minutes=1), iat=datetime.now(timezone.utc)))
ask("good", "a whole number", token(int(time.time()) + 60))
ask("good", "a fraction", token(int(time.time()) + 60.25))
ask("bad", "a fraction, and over", token(int(time.time()) - 0.5))
