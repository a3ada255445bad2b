// What a topic may be called, and which topics the page's address names.

/** Where the address names none. */
export const DEFAULT_TOPIC = 'demo/scores';

/** Most topics of one connection. */
export const MAX_TOPICS = 32;

const NAME = /^[A-Za-z0-9._~@:+-]+(\/[A-Za-z0-9._~@:+-]+)*$/;
const RESERVED = ['events', 'ws', 'subscribers', 'acks'];

/**
 * What is wrong with a text as a topic's name; empty where nothing is. The edge's own rules.
 *
 * @param {string} text
 */
export function fault(text) {
  if (text === '') return 'A topic has a name.';
  if (text.length > 128) return 'A topic’s name has at most 128 characters.';
  const segments = text.split('/');
  if (!NAME.test(text) || segments.some((segment) => segment === '.' || segment === '..')) {
    return 'A topic’s name is made of A-Z a-z 0-9 . _ ~ @ : + - in segments joined by /, none of which is . or ..';
  }
  if (RESERVED.includes(segments.at(-1))) return 'A topic’s name may not end with events, ws, subscribers or acks.';
  return '';
}

/** @param {string} topic */
export function isPrivate(topic) {
  return topic.split('/')[0] === 'private';
}

/**
 * The topics that an address's query names, each once, and what in it names none.
 *
 * @param {string} query
 */
export function topicsOf(query) {
  const named = [...new Set(new URLSearchParams(query).getAll('topic'))];
  const good = named.filter((name) => fault(name) === '');
  const topics = good.slice(0, MAX_TOPICS);
  return {
    topics: topics.length > 0 ? topics : [DEFAULT_TOPIC],
    refused: named.filter((name) => !topics.includes(name)),
  };
}

/**
 * The query of an address that names these topics. Names need no escaping.
 *
 * @param {string[]} topics
 */
export function queryOf(topics) {
  return `?${topics.map((topic) => `topic=${topic.replaceAll('+', '%2B')}`).join('&')}`;
}
