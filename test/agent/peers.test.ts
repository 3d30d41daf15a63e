import assert from 'node:assert/strict';
import test, { afterEach, beforeEach, describe } from 'node:test';
import { NO_STATUS, type Peers, watchPeers } from '../../src/agent/peers.ts';
import { PeerTable } from '../../src/agent/udp/peer-table.ts';
import { createAccounts } from '../../src/dataplane/accounts.ts';
import { ACCOUNT_BLOCK } from '../../src/dataplane/counters.ts';
import { tableCapacity } from '../../src/forwarding/compile.ts';
import {
  attach,
  createPublication,
  enter,
  type Publication,
  park,
} from '../../src/forwarding/publication.ts';
import { isSuspended, lookup } from '../../src/forwarding/table.ts';
import { reachableByUdp } from '../../src/lease/admission.ts';
import type { LeaseSink, LeaseSource } from '../../src/lease/source.ts';
import { createLog } from '../../src/log.ts';
import { parseAddress4, parsePrefix4 } from '../../src/wire/address.ts';
import { peerAddress } from '../support/ipv4-peers.ts';
import { waitFor, waitOut } from '../support/waitfor.ts';

const network = parsePrefix4('10.1.0.0/16')!;
const own = { subnet: parsePrefix4('10.1.5.0/24')!, publicAddress: parseAddress4('192.0.2.1')! };

/** Leases of that many nodes, in flannel's form. */
function entries(count: number, from = 10) {
  return Array.from({ length: count }, (_, index) => ({
    key: `10.1.${from + index}.0-24`,
    value: JSON.stringify({ PublicIP: `192.0.2.${from + index}`, PublicIPv6: null }),
    order: index,
  }));
}

describe('the table of peers', () => {
  let sink: LeaseSink;
  let stopped: boolean;
  let publication: Publication;
  let table: PeerTable;
  let peers: Peers;
  let told: number[];

  beforeEach(() => {
    stopped = false;
    told = [];
    const source: LeaseSource = {
      name: 'a list in memory',
      whole: true,
      watch: (given) => {
        sink = given;
        return async () => {
          stopped = true;
        };
      },
      status: () => NO_STATUS,
    };
    publication = createPublication(1, tableCapacity(network, 100));
    const { log } = createLog({ level: 'silent', format: 'json' });
    const published = (count: number) => told.push(count);
    const accounts = createAccounts(new SharedArrayBuffer(2 * ACCOUNT_BLOCK * 8), 1);
    const overlay = { network, subnet: own.subnet, port: 8285 };
    table = new PeerTable({ publication, accounts, ...overlay, log, published });
    peers = watchPeers({
      source,
      rules: { network, own, reachable: reachableByUdp },
      log,
      changed: (_, changes) => table.change(changes),
    });
  });

  afterEach(async () => {
    await peers.stop();
    table.stop();
    assert.ok(stopped);
  });

  const published = (count: number) =>
    waitFor(`publication ${count}`, () => table.publications >= count);

  test('is published with the first list, even an empty one, and then only on change', async () => {
    assert.equal(table.publications, 0);
    sink.snapshot([]);
    await published(1);
    sink.snapshot([]);
    sink.snapshot(entries(1));
    await published(2);
    assert.deepEqual(told, [1, 2]);
    assert.equal(peers.counts().peers, 1);
  });

  test('reaches readers, follows moves and removals', async () => {
    const reader = attach(publication.memory, 0);
    const peerOf = (address: string) => {
      const peer = lookup(enter(reader), parseAddress4(address)!);
      park(reader);
      return peer;
    };
    sink.snapshot(entries(2));
    await published(1);
    const first = peerOf('10.1.10.7');
    assert.ok(first >= 0);
    assert.notEqual(peerOf('10.1.11.7'), first);
    sink.changes([{ kind: 'delete', key: '10.1.10.0-24' }]);
    await published(2);
    assert.ok(peerOf('10.1.10.7') < 0);
    assert.ok(peerOf('10.1.11.7') >= 0);
  });

  test('becomes one for a burst of events', async () => {
    sink.snapshot([]);
    await published(1);
    for (const entry of entries(100)) sink.changes([{ kind: 'put', entry }]);
    await waitFor('the burst', () => peers.counts().peers === 100 && told.length > 1);
    assert.ok(table.publications <= 4, `${table.publications} tables for one burst`);
  });

  test('changes once for all events of one answer', async () => {
    sink.snapshot(entries(50));
    await published(1);
    const moved = entries(50).map((entry) => ({
      kind: 'put' as const,
      entry: { ...entry, value: JSON.stringify({ PublicIP: '198.51.100.7' }), order: 100 },
    }));
    sink.changes(moved);
    await published(2);
    const reader = attach(publication.memory, 0);
    const bytes = enter(reader);
    const found = entries(50).map((_, at) => lookup(bytes, network.network + (10 + at) * 256));
    assert.deepEqual(
      found.map((slot) => peerAddress(bytes, slot)),
      found.map(() => parseAddress4('198.51.100.7')),
    );
    park(reader);
    await waitOut(20);
    assert.deepEqual(told, [1, 2]);
  });

  test('holds the rows of a set alone, and goes on from them', async () => {
    const reader = attach(publication.memory, 0);
    const isThere = (third: number) => {
      const is = lookup(enter(reader), network.network + third * 256) >= 0;
      park(reader);
      return is;
    };
    const row = (third: number) => ({
      network: network.network + third * 256,
      length: 24,
      peer: 7,
    });
    table.change([row(20), row(21)]);
    table.set([row(22), row(23)]);
    assert.deepEqual([20, 21, 22, 23].map(isThere), [false, false, true, true]);
    table.change([{ ...row(22), peer: 0 }, row(24)]);
    assert.deepEqual([20, 21, 22, 23, 24].map(isThere), [false, false, false, true, true]);
  });

  test('is empty while suspended, whatever changes, and whole again after it', async () => {
    const reader = attach(publication.memory, 0);
    const row = (third: number) => ({
      network: network.network + third * 256,
      length: 24,
      peer: 7,
    });
    const look = () => {
      const bytes = enter(reader);
      const there = [20, 21].map((third) => lookup(bytes, row(third).network) >= 0);
      park(reader);
      return [isSuspended(bytes), ...there];
    };
    table.set([row(20)]);
    table.set([row(20)], true);
    assert.deepEqual(look(), [true, false, false]);
    table.change([row(21)]);
    table.change([row(20)]);
    assert.deepEqual(look(), [true, false, false]);
    table.set([row(20), row(21)]);
    assert.deepEqual(look(), [false, true, true]);
    table.change([{ ...row(20), peer: 0 }]);
    assert.deepEqual(look(), [false, false, true]);
  });

  test('keeps what could not be published yet, the last of each subnet', async () => {
    const reader = attach(publication.memory, 0);
    const row = { network: network.network + 20 * 256, length: 24, peer: 7 };
    table.change([row]);
    enter(reader);
    table.change([{ ...row, peer: 8 }]);
    for (let peer = 9; peer < 1000; peer++) table.change([{ ...row, peer }]);
    assert.equal(table.publications, 2);
    park(reader);
    await published(3);
    const bytes = enter(reader);
    assert.equal(peerAddress(bytes, lookup(bytes, row.network)), 999);
    park(reader);
  });

  test('waits for a reader that holds the idle copy, and is published in the end', async () => {
    const reader = attach(publication.memory, 0);
    sink.snapshot(entries(1));
    await published(1);
    enter(reader);
    sink.snapshot(entries(2));
    await published(2);
    // The reader is still in the first copy, which the third table needs.
    sink.snapshot(entries(3));
    // Time for several tries.
    await waitOut(50);
    assert.equal(table.publications, 2);
    park(reader);
    await published(3);
  });
});
