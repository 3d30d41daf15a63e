import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { Settler } from '../../../src/agent/node/settler.ts';
import { waitFor } from '../../support/waitfor.ts';

describe('the settler', () => {
  test('settles one at a time, and once more after the last wake-up', async () => {
    let [running, most, done] = [0, 0, 0];
    let wanted = 0;
    let settled = 0;
    const settler = new Settler({
      settle: async () => {
        running += 1;
        most = Math.max(most, running);
        const seen = wanted;
        await new Promise((resolve) => setImmediate(resolve));
        settled = seen;
        running -= 1;
        done += 1;
      },
      failed: (error) => assert.fail(error),
      recovered: () => assert.fail('nothing had failed'),
    });
    for (wanted = 1; wanted <= 200; wanted++) {
      settler.wake();
      if (wanted % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await waitFor('the last wish', () => settled === wanted - 1 || settled === wanted);
    assert.equal(most, 1);
    assert.ok(done <= 200);
    await settler.stop();
  });

  test('tries again after a failure, and says when it is over', async () => {
    const told: string[] = [];
    let tries = 0;
    const settler = new Settler({
      settle: async () => {
        tries += 1;
        if (tries === 1) throw new Error('not yet');
      },
      failed: ({ message }) => told.push(message),
      recovered: () => told.push('recovered'),
    });
    settler.wake();
    await waitFor('another try', () => told.length === 2);
    assert.deepEqual(told, ['not yet', 'recovered']);
    await settler.stop();
  });

  test('does nothing more once it is stopped, and its stop waits for what runs', async () => {
    let ended = false;
    const settler = new Settler({
      settle: async () => {
        await new Promise((resolve) => setImmediate(resolve));
        ended = true;
      },
      failed: (error) => assert.fail(error),
      recovered: () => {},
    });
    settler.wake();
    await settler.stop();
    assert.ok(ended);
    ended = false;
    settler.wake();
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(ended, false);
  });
});
