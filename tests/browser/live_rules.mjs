// The rules of the live page that need no browser: which hops an update made, what a topic may be called,
// who is there, what the map shows.

import assert from 'node:assert/strict';

import { commandsFor } from '../../edge-worker/pages/live/commands.js';
import { coordinates, duration } from '../../edge-worker/pages/live/format.js';
import { hopsOf } from '../../edge-worker/pages/live/hops.js';
import { gapText } from '../../edge-worker/pages/live/narrate.js';
import { percentile } from '../../edge-worker/pages/live/numbers.js';
import { labelsOf, marksOf } from '../../edge-worker/pages/live/places.js';
import { after, publicId } from '../../edge-worker/pages/live/presence.js';
import { Series, WINDOW } from '../../edge-worker/pages/live/series.js';
import { claimsOf, tokenText } from '../../edge-worker/pages/live/token.js';
import { fault, MAX_TOPICS, queryOf, topicsOf } from '../../edge-worker/pages/live/topics.js';

const rules = {
  'a hop between two clocks is marked as such, one by a single clock is not'() {
    const { hops, whole } = hopsOf({ generatedat: 90, publishedat: 100, receivedat: 95, deliveredat: 97 }, 120);
    assert.deepEqual(hops, [
      { name: 'until published', ms: 10, crossing: false },
      { name: 'to the edge', ms: -5, crossing: true },
      { name: 'in the edge', ms: 2, crossing: false },
      { name: 'to this browser', ms: 23, crossing: true },
    ]);
    assert.deepEqual(whole, { name: 'in all', ms: 30, crossing: true });
  },

  'of what the page published itself the whole way is by one clock'() {
    const { hops, whole } = hopsOf({ publishedat: 100, receivedat: 95, deliveredat: 97 }, 120, true);
    assert.deepEqual(whole, { name: 'in all', ms: 20, crossing: false });
    assert.deepEqual(
      hops.map((hop) => hop.crossing),
      [true, false, true],
    );
  },

  'stamps that are missing, or no numbers, make no hop'() {
    assert.deepEqual(hopsOf({}, 120), { hops: [], whole: undefined });
    assert.deepEqual(hopsOf({ publishedat: NaN, receivedat: Infinity, deliveredat: 100 }, 120), {
      hops: [{ name: 'to this browser', ms: 20, crossing: true }],
      whole: undefined,
    });
  },

  'topics are called as the edge wants it'() {
    for (const name of ['a', 'scores/nba', 'private/desk-7/a.b_c~d@e:f+g', 'x'.repeat(128)]) {
      assert.equal(fault(name), '', name);
    }
    for (const name of [
      '',
      '/',
      'a/',
      '/a',
      'a//b',
      'a/../b',
      '.',
      'a b',
      'a?b',
      'ä',
      '<b>',
      'a/ws',
      'events',
      'x'.repeat(129),
    ]) {
      assert.notEqual(fault(name), '', name);
    }
  },

  'an address names topics, and is made of them again'() {
    assert.deepEqual(topicsOf('').topics, ['demo/scores']);
    const topics = ['a+b', 'scores/nba', '~@:'];
    assert.deepEqual(topicsOf(queryOf(topics)), { topics, refused: [] });
    assert.deepEqual(topicsOf('?topic=a&topic=a&topic=%3Cb%3E'), { topics: ['a'], refused: ['<b>'] });
    const many = Array.from({ length: MAX_TOPICS + 1 }, (_, n) => `t${n}`);
    assert.deepEqual(topicsOf(queryOf(many)), { topics: many.slice(0, MAX_TOPICS), refused: [`t${MAX_TOPICS}`] });
  },

  'who comes, changes and leaves is in the list, and what is measured anew is told'() {
    const one = (id, last) => ({ id, place: {}, ...(last === undefined ? {} : { roundtrip: { last } }) });
    let present = after(new Map([['old', one('old')]]), 'subscribers', {
      count: 2,
      subscribers: [one('a', 9), one('b')],
    });
    assert.deepEqual([[...present.clients.keys()], present.measured], [['a', 'b'], []]);
    const changes = { count: 2, joined: [one('c')], changed: [one('b', 7)], left: ['a'] };
    present = after(present.clients, 'changes', changes);
    assert.deepEqual([[...present.clients.keys()], present.measured, present.count], [['b', 'c'], [7], 2]);
  },

  async 'a page finds itself in the list by the digest of its secret id'() {
    // The edge's own test says the same.
    assert.equal(await publicId('abc'), 'ba7816bf8f01cfea');
  },

  'clients that are near each other on the map share a mark'() {
    const at = (id, longitude, latitude, last) => ({ id, place: { longitude, latitude }, roundtrip: last && { last } });
    const clients = [at('a', 0, 0, 10), at('b', 1, 1, 30), at('c', 100, 0), { id: 'd', place: {} }];
    const { marks, unknown } = marksOf(clients, 'b', (place) => place);
    assert.equal(unknown, 1);
    assert.deepEqual(marks, [
      { x: 100, y: 0, clients: 1, own: false, roundTrip: undefined },
      { x: 0.5, y: 0.5, clients: 2, own: true, roundTrip: 10 },
    ]);
  },

  'a label covers no mark and no other label, and stays on the map'() {
    const mark = (x) => ({ x, y: 50, clients: 1, own: false });
    const text = () => '0123456789';
    assert.deepEqual(labelsOf([mark(100)], text, 400)[0].anchor, 'start');
    assert.deepEqual(labelsOf([mark(390)], text, 400)[0].anchor, 'end');
    assert.deepEqual(
      labelsOf([mark(60), mark(120)], text, 400).map((label) => label?.anchor),
      [undefined, 'start'],
    );
    assert.deepEqual(labelsOf([mark(50)], text, 100), [undefined]);
  },

  'a chart goes back so far and no further'() {
    const series = new Series(2);
    for (let second = 1; second <= WINDOW + 10; second += 1) series.add(second, [second, undefined]);
    const [times, one, other] = series.data;
    assert.deepEqual([times.length, times[0], one.at(-1), other[0]], [WINDOW, 11, WINDOW + 10, null]);
  },

  'percentiles are by nearest rank'() {
    assert.equal(percentile([], 50), undefined);
    assert.equal(percentile([3, 1, 2, 4], 50), 2);
    assert.equal(percentile([3, 1, 2, 4], 90), 4);
  },

  'a token says of itself what it opens, and anything else is none'() {
    const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const token = `${part({ alg: 'HS256' })}.${part({ exp: 7, topics: ['ä/*'], publish: [1] })}.x`;
    assert.deepEqual(claimsOf(token), { topics: ['ä/*'], publish: ['1'], expires: 7000 });
    for (const bad of ['', 'x', 'a.b.c', 'a.b.c.d', `a.${part(null)}.c`]) assert.equal(tokenText(bad), undefined, bad);
  },

  'a gap says what is lost'() {
    assert.match(gapText({ topic: 'a', after: 3, first: 9 }), /4 to 8 are lost \(5 updates\)/);
    assert.match(gapText({ topic: 'a', after: 3, first: 5 }), /4 is lost \(1 update\)/);
    assert.match(gapText({ topic: 'a', after: 9, first: 1 }), /anew/);
  },

  'numbers are written for people'() {
    assert.deepEqual([-3, 0, 999.4, 1000, 90_000, 600_000, 7_200_000].map(duration), [
      '-3 ms',
      '0 ms',
      '999 ms',
      '1.0 s',
      '90.0 s',
      '10 min',
      '2 h',
    ]);
    assert.equal(coordinates(-33.87, 151.2), '33.9°\u00a0S, 151.2°\u00a0E');
  },

  'the commands name the topic and the edge'() {
    const { publish, token } = commandsFor(['private/a', 'b'], 'http://e');
    assert.match(publish, /--edge http:\/\/e --topic 'private\/a'/);
    assert.match(token, /--topics 'private\/a' --publish 'private\/a'/);
  },

  'beside make dev the commands need nothing but the folder'() {
    for (const edge of ['http://127.0.0.1:8787', 'http://localhost:8787']) {
      const { publish, token } = commandsFor(['a'], edge);
      assert.equal(
        publish,
        `source scripts/activate.sh\norigin-publisher publish --topic 'a' --data '{"home": 71, "away": 68}'`,
      );
      assert.equal(token, `source scripts/activate.sh\norigin-publisher token --publish 'a' --ttl 1h`);
    }
  },
};

for (const [rule, check] of Object.entries(rules)) {
  try {
    await check();
  } catch (error) {
    error.message = `${rule}: ${error.message}`;
    throw error;
  }
}
