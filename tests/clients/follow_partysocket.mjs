import { WebSocket } from 'partysocket';

import { Position, after, ended, opened } from './told.mjs';

// It comes back by itself, after every close, and asks for the URL each time. An offer is all that a ticket tells:
// whoever has it closes.
const position = new Position();
const socket = new WebSocket(() => after(position.id));
socket.addEventListener('open', () => opened());
socket.addEventListener('message', async ({ data }) => (await position.take(data)) && socket.close());
socket.addEventListener('close', ({ code }) => socket.shouldReconnect || ended(code));
