/** What leaves, what is waited for and what is counted, over a scripted kernel. */
import assert from 'node:assert/strict';
import test, { afterEach, describe } from 'node:test';
import * as counters from '../../src/dataplane/counters.ts';
import * as errno from '../../src/sys/errno.ts';
import type { Ask, Script } from '../support/egress-kernel.ts';
import {
  assertConserved,
  createEgressRig,
  type EgressRig,
  numbers,
  type RigOptions,
  refusing,
  upTo,
} from '../support/egress-rig.ts';
import { withSeed } from '../support/random.ts';

const EPERM = 1;
/** What all waits of one flush may take together. */
const BUDGET_MS = 50;
const HEALTHY = 2;
const SICK = 9;

let rig: EgressRig;

function build(script: Script = {}, options: RigOptions = {}): EgressRig {
  rig = createEgressRig(script, options);
  return rig;
}

afterEach(() => rig.restore());

describe('a kernel that takes all', () => {
  test('gets the batch in one call, and the next batch afresh', () => {
    build();
    rig.addMany(44, { size: 1400 });
    rig.add({ size: 100 });
    rig.add({ size: 60, typeOfService: 0xb8 });
    rig.flush();
    rig.flush();
    rig.addMany(2);
    rig.flush();
    const shapes = rig.calls.map(({ messages }) => messages.map((each) => each.numbers.length));
    assert.deepEqual(shapes, [[45, 1], [2]]);
    assert.deepEqual(
      rig.sent.map((each) => each.typeOfService),
      [0, 0xb8, 0],
    );
    assert.deepEqual(numbers(rig.sent), upTo(48));
    assertConserved(rig);
  });

  test('gets what it left over in the next call', () => {
    build({ send: ({ messages }) => Math.min(messages.length, 3) });
    for (let i = 0; i < 20; i++) rig.add({ size: 100 + i });
    rig.flush();
    assert.deepEqual(numbers(rig.sent), upTo(20));
    assert.equal(rig.calls.length, 7);
    assertConserved(rig);
  });
});

describe('a full send buffer', () => {
  test('is waited for, and what waited goes', () => {
    build({ send: ({ call, messages }) => (call < 3 ? -errno.EAGAIN : messages.length) });
    rig.addMany(10);
    rig.flush();
    assert.equal(rig.kernel.waits.length, 3);
    assert.deepEqual(numbers(rig.sent), upTo(10));
    assert.deepEqual(rig.callCounts(counters.CALL_SENDMMSG), { ok: 1, again: 3, error: 0 });
    assertConserved(rig);
  });

  /** A poll that runs into its timeout. */
  const timesOut = (milliseconds: number) => {
    rig.kernel.pass(milliseconds);
    return 0;
  };

  test('costs a flush one budget, however many runs it holds', () => {
    build({ send: () => -errno.EAGAIN, poll: timesOut });
    for (let peer = 0; peer < 200; peer++) rig.add({ size: 1000 + peer });
    rig.flush();
    assert.equal(rig.kernel.now, BUDGET_MS * 1000);
    assert.deepEqual(rig.drops(), { socket_full: 200 });
    assert.deepEqual(rig.callCounts(counters.CALL_POLL), { ok: 0, again: 1, error: 0 });
    assertConserved(rig);
    rig.add();
    rig.flush();
    assert.equal(rig.kernel.now, 2 * BUDGET_MS * 1000, 'the next flush has a budget of its own');
  });

  test('costs no more where datagrams leave one by one', () => {
    const send = refusing((_, { fragments }) => (fragments ? errno.EAGAIN : errno.EMSGSIZE));
    build({ send, poll: timesOut });
    rig.addMany(1840, { size: 1400, dontFragment: false });
    rig.flush();
    assert.equal(rig.kernel.now, BUDGET_MS * 1000);
    assert.deepEqual(rig.drops(), { socket_full: 1840 });
    assertConserved(rig);
  });

  test('that frees a little at a time is waited for no longer in all', () => {
    let room = 0;
    const poll = () => {
      rig.kernel.pass(9);
      room = 1;
      return 1;
    };
    build({ send: () => (room > 0 ? room-- : -errno.EAGAIN), poll });
    for (let i = 0; i < 40; i++) rig.add({ size: 100 + i });
    rig.flush();
    assert.equal(rig.sent.length, 6);
    assert.ok(rig.kernel.now <= (BUDGET_MS + 9) * 1000, `${rig.kernel.now}`);
    assertConserved(rig);
  });

  test('that poll calls writable, and that is not, spins for a bounded number of calls', () => {
    build({ send: () => -errno.EAGAIN });
    rig.addMany(3);
    rig.flush();
    assert.ok(rig.kernel.waits.length <= 500, `${rig.kernel.waits.length} waits`);
    assert.deepEqual(rig.drops(), { socket_full: 3 });
  });

  test('is not waited for by a pump that is to stop', () => {
    build({ send: () => -errno.EAGAIN });
    rig.kernel.wake = true;
    rig.addMany(3);
    rig.add({ size: 2000 });
    rig.flush();
    assert.equal(rig.kernel.waits.length, 1);
    assert.deepEqual(rig.drops(), { socket_full: 4 });
  });

  test('of the device is not waited for', () => {
    for (const code of [errno.ENOBUFS, errno.ENOMEM]) {
      build({ send: refusing(({ peer }) => (peer === SICK ? code : 0)) });
      rig.addMany(5, { peer: SICK });
      rig.addMany(5, { peer: HEALTHY });
      rig.flush();
      assert.deepEqual(rig.drops(), { socket_full: 5 });
      assert.deepEqual(rig.kernel.waits, []);
      assertConserved(rig);
      rig.restore();
    }
  });
});

test('a call that a signal interrupts is repeated', () => {
  build({ send: ({ call, messages }) => (call === 0 ? -errno.EINTR : messages.length) });
  rig.addMany(3);
  rig.flush();
  assert.deepEqual(numbers(rig.sent), [0, 1, 2]);
  assert.deepEqual(rig.callCounts(counters.CALL_SENDMMSG), { ok: 1, again: 0, error: 0 });
});

test('a refused run is counted, and those behind it go', () => {
  for (const code of [EPERM, errno.ENETUNREACH, errno.EHOSTUNREACH]) {
    build({ send: refusing(({ peer }) => (peer === SICK ? code : 0)) });
    rig.addMany(3, { peer: HEALTHY });
    rig.addMany(4, { peer: SICK });
    rig.addMany(3, { peer: HEALTHY, size: 1200 });
    rig.flush();
    assert.deepEqual(rig.drops(), { send_refused: 4 });
    assert.equal(rig.accounts[SICK * counters.ACCOUNT_SLOTS + counters.ACCOUNT_DROPS], 4);
    assert.equal(rig.lowered, 0);
    assertConserved(rig);
    rig.restore();
  }
});

test('whatever the kernel says, each datagram is sent once or counted once', () => {
  const codes = [EPERM, errno.EIO, errno.EAGAIN, errno.ENOMEM, errno.EINVAL, errno.EMSGSIZE];
  withSeed((random) => {
    for (let round = 0; round < 200; round++) {
      const often = random.pick([2, 5, 50]);
      const send = ({ messages }: Ask) =>
        random.oneIn(often) ? -random.pick(codes) : random.between(1, messages.length);
      const poll = (milliseconds: number) => {
        rig.kernel.pass(random.below(milliseconds));
        return random.below(2);
      };
      build({ send, poll }, { lanes: random.between(1, 4), datagrams: random.pick([1, 63]) });
      for (let flush = 0; flush < 2; flush++) {
        for (let i = random.below(100); i > 0; i--) {
          const [peer, size] = [random.between(1, 4), random.pick([60, 100, 1400])];
          const [lane, dontFragment] = [peer % 2, random.oneIn(2)];
          rig.add({ peer, size, lane, dontFragment });
        }
        rig.flush();
      }
      assertConserved(rig);
      assert.ok(rig.lowered <= 1);
      for (const peer of [1, 2, 3, 4]) {
        const gone = numbers(rig.sent.filter((message) => message.peer === peer));
        assert.deepEqual(
          gone,
          gone.toSorted((a, b) => a - b),
        );
      }
      rig.restore();
    }
  });
});
