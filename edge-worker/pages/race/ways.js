// The ways to receive an offer: what each is called, what colour it has, and how it asks.

/** @typedef {{ id: string, name: string, color: string, how: string }} Way */

/** @type {Way[]} In the order in which they are shown. */
export const WAYS = [
  { id: 'origin', name: 'straight from the origin', color: '--lane-origin', how: 'asks the origin when the shopper asks, and waits while it generates' },
  { id: 'poll', name: 'polling', color: '--lane-poll', how: 'asks the edge again and again' },
  { id: 'wait', name: 'long-poll', color: '--lane-long-poll', how: 'asks the edge once, which holds the answer' },
  { id: 'sse', name: 'SSE', color: '--lane-sse', how: 'listens to a stream of Server-Sent Events' },
  { id: 'ws', name: 'WebSocket', color: '--lane-ws', how: 'listens on a WebSocket' },
  { id: 'positioned', name: 'already positioned', color: '--lane-positioned', how: 'asks the edge when the shopper asks' },
];
