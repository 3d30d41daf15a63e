import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { awaitNetworkConfig } from '../../src/lease/await-config.ts';
import { createEtcdSource } from '../../src/lease/etcd/source.ts';
import { type NetworkReading, parseNetworkConfig } from '../../src/lease/network.ts';
import type { LeaseSource } from '../../src/lease/source.ts';
import { openCutLine } from '../support/cut-line.ts';
import { type Etcd, startEtcd } from '../support/etcd.ts';
import { waitFor, waitOut } from '../support/waitfor.ts';
import { LogBook } from './mirror.ts';

const PAUSES = { pausesMs: { first: 5, last: 20 } };

const GOOD = parseNetworkConfig('{"Network":"10.5.0.0/16"}');
assert.ok(GOOD.ok);
const CONFIG: NetworkReading = { kind: 'config', config: GOOD.config };
const MISSING: NetworkReading = { kind: 'missing', where: 'here' };
const bad = (...faults: string[]): NetworkReading => ({ kind: 'bad', where: 'here', faults });
const away = (reason: string): NetworkReading => ({ kind: 'unreachable', reason });

/** A source that finds one thing after the other, and the last one for ever. */
function sourceOf(readings: readonly NetworkReading[]): LeaseSource & { asked(): number } {
  let asked = 0;
  return {
    name: 'a place',
    watch: () => async () => undefined,
    whole: true,
    status: () => ({
      state: 'connecting',
      reason: '',
      lastSyncSeconds: 0,
      resyncs: 0,
      failures: 0,
    }),
    config: async () => {
      asked += 1;
      return readings[Math.min(asked, readings.length) - 1]!;
    },
    asked: () => asked,
  };
}

describe('waiting for the network config', () => {
  const { signal } = new AbortController();

  test('one that is there is taken without a word', async () => {
    const book = new LogBook();
    const source = sourceOf([CONFIG]);
    assert.equal(await awaitNetworkConfig(source, book.log, signal), GOOD.config);
    assert.deepEqual([source.asked(), book.lines.length], [1, 0]);
  });

  test('each trouble is said once, with all faults at once, until it is another', async () => {
    const book = new LogBook();
    const waiting: string[] = [];
    const readings = [
      ...[away('one word'), away('another word'), MISSING, MISSING, MISSING],
      ...[bad('Network: x', 'SubnetLen: y'), bad('Network: x', 'SubnetLen: y'), bad('Network: x')],
      ...[MISSING, CONFIG],
    ];
    const options = { ...PAUSES, waiting: (reason: string) => waiting.push(reason) };
    await awaitNetworkConfig(sourceOf(readings), book.log, signal, options);
    assert.deepEqual(waiting, [
      'the network config cannot be read from a place: one word',
      "there is no network config at here: put flannel's there",
      'the network config at here cannot be used: Network: x; SubnetLen: y',
      'the network config at here cannot be used: Network: x',
      "there is no network config at here: put flannel's there",
    ]);
    assert.equal(book.warnings().length, waiting.length);
    assert.equal(book.lines.at(-1)?.msg, 'the network config is in');
  });

  test('it asks ever more seldom', async () => {
    const source = sourceOf([MISSING]);
    const given = new AbortController();
    const { log } = new LogBook();
    const waiting = awaitNetworkConfig(source, log, given.signal, {
      pausesMs: { first: 1, last: 100_000 },
    });
    await waitFor('ten tries', () => source.asked() === 10);
    // Pauses of 512 ms and more are due now; none of the short ones is left.
    await waitOut(150);
    assert.ok(source.asked() <= 11);
    given.abort(new Error('given up'));
    await assert.rejects(waiting, /given up/);
  });

  test('given up before it began, it asks nothing', async () => {
    const source = sourceOf([CONFIG]);
    const over = AbortSignal.abort(new Error('given up'));
    await assert.rejects(awaitNetworkConfig(source, new LogBook().log, over), /given up/);
    assert.equal(source.asked(), 0);
  });
});

describe('waiting for the network config in etcd', () => {
  let etcd: Etcd;
  before(async () => {
    etcd = await startEtcd();
  });
  after(() => etcd.stop());

  test('from no line to a good one', async () => {
    const line = await openCutLine(etcd.members[0]!.port);
    line.set('cut');
    const book = new LogBook();
    const options = { endpoints: [line.address], prefix: '/net', timing: { call: 500 } };
    const source = createEtcdSource({ ...options, log: book.log });
    const said = (what: RegExp, count: number) =>
      waitFor(`the line ${what}`, () => {
        return book.warnings().length === count && what.test(book.warnings()[count - 1]!);
      });
    const { signal } = new AbortController();
    const waiting = awaitNetworkConfig(source, book.log, signal, PAUSES);
    await said(/cannot be reached/, 1);
    line.set('pass');
    await said(/there is no network config at etcd .*\/net\/config/, 2);
    await etcd.put('/net/config', '{"Network":"10.5.0.0/30","EnableIPv4":7}');
    await said(/EnableIPv4.*Network|Network.*EnableIPv4/, 3);
    await etcd.put('/net/config', '{"Network":"10.5.0.0/16"}');
    assert.equal((await waiting).backend.type, 'udp');
    await line.close();
  });
});
