/**
 * No packet vanishes: under a flood of more than fits, what a pod sent is what the other pod's
 * kernel received and what weft and the kernels on the way say they dropped.
 */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { type Metrics, startAll, type Weft, writeLeases } from '../support/node.ts';
import { Background, run } from '../support/process.ts';
import {
  buildTopology,
  inside,
  type NodeSpace,
  type PodSpace,
  type Topology,
} from '../support/topology.ts';
import { waitFor } from '../support/waitfor.ts';

/** Of the packets sent: what may stay unexplained. */
const UNEXPLAINED = 1e-4;
/** Datagrams that no queue on the way can hold. */
const OVERFLOW = 80_000;
const PORTS = [5201, 5202];
const FLOW = 'udp dport { 5201, 5202 }';

/** Sends without end, so that a slow machine has its overflow too, only later. */
function flood(from: PodSpace, to: PodSpace, port: number, length: number): Background {
  const target = `UDP-SENDTO:${to.address}:${port}`;
  const program = ['socat', '-u', '-b', String(length), 'OPEN:/dev/zero', target];
  return new Background(inside(from.namespace, program));
}

/** Counts the flood where it leaves one pod and where it reaches the other (nft(8)). */
function count(namespace: string, hook: 'output' | 'input'): void {
  const rules = `table ip count {
    chain packets {
      type filter hook ${hook} priority 0
      ${FLOW} counter
    }
  }`;
  run(inside(namespace, ['nft', '-f', '-']), { input: rules });
}

/** IPv4 and UDP headers of a packet, or of one that stands for many. */
const HEADERS = 28;

/** Datagrams that passed. The rule counts a superpacket as one, but with all of its payload. */
function counted(namespace: string, length: number): number {
  const text = run(inside(namespace, ['nft', 'list', 'chain', 'ip', 'count', 'packets']));
  const [, packets, bytes] = /counter packets (\d+) bytes (\d+)/.exec(text) ?? [];
  return Math.round((Number(bytes) - HEADERS * Number(packets)) / length);
}

interface LinkStatistics {
  ifname: string;
  stats64: { rx: { dropped: number }; tx: { dropped: number } };
}

/** Packets that links of a namespace dropped, those of weft's TUN apart: weft reports these. */
function linkDrops(namespace: string): number {
  const links = JSON.parse(run(['ip', '-n', namespace, '-s', '-j', 'link'])) as LinkStatistics[];
  return links
    .filter(({ ifname }) => ifname !== 'flannel0')
    .reduce((sum, { stats64 }) => sum + stats64.rx.dropped + stats64.tx.dropped, 0);
}

function total(drops: Readonly<Record<string, number>>): number {
  return Object.values(drops).reduce((a, b) => a + b, 0);
}

for (const [name, workers, length, joins] of [
  ['64 bytes, one worker', 1, 64, false],
  ['1400 bytes, one worker', 1, 1400, false],
  ['64 bytes, two workers', 2, 64, false],
  ['1400 bytes, joined by UDP_GRO', 1, 1400, true],
] as const) {
  describe(`a UDP flood of ${name}`, () => {
    let topology: Topology;
    let wefts: Weft[] = [];

    before(async () => {
      topology = buildTopology();
      const args = ['--leases', writeLeases(topology), '--workers', String(workers)];
      wefts = await startAll(topology, joins ? args : [...args, '--offload', 'udp_gro=off']);
      count(topology.nodes[0]!.pod.namespace, 'output');
      count(topology.nodes[1]!.pod.namespace, 'input');
    });

    after(async () => {
      for (const weft of wefts) await weft.stop();
      topology?.remove();
    });

    function spaces(): string[] {
      const nodes: readonly NodeSpace[] = topology.nodes;
      return [topology.underlay, ...nodes.flatMap((n) => [n.namespace, n.pod.namespace])];
    }

    function linksDropped(): number {
      return spaces().reduce((sum, namespace) => sum + linkDrops(namespace), 0);
    }

    /** The kernel tells of overflow with the next datagram it delivers: send a few. */
    function nudge(): void {
      const [from, to] = topology.nodes.map((node) => node.pod);
      run(inside(from!.namespace, ['ping', '-c20', '-i0.01', '-W2', '-q', to!.address]));
    }

    /**
     * Holds one weft still while the flood goes on, until the kernel before it has overflowed: two
     * cores that also make the flood are no match for it otherwise.
     */
    async function pause(weft: Weft): Promise<void> {
      const before = counted(topology.nodes[0]!.pod.namespace, length);
      const sent = () => counted(topology.nodes[0]!.pod.namespace, length) - before;
      weft.process.child.kill('SIGSTOP');
      try {
        await waitFor('an overflow', () => sent() > OVERFLOW, { every: 50 });
      } finally {
        weft.process.child.kill('SIGCONT');
      }
    }

    test('sent = delivered + dropped, reason by reason', async () => {
      const [from, to] = topology.nodes.map((node) => node.pod);
      const before: Metrics[] = wefts.map((weft) => weft.metrics());
      const linksBefore = linksDropped();
      const floods = PORTS.map((port) => flood(from!, to!, port, length));
      await waitFor('the flood', () => counted(from!.namespace, length) > 10_000, { every: 50 });
      for (const weft of wefts) await pause(weft);
      for (const each of floods) await each.stop('SIGKILL');
      nudge();
      const account = () => {
        const drops = wefts.map((weft, i) => ({
          ...weft.metrics().newDrops(before[i]!, 'rx'),
          ...prefixed(weft.metrics().newDrops(before[i]!, 'tx')),
        }));
        const sent = counted(from!.namespace, length);
        const delivered = counted(to!.namespace, length);
        const links = linksDropped() - linksBefore;
        const unexplained = sent - delivered - links - drops.reduce((n, d) => n + total(d), 0);
        return { sent, delivered, links, drops, unexplained };
      };
      const balanced = () => isBalanced(account());
      const books = await settledBooks(account, balanced);
      const why = JSON.stringify(books);
      assert.ok(books.sent - books.delivered > books.sent / 10, `no flood: ${why}`);
      assert.ok(books.drops[0]!.tx_tun_queue_full! > 0, why);
      assert.ok(books.drops[1]!.socket_overflow! > 0, why);
      assert.ok(isBalanced(books), why);
    });
  });
}

/** The books once they balance, or do not change any more. */
async function settledBooks<T>(account: () => T, balanced: () => boolean): Promise<T> {
  const [same, latest] = [10, { text: '', times: 0 }];
  return await waitFor(
    'the books to settle',
    () => {
      const books = account();
      const text = JSON.stringify(books);
      latest.times = text === latest.text ? latest.times + 1 : 0;
      latest.text = text;
      return balanced() || latest.times > same ? books : undefined;
    },
    { every: 200 },
  );
}

interface Books {
  readonly sent: number;
  readonly unexplained: number;
}

function isBalanced({ sent, unexplained }: Books): boolean {
  return Math.abs(unexplained) <= Math.ceil(sent * UNEXPLAINED);
}

function prefixed(drops: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(drops).map(([reason, n]) => [`tx_${reason}`, n]));
}
