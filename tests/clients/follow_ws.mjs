import WebSocket from 'ws';

import { PAUSE_MS, Position, after, ended, opened } from './told.mjs';

const token = process.env.HEADSTART_TOKEN;
const headers = token ? { authorization: `Bearer ${token}` } : {};
const position = new Position();

function follow() {
  const socket = new WebSocket(after(position.id), { headers });
  socket.on('open', opened);
  socket.on('message', (data) => position.take(String(data)));
  // What follows an error is a close.
  socket.on('error', () => {});
  socket.on('close', async (code) => (await ended(code)) && setTimeout(follow, PAUSE_MS));
}

follow();
