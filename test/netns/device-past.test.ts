/**
 * A flannel0 that was there before weft: whatever somebody left in it or on it, TCP flows through
 * it afterwards. What weft refuses to take over is in agent/udp/device.
 */
import assert from 'node:assert/strict';
import test, { after, before, describe } from 'node:test';
import { Weft, writeLeases } from '../support/node.ts';
import { FLAGS, leaveDevice } from '../support/past-device.ts';
import { attempt, run } from '../support/process.ts';
import { buildTopology, inside, ip, type NodeSpace, type Topology } from '../support/topology.ts';
import { transfer } from '../support/transfer.ts';

/** linux/if_tun.h: CSUM, TSO4, TSO6, TSO_ECN, UFO, USO4 and USO6. */
const TUN_F_ALL = 0x7f;
/** linux/if_arp.h */
const ARPHRD_ETHER = 1;
const SOMEBODY = 1000;

/** One thing that somebody left; every row of a table is a thing apart. */
interface Past {
  readonly what: string;
  /** Those of the queue that was open last. */
  readonly flags?: number;
  /** ioctls on that queue, `offload=3`. */
  readonly settings?: readonly string[];
  /** Lines of `ip -batch`, and other commands; after the ioctls. */
  readonly ip?: readonly string[];
  readonly command?: readonly string[];
  /** The warning that tells of it. */
  readonly told?: RegExp;
  /** What must hold afterwards: a command in the node's namespace, and its output. */
  readonly holds?: readonly [readonly string[], RegExp];
}

const show = ['ip', '-d', 'link', 'show', 'flannel0'];
const sysctl = (name: string) => ['sysctl', '-n', `net.ipv4.conf.flannel0.${name}`];
const write = (name: string, value: number) => ['sysctl', '-qw', `net.${name}=${value}`];
const qdisc = (...words: string[]) => ['tc', 'qdisc', 'add', 'dev', 'flannel0', ...words];
const addresses = (family: string) => ['ip', family, 'addr', 'show', 'dev', 'flannel0'];

const OF_THE_DEVICE: readonly Past[] = [
  { what: 'no offload', settings: ['offload=0'] },
  { what: 'a longer header', flags: FLAGS.withHeader, settings: ['hdrsz=12'] },
  { what: 'a header in no fixed byte order', settings: ['le=0'] },
  { what: 'a small send buffer', settings: ['sndbuf=1'] },
  { what: 'no carrier', settings: ['carrier=0'] },
  {
    what: 'a user and a group',
    settings: [`owner=${SOMEBODY}`, `group=${SOMEBODY}`],
    holds: [show, /user root group root/],
  },
  { what: 'another MTU', ip: ['link set flannel0 mtu 1300'], holds: [show, /mtu 1472/] },
  {
    what: 'a queue of one packet',
    ip: ['link set flannel0 txqueuelen 1'],
    holds: [show, /qlen 1000/],
  },
  {
    what: 'addresses of others',
    ip: ['addr add 10.244.2.2/32 dev flannel0', 'addr add 10.244.9.0/16 dev flannel0'],
    holds: [addresses('-4'), /^(?!.*10\.244\.[29])/s],
  },
  { what: 'small superpackets', ip: ['link set flannel0 gso_max_size 3000 gso_max_segs 2'] },
  { what: 'other flags', ip: ['link set flannel0 arp on multicast off promisc on'] },
  { what: 'another name beside', ip: ['link property add dev flannel0 altname overlay'] },
  { what: 'an alias', ip: ['link set flannel0 alias mine'] },
  {
    what: 'no forwarding',
    command: write('ipv4.conf.flannel0.forwarding', 0),
    holds: [sysctl('forwarding'), /^1$/m],
  },
  { what: 'a strict reverse path', command: write('ipv4.conf.flannel0.rp_filter', 1) },
  {
    what: 'local sources refused',
    command: write('ipv4.conf.flannel0.accept_local', 0),
    holds: [sysctl('accept_local'), /^1$/m],
  },
  {
    what: 'IPv6',
    command: write('ipv6.conf.flannel0.disable_ipv6', 0),
    holds: [addresses('-6'), /^$/],
  },
];
const ALL_OFFLOADS: Past = { what: 'every offload', settings: [`offload=${TUN_F_ALL}`] };
const WITHOUT_HEADER: readonly Past[] = [
  ALL_OFFLOADS,
  { what: 'a longer header', flags: FLAGS.withHeader, settings: ['hdrsz=64'] },
];
const WITHOUT_SUPERPACKETS: readonly Past[] = [
  ALL_OFFLOADS,
  { what: 'nobody as its owner', holds: [show, /user root group root/] },
  { what: 'NAPI', flags: FLAGS.withNapi },
  {
    what: 'features switched on',
    command: ['ethtool', '-K', 'flannel0', 'rx-gro-list', 'on', 'rx-udp-gro-forwarding', 'on'],
  },
  {
    what: 'a route, being up',
    ip: ['link set flannel0 up', 'route add 10.244.0.0/16 dev flannel0 metric 7 mtu lock 600'],
  },
];
const TWO_QUEUES: readonly Past[] = [
  { what: 'packet information', flags: FLAGS.withInformation },
  { what: 'a program that chooses the queue', settings: ['steering=7'] },
  { what: 'a program that drops every packet', settings: ['filter=0'] },
  {
    what: 'features switched off',
    command: ['ethtool', '-K', 'flannel0', 'tso', 'off', 'gso', 'off', 'gro', 'off', 'tx', 'off'],
  },
];
const ATTACHED: readonly Past[] = [
  {
    what: 'the link type of Ethernet',
    settings: [`link=${ARPHRD_ETHER}`],
    told: /link type ether/,
  },
  { what: 'a qdisc that drops all', command: qdisc('root', 'blackhole'), told: /qdisc blackhole/ },
  { what: 'a hook for filters', command: qdisc('clsact'), told: /qdisc clsact/ },
];

/** Rows that do not hide each other share a start of weft. */
const TOGETHER: readonly (readonly [
  how: string,
  args: readonly string[],
  rows: readonly Past[],
])[] = [
  ['settings of its own', [], OF_THE_DEVICE],
  ['a header where none is wanted', ['--offload', 'tun_vnet_hdr=off'], WITHOUT_HEADER],
  ['offloads where none is wanted', ['--offload', 'tun_tso=off,tun_uso=off'], WITHOUT_SUPERPACKETS],
  ['programs, opened with two queues', ['--workers', '2'], TWO_QUEUES],
  ['what is hung on it', [], ATTACHED],
];

describe('a flannel0 of before', () => {
  let topology: Topology;
  let node: NodeSpace;
  let peer: NodeSpace;
  let other: Weft;
  let leases: string[];

  before(async () => {
    topology = buildTopology();
    [node, peer] = topology.nodes as [NodeSpace, NodeSpace];
    leases = ['--leases', writeLeases(topology), '--workers', '1'];
    other = await Weft.start(peer, leases);
  });
  after(async () => {
    await other?.stop();
    topology?.remove();
  });

  function make(rows: readonly Past[]): void {
    ip(node.namespace, 'tuntap add dev flannel0 mode tun multi_queue\n');
    const flags = rows.reduce((all, row) => all | (row.flags ?? FLAGS.ours), FLAGS.ours);
    const plain = rows.some((row) => row.flags === FLAGS.withInformation);
    const settings = rows.flatMap((row) => row.settings ?? []);
    leaveDevice(node.namespace, 'flannel0', plain ? FLAGS.withInformation : flags, settings);
    ip(node.namespace, `${rows.flatMap((row) => row.ip ?? []).join('\n')}\n`);
    for (const { command } of rows) if (command) run(inside(node.namespace, command));
  }

  for (const [how, args, rows] of TOGETHER) {
    const names = rows.map(({ what }) => what).join('; ');
    test(`with ${how}: TCP flows (${names})`, async () => {
      make(rows);
      const weft = await Weft.start(node, [...leases, ...args]);
      try {
        await transfer(node.pod, peer.pod, topology.directory);
        await transfer(peer.pod, node.pod, topology.directory);
        const warned = rows.filter(({ told }) => told !== undefined);
        for (const { told } of warned) assert.match(weft.process.stdout, told!);
        if (warned.length === 0) assert.doesNotMatch(weft.process.stdout, /which weft d/);
        for (const { what, holds } of rows) {
          if (holds === undefined) continue;
          const ran = attempt(inside(node.namespace, holds[0]));
          assert.match(ran.stdout, holds[1], `${what}: ${ran.stderr}`);
        }
      } finally {
        await weft.stop();
      }
    });
  }
});
