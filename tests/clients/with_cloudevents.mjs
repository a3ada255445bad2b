// Posts updates made by `cloudevents` in every content mode, and reads with it what the edge sends of them.

import { CloudEvent, HTTP } from 'cloudevents';
import { createEventSource } from 'eventsource-client';

import { ask, finish } from '../ask.mjs';
import { post } from './signed.mjs';

const [edge, topic] = process.argv.slice(2);
const event = (data, more) =>
  new CloudEvent({ source: '/cloudevents', type: 'dev.headstart.update', subject: topic, data, trace: 'kept', ...more });
const publish = async (mode, { headers, body }) => ask('posted', mode, ...(await post(`${edge}/events`, headers, body)));

await publish('structured', HTTP.structured(event({ n: 1 })));
await publish('binary', HTTP.binary(event({ n: 2 }, { datacontenttype: 'application/json' })));
// It reads batches, and leaves writing them to JSON.
const batch = { headers: { 'content-type': 'application/cloudevents-batch+json' }, body: JSON.stringify([event({ n: 3 }), event({ n: 4 })]) };
await publish('batch', batch);
await publish('bytes', HTTP.structured(event(Buffer.from('five'), { datacontenttype: 'application/octet-stream' })));

const told = (event) => [event.validate(), event.type, event.subject, event.sequence, event.trace,
  event.data_base64 ? Buffer.from(event.data_base64, 'base64').toString() : event.data];

// As answers hold them: the latest as an event, and all in a list.
const answer = await fetch(`${edge}/topics/${topic}`);
const latest = HTTP.toEvent({ headers: Object.fromEntries(answer.headers), body: await answer.text() });
await ask('latest', latest.validate(), latest.type, latest.subject, latest.sequence, latest.trace, Buffer.from(latest.data).toString());
const { updates } = await (await fetch(`${edge}/topics/${topic}?since=0`)).json();
await ask('since', ...updates.map((update) => told(new CloudEvent(update))));

// As a stream tells them.
const streamed = [];
const source = createEventSource(`${edge}/topics/${topic}/events?last_event_id=0`);
for await (const { event, data } of source) {
  if (event === 'update') streamed.push(told(new CloudEvent(JSON.parse(data))));
  if (streamed.length === updates.length) break;
}
await ask('streamed', ...streamed);
finish();
