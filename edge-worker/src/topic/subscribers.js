// Who is subscribed at a topic's Durable Object: open streams, and what hibernating WebSockets have in
// memory. Called from crowd.rs only.
//
// Streams are kept here and not in Rust because a panic takes the memory of the whole Wasm instance
// with it; JavaScript's stays. WebSockets are the platform's to keep; what stands with one is in its
// attachment, which survives eviction.

// Most that may lie unread in a stream before its subscriber is dropped; it resumes where it was.
const MAX_UNREAD_BYTES = 1024 * 1024;
// The platform does not tell how much of a WebSocket's messages is unread. So after this many
// characters without a word from the client it is asked for one ...
const ASK_AFTER = 1024 * 1024;
// ... and after these it is dropped.
const MAX_UNANSWERED = 4 * 1024 * 1024;
// A private close code (RFC 6455, section 7.4.2): the client did not keep up.
const TOO_SLOW = 4008;

// The streams, by what they are of: a topic's updates, or who is connected to it.
const open = new Map();
// Ids of streams that have ended since somebody asked, in the same way.
const ended = new Map();

function end(of, stream) {
  clearInterval(stream.beat);
  clearTimeout(stream.life);
  const streams = open.get(of);
  if (!streams?.delete(stream)) return;
  if (streams.size === 0) open.delete(of);
  const ids = ended.get(of);
  if (ids === undefined) ended.set(of, [stream.id]);
  else ids.push(stream.id);
}

function close(of, stream) {
  end(of, stream);
  try {
    stream.controller.close();
  } catch {
    // It is closed already.
  }
}

function write(of, stream, bytes) {
  const { controller } = stream;
  try {
    if (controller.desiredSize > 0) {
      controller.enqueue(bytes);
    } else {
      end(of, stream);
      controller.error(new Error('the subscriber does not keep up'));
    }
  } catch {
    // A client that is gone, or of an earlier life of the object.
    end(of, stream);
  }
}

// A stream, known by `id`, that begins with `first` and says `heartbeat` every so often. It ends when the client goes
// or is too slow, or after `lifeMs`.
export function openStream(of, id, first, heartbeat, heartbeatMs, lifeMs) {
  const stream = { id, controller: null, beat: 0, life: 0 };
  return new ReadableStream(
    {
      start(controller) {
        stream.controller = controller;
        stream.beat = setInterval(() => write(of, stream, heartbeat), heartbeatMs);
        stream.life = setTimeout(() => close(of, stream), lifeMs);
        const streams = open.get(of);
        if (streams === undefined) open.set(of, new Set([stream]));
        else streams.add(stream);
        controller.enqueue(first);
      },
      cancel() {
        end(of, stream);
      },
    },
    // What was missed may be longer than the bound: the stream begins with it whole.
    new ByteLengthQueuingStrategy({ highWaterMark: MAX_UNREAD_BYTES + first.byteLength }),
  );
}

const sockets = new WeakMap();

function socketInfo(socket) {
  let info = sockets.get(socket);
  if (info === undefined) {
    info = { live: socket.deserializeAttachment()?.[0] === true, unanswered: 0, asked: false };
    sockets.set(socket, info);
  }
  return info;
}

// Hands a WebSocket to the platform, which keeps it while the object sleeps. Only a `live` one is told
// what is broadcast.
export function acceptSocket(context, socket, live, attachment) {
  context.acceptWebSocket(socket);
  attach(socket, live, attachment);
}

// Changes what stands with a WebSocket.
export function attach(socket, live, attachment) {
  socket.serializeAttachment([live, attachment]);
  sockets.set(socket, { live, unanswered: 0, asked: false });
}

// What stands with a WebSocket.
export function attachment(socket) {
  return socket.deserializeAttachment()?.[1] ?? '';
}

// When the platform last answered a WebSocket's client by itself, in ms; 0 for never.
export function pingedAt(context, socket) {
  return context.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0;
}

// A WebSocket's client has been heard.
export function heard(socket) {
  const info = socketInfo(socket);
  info.unanswered = 0;
  info.asked = false;
}

// How many streams there are.
export function streamCount(of) {
  return open.get(of)?.size ?? 0;
}

// The ids of the streams that have ended since the last time, one line each.
export function takeEnded(of) {
  const ids = ended.get(of) ?? [];
  ended.delete(of);
  return ids.join('\n');
}

// Writes to every stream.
export function writeStreams(of, bytes) {
  for (const stream of [...(open.get(of) ?? [])]) write(of, stream, bytes);
}

// Sends `messages` to every live WebSocket. One that has not said anything for long is sent `question`.
export function sendSockets(context, messages, question) {
  let length = 0;
  for (const message of messages) length += message.length;
  for (const socket of context.getWebSockets()) {
    const info = socketInfo(socket);
    if (!info.live) continue;
    info.unanswered += length;
    try {
      if (info.unanswered > MAX_UNANSWERED) {
        info.live = false;
        socket.close(TOO_SLOW, 'answer pings to show that you keep up');
        continue;
      }
      for (const message of messages) socket.send(message);
      if (info.unanswered > ASK_AFTER && !info.asked) {
        info.asked = true;
        socket.send(question);
      }
    } catch {
      // A client that is gone; the platform says so in time.
      info.live = false;
    }
  }
}
