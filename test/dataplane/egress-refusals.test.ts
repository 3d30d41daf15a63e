/** Too long for the path, or refused as a run: each rung of the ladder, over a scripted kernel. */
import assert from 'node:assert/strict';
import test, { afterEach, describe } from 'node:test';
import * as counters from '../../src/dataplane/counters.ts';
import * as errno from '../../src/sys/errno.ts';
import { PATH_MTU, type Script } from '../support/egress-kernel.ts';
import {
  assertConserved,
  createEgressRig,
  type EgressRig,
  isRun,
  numbers,
  OUTER,
  type RigOptions,
  refusing,
  tooLong,
  upTo,
} from '../support/egress-rig.ts';

const HEALTHY = 2;
const SICK = 9;

let rig: EgressRig;

function build(script: Script = {}, options: RigOptions = {}): EgressRig {
  rig = createEgressRig(script, options);
  return rig;
}

afterEach(() => rig.restore());

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
    assertConserved(rig);
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
    assertConserved(rig);
  });

  test('may end in a shorter one that is too long as well', () => {
    build({ send: overPath });
    rig.addMany(3, { size: 1450 });
    rig.add({ size: 1400 });
    rig.flush();
    assert.deepEqual(rig.drops(), { too_big: 4 });
    assertConserved(rig);
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
    assertConserved(rig);
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
    assertConserved(rig);
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
    assertConserved(rig);
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
      assertConserved(rig);
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
      assertConserved(rig);
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
      assertConserved(rig);
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
      assertConserved(rig);
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
    assertConserved(rig);
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
    assertConserved(rig);
  });

  test('at a moment when the buffer fills up are dropped for that, and keep the rung', () => {
    build({ send: ({ call }) => (call === 0 ? -errno.EINVAL : -errno.EAGAIN), poll: () => 0 });
    rig.addMany(10);
    rig.flush();
    assert.deepEqual(rig.drops(), { socket_full: 10 });
    assert.equal(rig.lowered, 0);
    assertConserved(rig);
  });

  test('leave no rung to take where datagrams go one by one already', () => {
    build({ send: () => -errno.EINVAL }, { datagrams: 1 });
    rig.addMany(3);
    rig.flush();
    assert.deepEqual(rig.drops(), { send_refused: 3 });
    assert.equal(rig.lowered, 0);
    assertConserved(rig);
  });
});
