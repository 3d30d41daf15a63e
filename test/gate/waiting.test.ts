/** Waits last as long as something moves, end with what they wait for, and tell its last words. */
import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { Said, STILL_MS, Stillness } from '../support/stillness.ts';
import { announce, lookAt, type Subject, waitFor } from '../support/waitfor.ts';

/** A process as waits see it. */
function subject(state: { ended: boolean; fell?: boolean }): Subject {
  return {
    hasEnded: () => state.ended,
    hasFallen: () => state.fell === true,
    news: () => 0,
    lastWords: async () => 'it said: no more disk',
  };
}

describe('a wait', () => {
  test('hands back what its probe found, throws between or not', async () => {
    let looks = 0;
    const found = await waitFor('the third look', () => {
      looks += 1;
      if (looks === 1) throw new Error('not yet');
      return looks === 3 && 'found';
    });
    assert.equal(found, 'found');
  });

  test('ends when what it looks at has ended, with its last words', async () => {
    const state = { ended: false };
    const dying = subject(state);
    const wait = waitFor('readiness', async () => {
      await null;
      lookAt(dying);
      state.ended = true;
      return undefined;
    });
    await assert.rejects(
      wait,
      /vain for readiness: it has ended; last seen: nothing\nit said: no more/,
    );
  });

  test('looks once more after the end: the last output may have been the one', async () => {
    const state = { ended: false };
    const dying = subject(state);
    let looks = 0;
    const found = await waitFor('the last line', () => {
      lookAt(dying);
      state.ended = true;
      looks += 1;
      return looks === 2;
    });
    assert.equal(found, true);
  });

  test('ends when anything fell meanwhile that the test had started', async () => {
    const state = { ended: false, fell: false };
    const conceal = announce(subject(state));
    try {
      const wait = waitFor('a packet', () => {
        state.fell = true;
        return 0;
      });
      await assert.rejects(wait, /for a packet: it has ended; last seen: 0\nit said: no more disk/);
    } finally {
      conceal();
    }
  });

  test('does not mind what had fallen before', async () => {
    const conceal = announce(subject({ ended: true, fell: true }));
    try {
      let looks = 0;
      await waitFor('the tenth look', () => ++looks === 10);
    } finally {
      conceal();
    }
  });
});

describe('stillness', () => {
  const clock = { now: 0 };
  const still = () => new Stillness(() => clock.now);

  test('is how long no sign has changed', () => {
    const one = still();
    assert.equal(one.look('a', 1), 0);
    clock.now += 1000;
    assert.equal(one.look('a', 1), 1000);
    clock.now += 1000;
    assert.equal(one.look('a', 2), 0);
    clock.now += 1000;
    assert.equal(one.look('a', 2), 1000);
  });

  test('does not count while the machine did not run us', () => {
    const one = still();
    one.look('a');
    clock.now += 10 * STILL_MS;
    assert.ok(one.look('a') < STILL_MS / 10);
  });

  test('is not broken by a line that comes again with other numbers', () => {
    const said = new Said();
    said.take('trying again in 1.5 s (try 3)\n');
    const { news } = said;
    said.take('trying again in 30.0 s (try 4)\n');
    assert.equal(said.news, news);
    said.take('ready\n');
    assert.ok(said.news > news);
  });

  test('keeps a bounded number of lines in mind', () => {
    const said = new Said();
    const name = (i: number) => i.toString(36).replace(/\d/g, (digit) => 'ABCDEFGHIJ'[+digit]!);
    for (let i = 0; i < 100_000; i++) said.take(`${name(i)}\n`);
    assert.ok(said.news < 2_000);
  });
});
