import time

import websocket

from told import PAUSE_SECONDS, Position, after, ended, opened

position = Position()
while True:
    codes = []
    app = websocket.WebSocketApp(
        after(position.id),
        on_open=lambda _: opened(),
        on_message=lambda _, text: position.take(text),
        on_close=lambda _, code, reason: codes.append(code),
    )
    app.run_forever()
    ended(codes[-1] if codes else None)
    time.sleep(PAUSE_SECONDS)
