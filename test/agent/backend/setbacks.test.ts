import assert from 'node:assert/strict';
import test, { afterEach, beforeEach, describe, mock } from 'node:test';
import { pino } from 'pino';
import { Setbacks } from '../../../src/agent/backend/reconcile/setbacks.ts';

describe('setbacks', () => {
  let said: string[];
  let setbacks: Setbacks;
  let now: number;

  const none = { refused: new Map(), waiting: new Set<string>(), failed: new Map() };
  const fail = (owner: string, line = 'x', reason = 'no') => {
    setbacks.settle({ ...none, failed: new Map([[owner, { line, reason }]]) });
  };

  beforeEach(() => {
    said = [];
    now = 1_000;
    mock.method(performance, 'now', () => now);
    const log = pino({ base: null, timestamp: false }, { write: (line) => void said.push(line) });
    setbacks = new Setbacks(log);
  });
  afterEach(() => mock.restoreAll());

  test('grow from one second to a minute', () => {
    const pauses: number[] = [];
    for (let attempt = 0; attempt < 9; attempt++) {
      fail('a');
      pauses.push((setbacks.earliest() - now) / 1000);
      now = setbacks.earliest();
    }
    assert.deepEqual(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    assert.equal(said.length, 1, 'told once, not at every try');
  });

  test('make the same line wait, and no other', () => {
    fail('a', 'route a');
    const lines = (line: string) => [...setbacks.waiting([{ owner: 'a', line }])];
    assert.deepEqual(lines('route a'), ['a']);
    assert.deepEqual(lines('route b'), [], 'the peer has moved: that is another line');
    now += 1_000;
    assert.deepEqual(lines('route a'), []);
    fail('a', 'route a');
    setbacks.forgive();
    assert.deepEqual(lines('route a'), [], 'the ground has changed');
  });

  test('end for whoever is not named any more', () => {
    fail('a');
    setbacks.settle({ ...none, waiting: new Set(['a']) });
    assert.ok(setbacks.has('a'));
    setbacks.settle(none);
    assert.equal(setbacks.size, 0);
    assert.match(said.at(-1)!, /a is no longer in trouble/);
  });

  test('of the refused are not tried again by the clock', () => {
    setbacks.settle({ ...none, refused: new Map([['a', 'no MAC']]) });
    assert.equal(setbacks.earliest(), Number.POSITIVE_INFINITY);
    assert.deepEqual(setbacks.first(), [{ subnet: 'a', reason: 'no MAC' }]);
  });

  test('of many are told by the first few', () => {
    const many = Array.from({ length: 5_000 }, (_, index) => [`${index}`, 'no'] as const);
    setbacks.settle({ ...none, refused: new Map(many) });
    assert.equal(said.length, 6);
    assert.match(said[5]!, /and 4995 more/);
    assert.equal(setbacks.first().length, 20);
    setbacks.settle(none);
    assert.equal(said.length, 7);
  });
});
