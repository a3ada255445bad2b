// The way from a login to its offer with as little as it can be done with: one Durable Object that stores
// each login and its offer in its SQLite, and tells who waits.
//
//   POST /login                     {"user": "..."}: 202 with a ticket, once the login is stored
//   POST /events                    {"ticket": "...", "offer": ...}: settles, 204 once that is stored
//   GET  /tickets/TICKET/events     Server-Sent Events: the offer, then the end
//
// The ticket is signed, as ours is, so that nobody can guess one; nothing else is: it believes whoever
// logs in and whoever settles. It leases no login to an origin, bounds nothing, deletes nothing, and takes
// any number of logins in.
import { DurableObject } from 'cloudflare:workers';

const encoder = new TextEncoder();

let imported;

function key(env) {
  imported ??= crypto.subtle.importKey(
    'raw',
    encoder.encode(env.TICKET_KEY),
    { name: 'HMAC', hash: 'SHA-256' },
    false,
    ['sign'],
  );
  return imported;
}

async function tag(env, id) {
  const mac = await crypto.subtle.sign('HMAC', await key(env), encoder.encode(id));
  return new Uint8Array(mac, 0, 16).toBase64({ alphabet: 'base64url', omitPadding: true });
}

async function mint(env) {
  const id = crypto.randomUUID();
  return `${id}.${await tag(env, id)}`;
}

async function isOurs(env, ticket) {
  const [id, claimed] = ticket.split('.');
  const [theirs, ours] = [encoder.encode(claimed), encoder.encode(await tag(env, id))];
  return theirs.length === ours.length && crypto.subtle.timingSafeEqual(theirs, ours);
}

export default {
  async fetch(request, env) {
    const path = new URL(request.url).pathname;
    if (path === '/ping') return new Response('pong');
    const desk = env.DESK.getByName('desk');
    if (path === '/login') {
      const { user } = await request.json();
      const ticket = await mint(env);
      const body = JSON.stringify({ ticket, user });
      const stored = await desk.fetch('http://desk/login', { method: 'POST', body });
      if (!stored.ok) return stored;
      const offer = `/tickets/${ticket}`;
      return Response.json({ ticket, offer, events: `${offer}/events`, ws: `${offer}/ws` }, { status: 202 });
    }
    if (path === '/events') {
      const body = await request.text();
      const { ticket } = JSON.parse(body);
      if (!(await isOurs(env, ticket))) return new Response(null, { status: 404 });
      return desk.fetch('http://desk/events', { method: 'POST', body });
    }
    const ticket = path.split('/')[2] ?? '';
    if (!(await isOurs(env, ticket))) return new Response(null, { status: 404 });
    return desk.fetch(request);
  },
};

export class Desk extends DurableObject {
  waiting = new Map();

  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec(
      'CREATE TABLE IF NOT EXISTS logins (ticket TEXT PRIMARY KEY, user TEXT NOT NULL, offer TEXT) WITHOUT ROWID',
    );
  }

  async fetch(request) {
    const path = new URL(request.url).pathname;
    if (path === '/login') {
      const { ticket, user } = await request.json();
      this.sql.exec('INSERT INTO logins (ticket, user) VALUES (?, ?)', ticket, user);
      // The platform holds the answer back until the login is durable.
      return new Response(null, { status: 204 });
    }
    if (path === '/events') {
      const { ticket, offer } = await request.json();
      await this.settle(ticket, JSON.stringify(offer));
      return new Response(null, { status: 204 });
    }
    return this.wait(path.split('/')[2]);
  }

  async settle(ticket, offer) {
    this.sql.exec('UPDATE logins SET offer = ? WHERE ticket = ? AND offer IS NULL', offer, ticket);
    const waiting = this.waiting.get(ticket);
    if (!waiting) return;
    this.waiting.delete(ticket);
    // What is written into an open stream is not held back.
    await this.ctx.storage.sync();
    for (const controller of waiting) {
      controller.enqueue(frame(offer));
      controller.close();
    }
  }

  wait(ticket) {
    const [login] = this.sql.exec('SELECT offer FROM logins WHERE ticket = ?', ticket);
    if (!login) return new Response(null, { status: 404 });
    const headers = { 'content-type': 'text/event-stream', 'cache-control': 'no-store' };
    if (login.offer !== null) return new Response(frame(login.offer), { headers });
    let open;
    const body = new ReadableStream({
      start: (controller) => {
        open = controller;
        const waiting = this.waiting.get(ticket);
        if (waiting) waiting.push(controller);
        else this.waiting.set(ticket, [controller]);
        controller.enqueue(encoder.encode('retry: 1000\n'));
      },
      cancel: () => {
        const left = this.waiting.get(ticket)?.filter((controller) => controller !== open);
        if (left?.length) this.waiting.set(ticket, left);
        else this.waiting.delete(ticket);
      },
    });
    return new Response(body, { headers });
  }
}

function frame(offer) {
  return encoder.encode(`event: offer\ndata: ${offer}\n\n`);
}
