/**
 * What FAULT may be: how each fault is made for real in the demo's cluster, what pods notice of it,
 * and the command that finds it. All of them break the way to the last node.
 */
import type { Cluster } from '../test/support/cluster.ts';
import type { CniPod } from '../test/support/cni.ts';
import type { Weft } from '../test/support/node.ts';
import { run } from '../test/support/process.ts';
import { inside, ip, type NodeSpace } from '../test/support/topology.ts';
import type { Outcome } from './screen.ts';
import { pingLength, pingPods } from './traffic.ts';

/** A command of weft on a node, and the sentence of it that names the fault. */
export interface Look {
  readonly on: 'first' | 'last';
  readonly words: readonly string[];
  readonly finds: RegExp;
}

export interface DemoFault {
  readonly title: string;
  /** Options of weft on the last node, which starts after the others. */
  readonly options: (first: NodeSpace) => readonly string[];
  /** Breaks a cluster that is up. */
  readonly make: (cluster: Cluster, wefts: readonly Weft[]) => Promise<void>;
  /** What somebody would complain of; not `good`. */
  readonly symptom: (from: CniPod, to: CniPod) => Promise<Outcome>;
  readonly looks: readonly Look[];
}

/** Full packets of pods over an underlay of 1500. */
const FULL = 1472;
const NARROW = 1400;

const nothing = async () => {};
const none = () => [];

const FAULTS: Readonly<Record<string, DemoFault>> = {
  mtu: {
    title: `the link to the last node loses packets over ${NARROW} bytes, and tells nobody`,
    options: none,
    make: async ({ nodes, topology }) => {
      ip(topology.underlay, `link set to-n${nodes.length} mtu ${NARROW}\n`);
    },
    symptom: (from, to) => pingLength(from, to, FULL, true),
    looks: [
      {
        on: 'first',
        words: ['doctor', '--only', 'mtu,peers'],
        finds: /answers packets of 1372 bytes and none larger/,
      },
    ],
  },
  firewall: {
    title: 'a firewall on the last node drops UDP 8285',
    options: none,
    make: async ({ nodes }) => {
      const input = `table inet site {
        chain input {
          type filter hook input priority 0
          udp dport 8285 drop
        }
      }`;
      run(inside(nodes.at(-1)!.namespace, ['nft', '-f', '-']), { input });
    },
    symptom: pingPods,
    looks: [
      {
        on: 'last',
        words: ['doctor', '--only', 'firewall,peers'],
        finds: /handle \d+ of chain inet site input drops UDP 8285 from/,
      },
      {
        on: 'first',
        words: ['doctor', '--only', 'firewall,peers'],
        finds: /answers on the underlay, but nothing comes back through UDP 8285/,
      },
    ],
  },
  duplicate: {
    title: 'the last node publishes the PublicIP of node 1',
    options: ({ address }) => ['--public-ip', address],
    make: nothing,
    symptom: async (from, to) => {
      const what = `address of pod ${to.node.index}`;
      const good = from.address !== to.address;
      const result = good ? to.address : `${to.address}, which pod ${from.node.index} has too`;
      return { what, result, good };
    },
    looks: [
      {
        on: 'last',
        words: ['doctor', '--only', 'leases'],
        finds: /our PublicIP, 192\.0\.2\.1, is the address of another host/,
      },
    ],
  },
  dead: {
    title: 'the last node is dead, and its lease lives on',
    options: none,
    make: async ({ nodes }, wefts) => {
      ip(nodes.at(-1)!.namespace, 'link set eth0 down\n');
      await wefts.at(-1)!.process.stop('SIGKILL');
    },
    symptom: pingPods,
    looks: [
      {
        on: 'first',
        words: ['doctor', '--only', 'peers'],
        finds: /wrong peers 192\.0\.2\.\d \([\d./]+\) does not answer at all/,
      },
    ],
  },
};

/** The fault of that name; undefined for the empty one. */
export function readFault(name: string): DemoFault | undefined {
  const found = FAULTS[name];
  if (found !== undefined || name === '') return found;
  throw new Error(`FAULT is ${Object.keys(FAULTS).join(', ')}, not '${name}'`);
}
