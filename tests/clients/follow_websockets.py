import asyncio

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from told import PAUSE_SECONDS, Position, after, ended, opened


async def follow():
    position = Position()
    while True:
        code = None
        try:
            async with connect(after(position.id)) as socket:
                opened()
                while True:
                    position.take(await socket.recv())
        except ConnectionClosed as closed:
            code = closed.rcvd and closed.rcvd.code
        except (OSError, InvalidHandshake):
            pass
        ended(code)
        await asyncio.sleep(PAUSE_SECONDS)


asyncio.run(follow())
