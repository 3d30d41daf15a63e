import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Peers, watchPeers } from '../../src/agent/peers.ts';
import { PeerTable } from '../../src/agent/udp/peer-table.ts';
import { createAccounts } from '../../src/dataplane/accounts.ts';
import { ACCOUNT_BLOCK } from '../../src/dataplane/counters.ts';
import { tableCapacity } from '../../src/forwarding/compile.ts';
import { attach, createPublication, enter, park } from '../../src/forwarding/publication.ts';
import { lookup } from '../../src/forwarding/table.ts';
import { reachableByUdp } from '../../src/lease/admission.ts';
import { EtcdLine } from '../../src/lease/etcd/client.ts';
import { checkEtcdOptions } from '../../src/lease/etcd/options.ts';
import { createEtcdSource } from '../../src/lease/etcd/source.ts';
import { replaceKey } from '../../src/lease/etcd/writes.ts';
import type { PeerRow } from '../../src/lease/watcher.ts';
import { createLog } from '../../src/log.ts';
import { formatAddress4, parseAddress4, parsePrefix4 } from '../../src/wire/address.ts';
import { type Etcd, startEtcd } from '../support/etcd.ts';
import { peerAddress } from '../support/ipv4-peers.ts';
import { waitFor } from '../support/waitfor.ts';

const NETWORK = parsePrefix4('10.0.0.0/8')!;
const OWN = {
  subnet: parsePrefix4('10.255.255.0/24')!,
  publicAddress: parseAddress4('192.0.2.1')!,
};
const FIRST_PEER = 0xac100001;
const CHANGES = 100;

const subnetOf = (index: number) => NETWORK.network + index * 256;
const keyOf = (index: number) => `/net/subnets/${formatAddress4(subnetOf(index))}-24`;
const wordsOf = (address: number) => `{"PublicIP":"${formatAddress4(address)}","PublicIPv6":null}`;

interface Took {
  readonly fromCall: number[];
  readonly fromAnswer: number[];
}

function summarise(took: readonly number[]): string {
  const sorted = [...took].sort((one, other) => one - other);
  const at = (share: number) => sorted[Math.floor(share * sorted.length)]!.toFixed(1);
  return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`;
}

/** From a real etcd to the table that the workers read. */
describe('a change in etcd', () => {
  let etcd: Etcd;
  before(async () => {
    etcd = await startEtcd();
  });
  after(() => etcd.stop());

  /**
   * How long each change took until the table had it, in milliseconds: from the call to etcd, and
   * from etcd's answer to it, which the table may well be ahead of.
   */
  async function follow(leases: number): Promise<Took> {
    const entries = new Map<string, string>();
    for (let i = 0; i < leases; i++) entries.set(keyOf(i), wordsOf(FIRST_PEER + i));
    await etcd.putMany(entries);
    const { log } = createLog({ level: 'silent', format: 'json' });
    const options = { endpoints: etcd.endpoints, prefix: '/net', log };
    const publication = createPublication(1, tableCapacity(NETWORK, leases + 10));
    const reader = attach(publication.memory, 0);
    const accounts = createAccounts(new SharedArrayBuffer(2 * ACCOUNT_BLOCK * 8), 1);
    let heard: () => void = () => undefined;
    const published = () => heard();
    const common = { publication, accounts, network: NETWORK, subnet: OWN.subnet, port: 8285 };
    const table = new PeerTable({ ...common, log, published });
    const rules = { network: NETWORK, own: OWN, reachable: reachableByUdp };
    const source = createEtcdSource(options);
    const changed = (_: Peers, changes: readonly PeerRow[]) => table.change(changes);
    const peers = watchPeers({ source, rules, log, changed });
    const settings = checkEtcdOptions(options);
    const line = await EtcdLine.create(settings, settings.endpoints[0]!);
    try {
      await waitFor('all peers', () => table.publications > 0 && peers.counts().peers === leases);
      const took: Took = { fromCall: [], fromAnswer: [] };
      for (let change = 0; change < CHANGES; change++) {
        const index = (change * 7919) % leases;
        const now = FIRST_PEER + 0x100000 + change;
        const { revision } = (await line.read(keyOf(index))).found!;
        const isThere = new Promise<number>((resolve) => {
          heard = () => {
            const bytes = enter(reader);
            const slot = lookup(bytes, subnetOf(index) + 9);
            const found = slot < 0 ? 0 : peerAddress(bytes, slot);
            park(reader);
            if (found >>> 0 === now) resolve(performance.now());
          };
        });
        const begun = performance.now();
        const content = { value: wordsOf(now), lease: '0' };
        assert.notEqual(await replaceKey(line, keyOf(index), revision, content), null);
        const answered = performance.now();
        const arrived = await isThere;
        took.fromCall.push(arrived - begun);
        took.fromAnswer.push(Math.max(0, arrived - answered));
      }
      return took;
    } finally {
      line.close();
      await peers.stop();
      table.stop();
    }
  }

  const sizes = process.env.TEST_LONG === '1' ? [100, 5_000, 65_000] : [100, 5_000];
  for (const leases of sizes) {
    test(`is in the table of ${leases} peers, each time`, async (t) => {
      const { fromCall, fromAnswer } = await follow(leases);
      t.diagnostic(`write to table: ${summarise(fromCall)}`);
      t.diagnostic(`etcd's answer to table: ${summarise(fromAnswer)}`);
      assert.equal(fromCall.length, CHANGES);
    });
  }
});
