import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Holding } from '../../../../src/lease/etcd/own/holding.ts';
import { formatLeaseValue } from '../../../../src/lease/lease.ts';
import { attributesOf } from './tenant.ts';

const MINE = attributesOf('192.0.2.1');
const MOVED = attributesOf('192.0.2.2');
const MINUTE = 60_000;
const DAY = 86_400;

/** A lease of a day, begun at 0 and renewed an hour before its end. */
function begin(marginMs = 60 * MINUTE, seconds = DAY): Holding {
  const lease = { key: '10.5.7.0-24', subnet: { network: 0x0a050700, length: 24 }, ...MINE };
  const held = { lease, leaseId: '7', revision: 10, asOf: 10, ends: seconds * 1000, seconds };
  return new Holding(held, MINE, marginMs, 100);
}

const key = (value: string, revision: number, lease = '7') => ({ value, lease, revision });
const words = (attributes: typeof MINE) => formatLeaseValue(attributes);

describe('what is due for a lease', () => {
  test('is a renewal, the margin before the end', () => {
    const cases: readonly [marginMs: number, seconds: number, atMs: number][] = [
      [60 * MINUTE, DAY, 23 * 60 * MINUTE],
      [MINUTE, DAY, 1439 * MINUTE],
      [1439 * MINUTE, DAY, MINUTE],
      [1440 * MINUTE, DAY, 480 * MINUTE],
      [60 * MINUTE, 3, 1000],
    ];
    for (const [marginMs, seconds, atMs] of cases) {
      const holding = begin(marginMs, seconds);
      assert.deepEqual(holding.due(0), { kind: 'wait', milliseconds: atMs });
      assert.equal(holding.due(atMs).kind, 'renew');
      assert.equal(holding.isOver(seconds * 1000 - 1), false);
      assert.ok(holding.isOver(seconds * 1000));
      holding.renewed(atMs + seconds * 1000, seconds);
      assert.deepEqual(holding.due(atMs), { kind: 'wait', milliseconds: atMs });
    }
  });

  test('is a publication at once, when the node has become another', () => {
    const holding = begin();
    holding.change(MOVED);
    assert.equal(holding.due(0).kind, 'publish');
    const lease = holding.publishing();
    holding.refused(0);
    assert.deepEqual(holding.due(0), { kind: 'wait', milliseconds: 100 });
    assert.equal(holding.due(100).kind, 'publish');
    holding.published(lease, 11);
    assert.equal(holding.due(100).kind, 'wait');
    assert.equal(holding.held.lease.publicAddress, MOVED.publicAddress);
    assert.equal(holding.held.revision, 11);
  });

  test('is another publication, when it changed during the first', () => {
    const holding = begin();
    holding.change(MOVED);
    const lease = holding.publishing();
    holding.change(attributesOf('192.0.2.3'));
    holding.published(lease, 11);
    assert.equal(holding.due(0).kind, 'publish');
  });
});

describe('what a key turned out to say', () => {
  test('our words are ours, whoever wrote them', () => {
    const holding = begin();
    assert.deepEqual(holding.take(key(words(MINE), 12), 12, 0), { kind: 'ours' });
    assert.equal(holding.held.revision, 12);
    assert.equal(holding.due(0).kind, 'wait');
  });

  test("another PublicIP is another node's, and nothing is taken over", () => {
    const holding = begin();
    const found = holding.take(key(words(MOVED), 12), 12, 0);
    assert.deepEqual(found, { kind: 'foreign', publicAddress: MOVED.publicAddress });
    assert.equal(holding.held.revision, 10);
  });

  test('a write of ours whose answer was lost is ours, and so is what was there before', () => {
    const holding = begin();
    holding.change(MOVED);
    holding.publishing();
    assert.deepEqual(holding.take(key(words(MINE), 10), 12, 0), { kind: 'ours' });
    assert.equal(holding.due(0).kind, 'publish');
    assert.deepEqual(holding.take(key(words(MOVED), 13), 13, 0), { kind: 'ours' });
    assert.equal(holding.due(0).kind, 'wait');
    // The address that it had before is still its own: a late word of ours, not another node.
    assert.equal(holding.take(key(words(MINE), 14), 14, 0).kind, 'overwritten');
  });

  test('strange words are put right, at an ever slower pace', () => {
    const holding = begin();
    const pauses: number[] = [];
    let now = 0;
    for (let revision = 11; revision < 20; revision++) {
      const found = holding.take(key('{"BackendType":"x"}', revision), revision, now);
      assert.ok(found.kind === 'overwritten');
      pauses.push(found.pauseMs);
      assert.deepEqual(holding.due(now), { kind: 'wait', milliseconds: found.pauseMs });
      now += found.pauseMs;
      assert.equal(holding.due(now).kind, 'publish');
      holding.published(holding.publishing(), revision);
    }
    assert.deepEqual(pauses, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
    // After ten quiet minutes it is a new trouble.
    const found = holding.take(key('x', 30), 30, now + 11 * MINUTE);
    assert.deepEqual(found, { kind: 'overwritten', pauseMs: 1000 });
  });

  test('a key without an etcd lease has no end, and one with another is extended at once', () => {
    const holding = begin();
    holding.take(key(words(MINE), 12, '0'), 12, 5000);
    assert.equal(holding.isOver(1e12), false);
    assert.deepEqual(holding.due(5000), { kind: 'wait', milliseconds: Number.POSITIVE_INFINITY });
    holding.take(key(words(MINE), 13, '8'), 13, 6000);
    assert.equal(holding.due(6000).kind, 'renew');
    holding.renewed(6000 + DAY * 1000, DAY);
    assert.deepEqual(holding.due(6000), { kind: 'wait', milliseconds: 23 * 60 * MINUTE });
  });
});
