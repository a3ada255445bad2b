import { createEventSource } from 'eventsource-client';

import { KINDS, ended, opened, told, url } from './told.mjs';

const source = createEventSource({
  url,
  onConnect: () => opened(),
  onMessage: ({ event, id, data }) => KINDS.includes(event) && told(event, id, data),
  // It comes back by itself, except after 204.
  onDisconnect: () => queueMicrotask(() => source.readyState === 'closed' && ended(204)),
});
