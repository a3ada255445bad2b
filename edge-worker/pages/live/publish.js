// The box to publish from. The token stays in the page's memory: it is in no address and no storage, and
// not in the field either once it is used.

import { byId, el, say } from './dom.js';
import { tokenText } from './token.js';

/** What this page calls itself as a source of updates. */
const SOURCE = '/live';

const KINDS = { accepted: 'good', duplicate: 'good', ignored: 'warn', retry: 'warn', rejected: 'bad' };

/** A random id. `crypto.randomUUID` is there on safe connections only. */
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

export class PublishBox {
  #connection;
  #own = new Set();

  /**
   * @param {import('./connection.js').Connection} connection
   * @param {(token: string | undefined) => void} onToken
   */
  constructor(connection, onToken) {
    this.#connection = connection;
    const [field, told] = [byId('token'), byId('token-told')];
    byId('token-form').addEventListener('submit', (event) => {
      event.preventDefault();
      const token = field.value.trim();
      const text = tokenText(token);
      say(told, text === undefined ? 'This is no token.' : `A token is in use. ${text}`);
      field.setAttribute('aria-invalid', String(text === undefined));
      if (text === undefined) return;
      field.value = '';
      onToken(token);
    });
    byId('token-forget').addEventListener('click', () => {
      say(told, 'The token is forgotten.');
      onToken(undefined);
    });
    byId('publish-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#publish();
    });
  }

  /** Whether this page published the update with this id. */
  isOwn(id) {
    return this.#own.has(id);
  }

  /** Shows what can be published on now, and why not. */
  settings({ topics, transport, token }) {
    byId('publish-topic').replaceChildren(...topics.map((topic) => el('option', {}, topic)));
    byId('token-forget').hidden = token === undefined;
    const missing = [token === undefined ? 'a token' : '', transport === 'ws' ? '' : 'the transport WebSocket'].filter(
      (text) => text !== '',
    );
    byId('publish-button').disabled = missing.length > 0;
    say(byId('publish-needs'), missing.length > 0 ? `Publishing needs ${missing.join(' and ')}.` : '');
  }

  async #publish() {
    const [field, told] = [byId('publish-data'), byId('publish-told')];
    const tell = (text, kind) => {
      told.className = kind;
      say(told, text);
    };
    let data;
    try {
      data = JSON.parse(field.value);
    } catch (error) {
      field.setAttribute('aria-invalid', 'true');
      tell(`This is not JSON: ${error.message}`, 'bad');
      return;
    }
    field.removeAttribute('aria-invalid');
    const id = newId();
    this.#own.add(id);
    tell('Publishing …', 'quiet');
    try {
      const update = { topic: byId('publish-topic').value, id, source: SOURCE, data, publishedat: String(Date.now()) };
      const { status, reason } = await this.#connection.publish(update);
      tell(
        reason === undefined ? `Update ${id}: ${status}.` : `Update ${id}: ${status}: ${reason}`,
        KINDS[status] ?? 'warn',
      );
    } catch (error) {
      tell(`Not published: ${error.message}`, 'bad');
    }
  }
}
