// What the edge asks of the platform in JavaScript: each function does in one crossing of the
// boundary between Wasm and JavaScript what would take many from Rust. Called from mod.rs only.

// All that a route needs to know of a request before it acts: six lines. None can hold a line end.
export function head(request) {
  const { headers } = request;
  return [
    Date.now(),
    request.method,
    request.url,
    headers.get('origin') ?? '',
    headers.get('prefer') ?? '',
    headers.get('last-event-id') ?? '',
  ].join('\n');
}

// The data centre's code, or nothing where there is none.
export function colo(request) {
  const colo = request.cf?.colo;
  return typeof colo === 'string' ? colo : '';
}

// Where the client is, as JSON: those of the fields that are known.
export function place(request) {
  const cf = request.cf ?? {};
  const place = {};
  for (const name of ['country', 'region', 'city', 'continent', 'timezone']) {
    if (typeof cf[name] === 'string') place[name] = cf[name];
  }
  for (const name of ['latitude', 'longitude']) {
    // The platform gives degrees as text.
    const degrees = Number.parseFloat(cf[name]);
    if (Number.isFinite(degrees)) place[name] = degrees;
  }
  return JSON.stringify(place);
}

// A response. `headers` has one line `name:value` for each header; `webSocket` goes with status 101.
export function respond(status, headers, body, webSocket) {
  // The platform reads an object in a third of the time that it takes for pairs.
  const named = {};
  for (const line of headers.split('\n')) {
    const colon = line.indexOf(':');
    if (colon <= 0) continue;
    const name = line.slice(0, colon);
    const value = line.slice(colon + 1);
    named[name] = name in named ? `${named[name]}, ${value}` : value;
  }
  return new Response(body, { status, headers: named, webSocket: webSocket ?? null });
}

// Reads a body, and stops as soon as it is longer than `limit` bytes: null then. A length that the
// client names is believed only where it speaks against the body. Fails when the client goes away.
export async function readBody(request, limit) {
  const named = request.headers.get('content-length');
  if (Number(named) > limit) return null;
  if (request.body === null) return new Uint8Array();
  // HTTP lets no body be longer than it says, and a whole one takes a third of the time.
  if (named !== null) return readWhole(request);
  const reader = request.body.getReader();
  const chunks = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.byteLength;
    if (length > limit) {
      reader.cancel().catch(() => {});
      return null;
    }
    chunks.push(value);
  }
  if (chunks.length === 1) return chunks[0];
  const whole = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.byteLength;
  }
  return whole;
}

// Reads a body of the edge's own, whole.
export async function readWhole(request) {
  return new Uint8Array(await request.arrayBuffer());
}

// Every header of a request, one line `name:value` each; names are in lower case.
export function headerLines(request) {
  return Array.from(request.headers, ([name, value]) => `${name}:${value}`).join('\n');
}

// A KV value with its metadata as JSON: [Uint8Array, string], or null.
//
// No cacheTtl: it would lengthen the life of a cached miss as well.
export async function readContent(env, key) {
  const { value, metadata } = await env.CONTENT.getWithMetadata(key, 'arrayBuffer');
  return value === null ? null : [new Uint8Array(value), JSON.stringify(metadata)];
}

// A KV value as it comes, a ReadableStream; or null.
export async function streamContent(env, key) {
  return env.CONTENT.get(key, 'stream');
}

// A Durable Object; where it is made, if it has to be, says `hint` unless that is empty.
function object(env, binding, name, hint) {
  return env[binding].getByName(name, hint === '' ? {} : { locationHint: hint });
}

// Hands a request on to a Durable Object and its response back, both untouched.
export function forward(env, binding, name, hint, request) {
  return object(env, binding, name, hint).fetch(request);
}

// Asks a Durable Object: [status, Uint8Array].
export async function ask(env, binding, name, hint, method, url, body) {
  const response = await object(env, binding, name, hint).fetch(url, { method, body: body ?? null });
  return [response.status, new Uint8Array(await response.arrayBuffer())];
}

// Hands a request to subscribe on to a Durable Object, with what the Worker knows of it, and its
// response back untouched.
export function subscribe(env, binding, name, hint, path, request, subscription) {
  const headers = new Headers(request.headers);
  // A header holds no text beyond Latin-1, so it is percent-encoded.
  headers.set('headstart-subscription', encodeURIComponent(subscription));
  return object(env, binding, name, hint).fetch(`http://topic/${path}`, { method: 'GET', headers });
}

// What the Worker knows of a request to subscribe.
export function subscription(request) {
  return decodeURIComponent(request.headers.get('headstart-subscription') ?? '');
}

// The headers that a login's signature stands in, and those of an origin's answer that a client sees.
const SENT = ['content-type', 'webhook-id', 'webhook-timestamp', 'webhook-signature'];
const SEEN = ['content-type', 'headstart-stamps', 'cache-control', 'retry-after'];

// As long as an origin may take for an offer, in ms.
const PULL_MS = 60_000;

function lines(headers, names) {
  return names.filter((name) => headers.has(name)).map((name) => [name, headers.get(name)]);
}

// Sends a body to an origin: [status, header lines, ReadableStream or null].
export async function pull(url, request, body) {
  const headers = lines(request.headers, SENT);
  const signal = AbortSignal.timeout(PULL_MS);
  const response = await fetch(url, { method: 'POST', headers, body, signal, redirect: 'manual' });
  const seen = lines(response.headers, SEEN).map(([name, value]) => `${name}:${value}\n`);
  return [response.status, seen.join(''), response.body];
}

// A stream of one text, which a promise will bring.
export function streamOf(promise) {
  return new ReadableStream({
    async start(controller) {
      controller.enqueue(new TextEncoder().encode(await promise));
      controller.close();
    },
  });
}

// Puts a value into KV, with its metadata as JSON.
export function writeContent(env, key, value, metadata) {
  return env.CONTENT.put(key, value, { metadata: JSON.parse(metadata) });
}

// When the platform last answered a ping of a WebSocket by itself, in ms since the Unix epoch; 0 when it
// never did.
export function lastPing(context, socket) {
  return context.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0;
}
