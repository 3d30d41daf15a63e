import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { Lookout, type LookoutOptions } from '../../../src/agent/node/lookout.ts';
import { waitFor } from '../../support/waitfor.ts';

/** A program that tells of a change at once, and then of none. */
const CHANGED_ONCE = [process.execPath, '-e', 'console.log("changed"); setInterval(() => {}, 1e9)'];
const SILENT = [process.execPath, '-e', 'setInterval(() => {}, 1e9)'];
const NEVER_MS = 1e9;

function lookout(argv: readonly string[], options: Partial<LookoutOptions> = {}) {
  const log = { warn: (sentence: string) => assert.fail(sentence) } as never;
  const count = { looks: 0 };
  const look = async () => {
    count.looks += 1;
  };
  return { count, kept: new Lookout({ look, monitor: { argv, log }, ...options }) };
}

describe('the lookout', () => {
  test('looks at a change', async () => {
    const { kept, count } = lookout(CHANGED_ONCE, { everyMs: NEVER_MS });
    await waitFor('a look', () => count.looks === 1);
    await kept.stop();
  });

  test('leaves a change that is not heeded to the timer, but looks when asked', async () => {
    let told = 0;
    const heeds = () => {
      told += 1;
      return false;
    };
    const { kept, count } = lookout(CHANGED_ONCE, { everyMs: NEVER_MS, heeds });
    await waitFor('word of the change', () => told === 1);
    assert.equal(count.looks, 0);
    await kept.look();
    assert.equal(count.looks, 1);
    await kept.stop();
  });

  test('looks every so often, and no more once stopped', async () => {
    const { kept, count } = lookout(SILENT, { everyMs: 5 });
    await waitFor('some looks', () => count.looks >= 3);
    await kept.stop();
    const { looks } = count;
    await kept.look();
    assert.equal(count.looks, looks);
    assert.ok(kept.stopped);
  });
});
