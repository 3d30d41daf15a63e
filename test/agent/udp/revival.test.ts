import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { Revival } from '../../../src/agent/udp/revival.ts';

describe('the pause before a deleted device is made anew', () => {
  test('is none at first, and doubles up to half a minute while it goes on', () => {
    const revival = new Revival();
    let now = 0;
    const pauses = Array.from({ length: 8 }, () => {
      const pause = revival.pause(now);
      now += pause + 500;
      return pause;
    });
    assert.deepEqual(pauses, [0, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  });

  test('is none again after a minute without a deletion', () => {
    const revival = new Revival();
    assert.deepEqual(
      [0, 500, 2_000].map((now) => revival.pause(now)),
      [0, 1_000, 2_000],
    );
    assert.equal(revival.pause(4_000 + 60_001), 0);
    assert.equal(revival.pause(4_000 + 60_002), 1_000);
  });
});
