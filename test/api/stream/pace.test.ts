import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import { Allowance, Pace, PERIOD_MS } from '../../../src/api/stream/pace.ts';

/** So many packets a second come for so long; every 100 ms main sees those looked at. */
function flow(pace: Pace, perSecond: number, fromMs: number, forMs: number): number {
  let [came, part, now] = [0, 0, fromMs];
  for (; now < fromMs + forMs; now += 100) {
    part += perSecond / 10 / pace.every;
    pace.arrive(Math.floor(part), now);
    came += Math.floor(part);
    part -= Math.floor(part);
  }
  return came;
}

describe('pace', () => {
  for (const perSecond of [100, 10_000, 1_000_000]) {
    test(`${perSecond} packets a second are thinned out at once, and not too much`, () => {
      const pace = new Pace(20, 0);
      const atBegin = flow(pace, perSecond, 0, 200);
      assert.ok(atBegin <= Math.max(21, perSecond / 8), `${atBegin} came`);
      const later = flow(pace, perSecond, 200, 4_000) / 4;
      assert.ok(later > 8 && later < 45, `${later} a second`);
    });
  }

  test('packets that were taken before a change do not count again', () => {
    const pace = new Pace(20, 0);
    pace.arrive(1_000, 100);
    const { every } = pace;
    assert.equal(every, 500);
    pace.arrive(1_000, 200);
    pace.arrive(1_000, 290);
    assert.equal(pace.every, every);
  });

  test('a pause brings every packet back, by halves', () => {
    const pace = new Pace(20, 0);
    flow(pace, 100_000, 0, 1_000);
    const steps: number[] = [pace.every];
    for (let now = 1_000; pace.every > 1; now += PERIOD_MS + 250) {
      pace.arrive(0, now);
      steps.push(pace.every);
      assert.ok(steps.length < 20);
    }
    const values = [...new Set(steps)];
    const halved = values.slice(1).every((every, i) => every === Math.floor(values[i]! / 2));
    assert.ok(halved, `${steps}`);
  });

  test('an allowance is the rate, and half of it is for drops', () => {
    const allowance = new Allowance(10, 0);
    const take = (nowMs: number, isDrop: boolean) => {
      let taken = 0;
      while (allowance.take(nowMs, isDrop)) taken += 1;
      return taken;
    };
    assert.deepEqual([take(0, false), take(0, true)], [5, 5]);
    assert.deepEqual([take(500, false), take(500, true)], [0, 5]);
    assert.equal(take(60_000, true), 10, 'no more than a second is saved up');
    assert.equal(take(61_000, false), 5);
    assert.equal(take(61_100, false), 1, 'packets alone have the whole rate');
  });
});
