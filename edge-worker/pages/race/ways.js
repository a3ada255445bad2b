// The ways to receive an offer: what each is called, what colour it has, and how it asks.

/** @typedef {{ id: string, name: string, color: string, how: string }} Way */

/** @type {Way[]} In the order in which they are shown. */
export const WAYS = [
  {
    id: 'origin',
    name: 'straight from the origin',
    color: '--lane-origin',
    how: 'asks when the shopper does, and waits while the offer is made',
  },
  { id: 'poll', name: 'polling', color: '--lane-poll', how: 'asks again and again, from the login on' },
  { id: 'wait', name: 'long-poll', color: '--lane-long-poll', how: 'asks at the login; the edge holds the answer' },
  { id: 'sse', name: 'SSE', color: '--lane-sse', how: 'listens for a Server-Sent Event, from the login on' },
  { id: 'ws', name: 'WebSocket', color: '--lane-ws', how: 'listens on a WebSocket, from the login on' },
  {
    id: 'positioned',
    name: 'already positioned',
    color: '--lane-positioned',
    how: 'asks when the shopper does; nothing is open before',
  },
];
