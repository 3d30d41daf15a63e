import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Logger } from 'pino';
import { lossNotice, manglesEqualRuns, overrideNotice } from '../../src/dataplane/features.ts';
import { createLadder } from '../../src/dataplane/ladder.ts';
import {
  controlBytes,
  FEATURES,
  type Feature,
  PUMP_FEATURES,
  PUMP_LOWERED,
  pumpSlot,
} from '../../src/dataplane/messages.ts';
import { createTeller } from '../../src/dataplane/pool.ts';
import type { PumpSetup } from '../../src/dataplane/setup.ts';

const MANGLING = ['7.0.0', '7.0.12-generic', '7.1.0', '7.1.4-2-pve'];
const HONEST = ['6.17.3', '6.18.44', '7.1.5', '7.2.0-rc1', '8.0.1', '17.0.1'];
const LOOPBACK = '127.0.0.1';

/** The ladder of an out pump whose queue was opened with everything. */
function opened(kernel: string, disabled: readonly Feature[], forced: readonly Feature[]) {
  const told = new Map<number, number>();
  const task = { direction: 'tx', bindAddress: LOOPBACK, disabled, forced };
  const setup = {
    task: { ...task, control: new SharedArrayBuffer(controlBytes(2)) },
    report: (slot: number, value: number) => told.set(slot, value),
  } as unknown as PumpSetup;
  const ladder = createLadder(setup, kernel);
  ladder.queueOpened({ fd: -1, vnetHeader: true, tso: true, uso: true });
  const isTold = (feature: Feature) =>
    ((told.get(PUMP_FEATURES) ?? 0) & (1 << FEATURES.indexOf(feature))) !== 0;
  return { ladder, isTold, lowered: () => told.get(PUMP_LOWERED) ?? 0 };
}

describe('ladder', () => {
  for (const kernel of MANGLING) {
    it(`sends no runs on ${kernel}, which mangles equal ones`, () => {
      assert.equal(manglesEqualRuns(kernel), true);
      const { ladder, isTold } = opened(kernel, [], []);
      assert.equal(ladder.has('udp_gso'), false);
      assert.equal(isTold('udp_gso'), false);
      assert.equal(ladder.has('tun_tso'), true, 'the rest is not touched');
    });
    it(`sends runs on ${kernel} where the operator says so, and tells them`, () => {
      assert.equal(opened(kernel, [], ['udp_gso']).ladder.has('udp_gso'), true);
      assert.match(overrideNotice(['udp_gso'], kernel)!, /--offload udp_gso=on/);
      assert.equal(overrideNotice(['tun_tso'], kernel), undefined);
    });
  }
  for (const kernel of HONEST) {
    it(`sends runs on ${kernel}`, () => {
      assert.equal(manglesEqualRuns(kernel), false);
      const { ladder, isTold } = opened(kernel, [], []);
      assert.equal(ladder.has('udp_gso'), true);
      assert.equal(isTold('udp_gso'), true);
      assert.equal(opened(kernel, ['udp_gso'], []).ladder.has('udp_gso'), false);
      assert.equal(overrideNotice(['udp_gso'], kernel), undefined);
    });
  }

  it('gives a rung up for good', () => {
    const { ladder, isTold, lowered } = opened('6.18.0', [], []);
    ladder.lower('udp_gso');
    assert.equal(ladder.has('udp_gso'), false);
    assert.equal(isTold('udp_gso'), false);
    assert.equal(lowered(), 1 << FEATURES.indexOf('udp_gso'));
  });
});

describe('the loss of a feature', () => {
  const tasks = [
    { worker: 0, direction: 'tx' },
    { worker: 1, direction: 'tx' },
    { worker: 0, direction: 'rx' },
    { worker: 1, direction: 'rx' },
  ] as const;

  function telling() {
    const control = new Int32Array(new SharedArrayBuffer(controlBytes(tasks.length)));
    const lines: [{ feature: Feature; worker: number; direction: string }, string][] = [];
    const log = { warn: (fields: never, text: string) => lines.push([fields, text]) };
    const tell = createTeller(control, tasks, log as unknown as Logger);
    const lower = (pump: number, feature: Feature) => {
      control[pumpSlot(pump, PUMP_LOWERED)]! |= 1 << FEATURES.indexOf(feature);
      tell();
    };
    return { lines, tell, lower };
  }

  it('is one line a feature, however many pumps meet it', () => {
    const { lines, tell, lower } = telling();
    tell();
    assert.equal(lines.length, 0);
    lower(1, 'udp_gso');
    lower(0, 'udp_gso');
    tell();
    assert.deepEqual(
      lines.map(([fields]) => fields),
      [{ feature: 'udp_gso', worker: 1, direction: 'tx' }],
    );
    lower(2, 'coalesce_tcp');
    lower(3, 'coalesce_udp');
    lower(3, 'coalesce_tcp');
    assert.deepEqual(
      lines.map(([{ feature }]) => feature),
      ['udp_gso', 'coalesce_tcp', 'coalesce_udp'],
    );
  });

  it('says what goes on worse, and what cures it', () => {
    for (const feature of FEATURES) {
      assert.match(lossNotice(feature), new RegExp(`^the kernel refused ${feature}: .+; cure: .+`));
    }
    const { lines, lower } = telling();
    lower(0, 'udp_gso');
    assert.equal(lines[0]![1], lossNotice('udp_gso'));
    assert.match(lines[0]![1], /CPU.+ethtool -K DEVICE tx on/);
  });
});
