// Who is subscribed at a Durable Object: open streams, and what hibernating WebSockets have in
// memory. Called from sockets.rs only.
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

// The streams of an object are looked after when one of them has to beat or end, and not more often than
// this. One timer for all of them: two for each cost a fifth of the time that a delivery takes, and 8 KiB
// each.
const TICK_MS = 250;

// The streams, by what they are of: an object's updates, or who is connected to its topic. Each has all
// of them by their ids, and those that are told what is broadcast by their groups.
const open = new Map();
// Ids of subscribers' streams that have ended since somebody asked, in the same way.
const ended = new Map();

function end(of, stream) {
  const streams = open.get(of);
  if (!streams?.all.delete(stream.id)) return;
  const group = streams.groups.get(stream.group);
  if (group?.delete(stream) && group.size === 0) streams.groups.delete(stream.group);
  if (streams.all.size === 0) {
    clearTimeout(streams.timer);
    open.delete(of);
  }
  // Nobody asks for those in no attachment, so keeping them would only fill the memory.
  if (stream.attachment === '') return;
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
    if (controller.desiredSize + stream.allowance > 0) {
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

// Ends the streams whose time is over, and lets the others beat that have to.
function tick(of, streams) {
  const now = Date.now();
  let next = Infinity;
  for (const stream of [...streams.all.values()]) {
    if (now >= stream.endsAt) {
      close(of, stream);
      continue;
    }
    if (now >= stream.beatsAt) {
      stream.beatsAt = now + stream.beatMs;
      write(of, stream, stream.heartbeat);
    }
    next = Math.min(next, stream.beatsAt, stream.endsAt);
  }
  streams.ticksAt = Infinity;
  if (streams.all.size > 0) setTimer(of, streams, next);
}

// Looks after the streams at this time, unless they are looked after before.
function setTimer(of, streams, at) {
  const now = Date.now();
  streams.ticksAt = Math.min(streams.ticksAt, Math.max(at, now + TICK_MS));
  // It is always set anew: streams may be left of an earlier life of the object, whose timer went with it.
  clearTimeout(streams.timer);
  streams.timer = setTimeout(() => tick(of, streams), Math.max(streams.ticksAt - now, 0));
}

function add(of, stream) {
  let streams = open.get(of);
  if (streams === undefined) {
    streams = { all: new Map(), groups: new Map(), timer: 0, ticksAt: Infinity };
    open.set(of, streams);
  }
  streams.all.set(stream.id, stream);
  setTimer(of, streams, Math.min(stream.beatsAt, stream.endsAt));
}

// A stream that says nothing but `heartbeat` until `beginStream`. It ends when the client goes or is too
// slow, or after `lifeMs`. `attachment` is what stands with it, as with a WebSocket.
export function openStream(of, id, group, attachment, heartbeat, heartbeatMs, lifeMs) {
  const now = Date.now();
  const stream = {
    id,
    group,
    attachment,
    heartbeat,
    beatMs: heartbeatMs,
    beatsAt: now + heartbeatMs,
    endsAt: now + lifeMs,
    allowance: 0,
    controller: null,
  };
  return new ReadableStream(
    {
      start(controller) {
        stream.controller = controller;
        add(of, stream);
      },
      cancel() {
        end(of, stream);
      },
    },
    new ByteLengthQueuingStrategy({ highWaterMark: MAX_UNREAD_BYTES }),
  );
}

// What waits, by its object's context, to be written into streams.
const waiting = new WeakMap();

// Does `write` once all that the object has stored is durable, and after whatever waits already. The
// platform's output gate holds back messages of WebSockets and the beginning of an answer until then, but
// not what is written into an open stream.
async function whenDurable(context, write) {
  const before = waiting.get(context);
  if (before !== undefined) {
    before.push(write);
    return;
  }
  const writes = [write];
  waiting.set(context, writes);
  while (writes.length > 0) {
    const next = writes.splice(0);
    try {
      await context.storage.sync();
    } catch {
      // What was stored is lost. The platform ends the object and its streams with it.
      break;
    }
    for (const write of next) write();
  }
  waiting.delete(context);
}

// Writes each of `first` to a stream, which is told what is broadcast from then on.
export function beginStream(context, of, id, first) {
  whenDurable(context, () => begin(of, id, first));
}

function begin(of, id, first) {
  const streams = open.get(of);
  const stream = streams?.all.get(id);
  if (stream === undefined) return;
  // What was missed may be longer than the bound: the stream begins with it whole.
  for (const bytes of first) stream.allowance += bytes.byteLength;
  const group = streams.groups.get(stream.group);
  if (group === undefined) streams.groups.set(stream.group, new Set([stream]));
  else group.add(stream);
  for (const bytes of first) write(of, stream, bytes);
}

// Opens a stream that begins with `first`, and needs neither a name nor an attachment.
export function openAndBegin(of, group, first, heartbeat, heartbeatMs, lifeMs) {
  const id = Symbol('a stream without a name');
  const stream = openStream(of, id, group, '', heartbeat, heartbeatMs, lifeMs);
  begin(of, id, [first]);
  return stream;
}

// Writes `last` to all streams of a group and ends them.
export function finishStreams(context, of, group, last) {
  whenDurable(context, () => {
    writeStreams(of, group, [last]);
    for (const stream of [...(open.get(of)?.groups.get(group) ?? [])]) close(of, stream);
  });
}

// Ends a stream.
export function endStream(of, id) {
  const stream = open.get(of)?.all.get(id);
  if (stream !== undefined) close(of, stream);
}

// What stands with the streams that are told what is broadcast. The others, which were about to be when
// the object ended, are ended.
export function streamAttachments(of) {
  const streams = open.get(of);
  if (streams === undefined) return [];
  const attachments = [];
  for (const stream of [...streams.all.values()]) {
    if (streams.groups.get(stream.group)?.has(stream)) attachments.push(stream.attachment);
    else close(of, stream);
  }
  return attachments;
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

// Hands a WebSocket to the platform, which keeps it while the object sleeps. It is told nothing until
// `goLive`.
export function acceptSocket(context, socket, group, attachment) {
  context.acceptWebSocket(socket, [group]);
  socket.serializeAttachment([false, attachment]);
}

// Changes what stands with a WebSocket.
export function attach(socket, attachment) {
  socket.serializeAttachment([socketInfo(socket).live, attachment]);
}

// A WebSocket is told what is broadcast from now on.
export function goLive(socket) {
  socketInfo(socket).live = true;
  attach(socket, attachment(socket));
}

// Whether a WebSocket is told what is broadcast.
export function isLive(socket) {
  return socketInfo(socket).live;
}

// What stands with a WebSocket.
export function attachment(socket) {
  return socket.deserializeAttachment()?.[1] ?? '';
}

// A WebSocket's client has been heard.
export function heard(socket) {
  const info = socketInfo(socket);
  info.unanswered = 0;
  info.asked = false;
}

// How many streams there are.
export function streamCount(of) {
  return open.get(of)?.all.size ?? 0;
}

// How many streams of a group there are.
export function groupCount(of, group) {
  return open.get(of)?.groups.get(group)?.size ?? 0;
}

// The ids of the streams that have ended since the last time, one line each.
export function takeEnded(of) {
  const ids = ended.get(of) ?? [];
  ended.delete(of);
  return ids.join('\n');
}

// Writes each of `messages`, which are bytes, to every stream of a group, once it is durable.
export function tellStreams(context, of, group, messages) {
  whenDurable(context, () => writeStreams(of, group, messages));
}

// The same at once: of what is nowhere stored.
export function writeStreams(of, group, messages) {
  for (const stream of [...(open.get(of)?.groups.get(group) ?? [])]) {
    for (const bytes of messages) write(of, stream, bytes);
  }
}

// Sends each of `messages`, which are bytes or text, to every live WebSocket of a group. One that has not
// said anything for long is sent each of `question`.
export function sendSockets(context, group, messages, question) {
  let length = 0;
  for (const message of messages) length += message.length;
  for (const socket of context.getWebSockets(group)) {
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
        for (const message of question) socket.send(message);
      }
    } catch {
      // A client that is gone; the platform says so in time.
      info.live = false;
    }
  }
}
