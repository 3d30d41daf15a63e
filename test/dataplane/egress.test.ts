/** The ladder of refusals of sendmmsg(2), each rung of native-notes/calls.md, over a scripted kernel. */
import assert from 'node:assert/strict';
import test, { afterEach, describe } from 'node:test';
import * as counters from '../../src/dataplane/counters.ts';
import * as errno from '../../src/sys/errno.ts';
import {
  type Ask,
  createEgressRig,
  type EgressRig,
  type Message,
  PATH_MTU,
  type RigOptions,
  type Script,
} from '../support/egress-rig.ts';
import { withSeed } from '../support/random.ts';

const EPERM = 1;
const OUTER = 28;
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

const isRun = (message: Message | undefined) => (message?.numbers.length ?? 0) > 1;
const tooLong = (message: Message) => Math.max(...message.sizes) + OUTER > PATH_MTU;
const numbers = (messages: readonly Message[]) => messages.flatMap((each) => each.numbers);
const upTo = (count: number) => Array.from({ length: count }, (_, number) => number);

/** The kernel takes messages until one that `refusal` names an errno for; 0 for none. */
function refusing(refusal: (message: Message, ask: Ask) => number): (ask: Ask) => number {
  return (ask) => {
    const codes = ask.messages.map((message) => refusal(message, ask));
    const taken = codes.findIndex((code) => code !== 0);
    if (taken < 0) return codes.length;
    return taken > 0 ? taken : -codes[0]!;
  };
}

/** Each datagram ended in exactly one of sent or dropped, and every call was counted. */
function assertConserved(): void {
  const { block, accounts } = rig;
  const dropped = Object.values(rig.drops()).reduce((a, b) => a + b, 0);
  const gone = numbers(rig.sent);
  assert.equal(new Set(gone).size, gone.length, 'nothing is sent twice');
  assert.equal(gone.length + dropped, rig.pushed);
  const bytes = rig.sent.flatMap(({ sizes }) => sizes).reduce((a, b) => a + b, 0);
  assert.equal(block[counters.PACKETS], gone.length);
  assert.equal(block[counters.DATAGRAMS], gone.length);
  assert.equal(block[counters.INNER_BYTES], bytes);
  assert.equal(block[counters.OUTER_BYTES], bytes + OUTER * gone.length);
  assert.equal(block[counters.RUN_HISTOGRAM + counters.HISTOGRAM_BUCKETS], gone.length);
  const inAccounts = (slot: number) =>
    accounts.reduce((sum, n, i) => (i % counters.ACCOUNT_SLOTS === slot ? sum + n : sum), 0);
  assert.equal(inAccounts(counters.ACCOUNT_PACKETS), gone.length);
  assert.equal(inAccounts(counters.ACCOUNT_BYTES), bytes);
  assert.equal(inAccounts(counters.ACCOUNT_DROPS), dropped);
  const { ok, again, error } = rig.callCounts(counters.CALL_SENDMMSG);
  assert.equal(ok + again + error, rig.calls.length);
  const polls = rig.callCounts(counters.CALL_POLL);
  assert.equal(polls.ok + polls.again, rig.waits.length);
  assert.equal(rig.fragmenting.size, 0, 'DF is set again');
}

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
    assertConserved();
  });

  test('gets what it left over in the next call', () => {
    build({ send: ({ messages }) => Math.min(messages.length, 3) });
    for (let i = 0; i < 20; i++) rig.add({ size: 100 + i });
    rig.flush();
    assert.deepEqual(numbers(rig.sent), upTo(20));
    assert.equal(rig.calls.length, 7);
    assertConserved();
  });
});

describe('a full send buffer', () => {
  test('is waited for, and what waited goes', () => {
    build({ send: ({ call, messages }) => (call < 3 ? -errno.EAGAIN : messages.length) });
    rig.addMany(10);
    rig.flush();
    assert.equal(rig.waits.length, 3);
    assert.deepEqual(numbers(rig.sent), upTo(10));
    assert.deepEqual(rig.callCounts(counters.CALL_SENDMMSG), { ok: 1, again: 3, error: 0 });
    assertConserved();
  });

  /** A poll that runs into its timeout. */
  const timesOut = (milliseconds: number) => {
    rig.pass(milliseconds);
    return 0;
  };

  test('costs a flush one budget, however many runs it holds', () => {
    build({ send: () => -errno.EAGAIN, poll: timesOut });
    for (let peer = 0; peer < 200; peer++) rig.add({ size: 1000 + peer });
    rig.flush();
    assert.equal(rig.now, BUDGET_MS * 1000);
    assert.deepEqual(rig.drops(), { socket_full: 200 });
    assert.deepEqual(rig.callCounts(counters.CALL_POLL), { ok: 0, again: 1, error: 0 });
    assertConserved();
    rig.add();
    rig.flush();
    assert.equal(rig.now, 2 * BUDGET_MS * 1000, 'the next flush has a budget of its own');
  });

  test('costs no more where datagrams leave one by one', () => {
    const send = refusing((_, { fragments }) => (fragments ? errno.EAGAIN : errno.EMSGSIZE));
    build({ send, poll: timesOut });
    rig.addMany(1840, { size: 1400, dontFragment: false });
    rig.flush();
    assert.equal(rig.now, BUDGET_MS * 1000);
    assert.deepEqual(rig.drops(), { socket_full: 1840 });
    assertConserved();
  });

  test('that frees a little at a time is waited for no longer in all', () => {
    let room = 0;
    const poll = () => {
      rig.pass(9);
      room = 1;
      return 1;
    };
    build({ send: () => (room > 0 ? room-- : -errno.EAGAIN), poll });
    for (let i = 0; i < 40; i++) rig.add({ size: 100 + i });
    rig.flush();
    assert.equal(rig.sent.length, 6);
    assert.ok(rig.now <= (BUDGET_MS + 9) * 1000, `${rig.now}`);
    assertConserved();
  });

  test('that poll calls writable, and that is not, spins for a bounded number of calls', () => {
    build({ send: () => -errno.EAGAIN });
    rig.addMany(3);
    rig.flush();
    assert.ok(rig.waits.length <= 500, `${rig.waits.length} waits`);
    assert.deepEqual(rig.drops(), { socket_full: 3 });
  });

  test('is not waited for by a pump that is to stop', () => {
    build({ send: () => -errno.EAGAIN });
    rig.wake = true;
    rig.addMany(3);
    rig.add({ size: 2000 });
    rig.flush();
    assert.equal(rig.waits.length, 1);
    assert.deepEqual(rig.drops(), { socket_full: 4 });
  });

  test('of the device is not waited for', () => {
    for (const code of [errno.ENOBUFS, errno.ENOMEM]) {
      build({ send: refusing(({ peer }) => (peer === SICK ? code : 0)) });
      rig.addMany(5, { peer: SICK });
      rig.addMany(5, { peer: HEALTHY });
      rig.flush();
      assert.deepEqual(rig.drops(), { socket_full: 5 });
      assert.deepEqual(rig.waits, []);
      assertConserved();
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
    assertConserved();
    rig.restore();
  }
});

describe('datagrams over the path MTU', () => {
  const overPath = refusing((each, { fragments }) =>
    !fragments && tooLong(each) ? errno.EMSGSIZE : 0,
  );

  test('with DF are dropped, and the sender of each packet is told once', () => {
    build({ send: overPath });
    rig.addMany(20, { size: 1450, packet: 1 });
    rig.addMany(20, { size: 1450, packet: 2 });
    rig.flush();
    assert.deepEqual(rig.drops(), { too_big: 40 });
    const mtu = PATH_MTU - OUTER;
    assert.deepEqual(rig.told, [
      { packet: 1, mtu },
      { packet: 2, mtu },
    ]);
    assertConserved();
  });

  test('tell nobody an MTU that the kernel cannot tell us', () => {
    build({ send: overPath, pathMtu: 0 });
    rig.add({ size: 1450 });
    rig.flush();
    assert.deepEqual(rig.drops(), { too_big: 1 });
    assert.deepEqual(rig.told, []);
  });

  test('do not hold back the shorter one behind them', () => {
    build({ send: overPath });
    rig.addMany(3, { size: 1450 });
    const last = rig.add({ size: 100 });
    rig.flush();
    assert.deepEqual(numbers(rig.sent), [last]);
    assert.deepEqual(rig.drops(), { too_big: 3 });
    assertConserved();
  });

  test('may end in a shorter one that is too long as well', () => {
    build({ send: overPath });
    rig.addMany(3, { size: 1450 });
    rig.add({ size: 1400 });
    rig.flush();
    assert.deepEqual(rig.drops(), { too_big: 4 });
    assertConserved();
  });

  test('may end in a shorter one that meets a full buffer, and whose sender is not told', () => {
    const send = refusing((each) => (tooLong(each) ? errno.EMSGSIZE : errno.EAGAIN));
    build({ send, poll: () => 0 });
    rig.addMany(3, { size: 1450, packet: 1 });
    rig.add({ size: 100, packet: 2 });
    rig.flush();
    assert.deepEqual(rig.drops(), { too_big: 3, socket_full: 1 });
    assert.deepEqual(
      rig.told.map(({ packet }) => packet),
      [1],
    );
    assertConserved();
  });

  test('without DF leave by the same socket, in order, and may be fragmented there alone', () => {
    build({ send: overPath }, { lanes: 2 });
    rig.addMany(2, { size: 100, lane: 1 });
    rig.addMany(5, { size: 1450, lane: 1, dontFragment: false });
    rig.addMany(2, { size: 90, lane: 1 });
    rig.flush();
    assert.deepEqual(numbers(rig.sent), upTo(9));
    assert.deepEqual(new Set(rig.calls.map(({ fd }) => fd)), new Set([101]));
    const fragmented = rig.calls.filter(({ fragments }) => fragments);
    const alone = fragmented.map(({ messages }) => messages.length);
    assert.deepEqual(alone, [1, 1, 1, 1, 1]);
    assert.ok(fragmented.every(({ messages }) => tooLong(messages[0]!)));
    assert.equal(rig.block[counters.OUTER_FRAGMENTED], 5);
    assert.deepEqual(rig.told, []);
    assertConserved();
  });

  test('without DF are tried again where another pump has set DF meanwhile', () => {
    let meddling = 1;
    const send = refusing((each, { fragments }) => {
      if (fragments && meddling-- > 0) return errno.EMSGSIZE;
      return !fragments && tooLong(each) ? errno.EMSGSIZE : 0;
    });
    build({ send }, { lanes: 2 });
    rig.add({ size: 1450, dontFragment: false });
    rig.flush();
    assert.equal(rig.block[counters.OUTER_FRAGMENTED], 1);
    assertConserved();
  });

  test('that no socket takes are counted by what the kernel said', () => {
    const cases: [number, string][] = [
      [errno.ENETUNREACH, 'send_refused'],
      [errno.ENOBUFS, 'socket_full'],
      [errno.EMSGSIZE, 'send_refused'],
    ];
    for (const [code, reason] of cases) {
      build({ send: refusing((_, { fragments }) => (fragments ? code : errno.EMSGSIZE)) });
      rig.addMany(3, { size: 1450, dontFragment: false });
      rig.flush();
      assert.deepEqual(rig.drops(), { [reason]: 3 });
      assert.equal(rig.block[counters.OUTER_FRAGMENTED], 0);
      assert.deepEqual(rig.told, []);
      assertConserved();
      rig.restore();
    }
  });
});

describe('runs that are refused', () => {
  const BOTH = [errno.EIO, errno.EINVAL];

  test('while their datagrams go take the rung, once, and everything leaves in order', () => {
    for (const code of BOTH) {
      build({ send: refusing((each) => (isRun(each) ? code : 0)) });
      rig.add({ size: 900, peer: HEALTHY + 1 });
      rig.addMany(10);
      rig.addMany(10, { size: 500 });
      rig.flush();
      rig.addMany(10);
      rig.flush();
      assert.deepEqual(numbers(rig.sent), upTo(31));
      assert.equal(rig.lowered, 1);
      assert.equal(rig.limits.datagrams, 1);
      assert.deepEqual(rig.drops(), {});
      // One run, its first datagram, its rest as a run; then never again.
      assert.equal(rig.calls.flatMap(({ messages }) => messages.filter(isRun)).length < 8, true);
      assertConserved();
      rig.restore();
    }
  });

  test('and hold two take the rung too', () => {
    for (const code of BOTH) {
      build({ send: refusing((each) => (isRun(each) ? code : 0)) });
      rig.addMany(2);
      rig.flush();
      assert.deepEqual(numbers(rig.sent), [0, 1]);
      assert.equal(rig.lowered, 1);
      assertConserved();
      rig.restore();
    }
  });

  test('where single datagrams are too leave the rung to the other peers', () => {
    for (const code of BOTH) {
      build({ send: refusing(({ peer }) => (peer === SICK ? code : 0)) });
      rig.addMany(10, { peer: SICK });
      rig.addMany(10, { peer: HEALTHY });
      rig.flush();
      assert.equal(rig.lowered, 0);
      assert.equal(rig.limits.datagrams, 127);
      assert.deepEqual(rig.drops(), { send_refused: 10 });
      assert.deepEqual(
        rig.sent.map(({ numbers }) => numbers.length),
        [10],
      );
      assertConserved();
      rig.restore();
    }
  });

  test('with EINVAL over the path MTU are too big', () => {
    const send = refusing((each) => {
      if (!tooLong(each)) return 0;
      return isRun(each) ? errno.EINVAL : errno.EMSGSIZE;
    });
    build({ send });
    rig.addMany(10, { size: 1450, packet: 1 });
    const last = rig.add({ size: 100 });
    rig.flush();
    assert.deepEqual(rig.drops(), { too_big: 10 });
    assert.equal(rig.told.length, 1);
    assert.deepEqual(numbers(rig.sent), [last]);
    assert.equal(rig.lowered, 0);
    assertConserved();
  });

  test('at a moment when a route comes back keep the rung', () => {
    build({ send: ({ call, messages }) => (call === 0 ? -errno.EINVAL : messages.length) });
    rig.addMany(10);
    rig.flush();
    assert.deepEqual(numbers(rig.sent), upTo(10));
    assert.equal(rig.lowered, 0);
    assert.deepEqual(
      rig.sent.map(({ numbers }) => numbers.length),
      [1, 9],
    );
    assertConserved();
  });

  test('at a moment when the buffer fills up are dropped for that, and keep the rung', () => {
    build({ send: ({ call }) => (call === 0 ? -errno.EINVAL : -errno.EAGAIN), poll: () => 0 });
    rig.addMany(10);
    rig.flush();
    assert.deepEqual(rig.drops(), { socket_full: 10 });
    assert.equal(rig.lowered, 0);
    assertConserved();
  });

  test('leave no rung to take where datagrams go one by one already', () => {
    build({ send: () => -errno.EINVAL }, { datagrams: 1 });
    rig.addMany(3);
    rig.flush();
    assert.deepEqual(rig.drops(), { send_refused: 3 });
    assert.equal(rig.lowered, 0);
    assertConserved();
  });
});

test('whatever the kernel says, each datagram is sent once or counted once', () => {
  const codes = [EPERM, errno.EIO, errno.EAGAIN, errno.ENOMEM, errno.EINVAL, errno.EMSGSIZE];
  withSeed((random) => {
    for (let round = 0; round < 400; round++) {
      const often = random.pick([2, 5, 50]);
      const send = ({ messages }: Ask) =>
        random.oneIn(often) ? -random.pick(codes) : random.between(1, messages.length);
      const poll = (milliseconds: number) => {
        rig.pass(random.below(milliseconds));
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
      assertConserved();
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
