// The same fan-out as one would write it in JavaScript without further thought, after the provider's
// examples: a Durable Object with hibernating WebSockets, and streams by their controllers.
//
//   GET  /topics/TOPIC/events   Server-Sent Events
//   GET  /topics/TOPIC/ws       WebSocket
//   POST /topics/TOPIC          publishes the JSON values of an array, each by itself
//
// It numbers updates, and does nothing else that ours does: no signatures, no history, no resuming, no
// recognising of duplicates, no list of subscribers, no bound on what a slow subscriber leaves unread.
import { DurableObject } from 'cloudflare:workers';

const encoder = new TextEncoder();

export default {
  fetch(request, env) {
    const [, , topic] = new URL(request.url).pathname.split('/');
    return env.TOPICS.getByName(topic).fetch(request);
  },
};

export class Topic extends DurableObject {
  streams = new Set();
  sequence = 0;

  async fetch(request) {
    if (request.method === 'POST') {
      for (const update of await request.json()) this.publish(update);
      return new Response(null, { status: 204 });
    }
    return request.headers.get('upgrade') === 'websocket' ? this.socket() : this.stream();
  }

  publish(update) {
    const data = JSON.stringify(update);
    const id = ++this.sequence;
    const frame = encoder.encode(`id: ${id}\ndata: ${data}\n\n`);
    for (const controller of this.streams) controller.enqueue(frame);
    for (const socket of this.ctx.getWebSockets()) socket.send(data);
  }

  stream() {
    let open;
    const body = new ReadableStream({
      start: (controller) => {
        open = controller;
        this.streams.add(controller);
        controller.enqueue(encoder.encode(': hi\n\n'));
      },
      cancel: () => this.streams.delete(open),
    });
    return new Response(body, {
      headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store' },
    });
  }

  socket() {
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }

  webSocketMessage() {}
}
