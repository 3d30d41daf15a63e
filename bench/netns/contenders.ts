/**
 * Ways from pod 1 to pod 2, each started and removed again on the same two nodes. Each gets the MTU
 * its users would give it, so that nobody pays for fragments or for path MTU discovery.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FEATURES } from '../../src/dataplane/messages.ts';
import { startAll, writeLeases } from '../../test/support/node.ts';
import { atEnd, attempt, Background, run } from '../../test/support/process.ts';
import { inside, ip, type NodeSpace, type Topology } from '../../test/support/topology.ts';
import { waitFor } from '../../test/support/waitfor.ts';

/** A way that carries packets now. */
export interface Path {
  /** Namespaces of both ends, and the server's address. */
  readonly client: string;
  readonly server: string;
  readonly address: string;
  /** Processes of the dataplane on both nodes; none where the kernel forwards. */
  readonly pids: readonly number[];
  stop(): Promise<void>;
}

export interface Contender {
  /** As in CONTENDERS and in the tables. */
  readonly name: string;
  readonly about: string;
  start(topology: Topology): Promise<Path>;
}

/** Offloads that get a row of their own with that one off. */
const OFFLOADS = [...FEATURES, 'all'];

/** All contenders, in the order of the tables. */
export const CONTENDERS: readonly Contender[] = [
  weft('weft'),
  vxlan(),
  plainRouting(),
  rawVeth(),
  socat(),
  openvpn(),
  wireguard(),
  ...OFFLOADS.map((name) => weft(`weft --offload ${name}=off`)),
];

/** The contenders of a list such as `weft,vxlan,weft --tx-ports 4`; any options may follow weft. */
export function chooseContenders(list: string): readonly Contender[] {
  return list.split(',').map((text) => {
    const name = text.trim();
    const known = CONTENDERS.find((contender) => contender.name === name);
    if (known !== undefined) return known;
    if (name.startsWith('weft --')) return weft(name);
    const names = CONTENDERS.map((contender) => contender.name).join(', ');
    throw new Error(`no contender is named '${name}'; there are ${names}, or weft with options`);
  });
}

/** Name and command line are one: what follows `weft` goes to both nodes. */
function weft(name: string): Contender {
  const args = name.split(' ').slice(1);
  return {
    name,
    about: `weft dataplane with a lease file${args.length > 0 ? ` and ${args.join(' ')}` : ''}`,
    async start(topology) {
      const leases = ['--leases', writeLeases(topology), '--log-level', 'warn'];
      setPodMtu(topology, 1472);
      const wefts = await startAll(topology, [...leases, ...args]);
      return between(topology, {
        pids: wefts.map(({ process }) => process.pid),
        async stop() {
          await Promise.all(wefts.map((each) => each.stop()));
        },
      });
    },
  };
}

function vxlan(): Contender {
  return {
    name: 'vxlan',
    about: "the kernel's VXLAN device and a route, as flannel's vxlan backend sets them",
    async start(topology) {
      setPodMtu(topology, 1450);
      for (const [own, peer] of eachWay(topology)) {
        ip(
          own.namespace,
          `link add vxlan0 mtu 1450 type vxlan id 1 dstport 8472 local ${own.address} \
remote ${peer.address} dev eth0
           addr add 10.244.${own.index}.0/32 dev vxlan0
           link set vxlan0 up
           route add ${peer.subnet} via 10.244.${peer.index}.0 dev vxlan0 onlink\n`,
        );
      }
      return between(topology, { pids: [], stop: () => removeDevices(topology, 'vxlan0') });
    },
  };
}

function plainRouting(): Contender {
  return {
    name: 'plain routing',
    about: "a route to the peer's address and no tunnel, as flannel's host-gw backend sets it",
    async start(topology) {
      setPodMtu(topology, 1500);
      for (const [own, peer] of eachWay(topology)) {
        ip(own.namespace, `route add ${peer.subnet} via ${peer.address}\n`);
      }
      const stop = async () => {
        for (const [own, peer] of eachWay(topology))
          ip(own.namespace, `route del ${peer.subnet}\n`);
      };
      return between(topology, { pids: [], stop });
    },
  };
}

/** The pods wired to each other: what their own stacks can do. */
function rawVeth(): Contender {
  return {
    name: 'raw veth',
    about: 'one veth pair straight between the two pods, without nodes',
    async start(topology) {
      const [first, second] = topology.nodes.map(({ pod }) => pod.namespace);
      ip(
        first!,
        `link add raw0 type veth peer name raw0 netns ${second}
         addr add 198.51.100.1/24 dev raw0
         link set raw0 up\n`,
      );
      ip(second!, 'addr add 198.51.100.2/24 dev raw0\nlink set raw0 up\n');
      const stop = async () => ip(first!, 'link del raw0\n');
      return { ...between(topology, { pids: [], stop }), address: '198.51.100.2' };
    },
  };
}

function socat(): Contender {
  return {
    name: 'socat',
    about: 'socat, TUN to UDP-DATAGRAM, one packet a call like the C proxy',
    async start(topology) {
      setPodMtu(topology, 1472);
      const running = eachWay(topology).map(([own, peer]) => {
        const udp = `UDP-DATAGRAM:${peer.address}:9000,bind=${own.address}:9000`;
        const tun = `TUN:172.31.0.${own.index}/30,tun-name=socat0,iff-no-pi,iff-up`;
        return new Background(inside(own.namespace, ['socat', udp, tun]));
      });
      await routeThrough(topology, 'socat0', 1472, running);
      return between(topology, stopping(running));
    },
  };
}

function openvpn(): Contender {
  return {
    name: 'openvpn',
    about: 'OpenVPN between two peers, without encryption and authentication (--cipher none)',
    async start(topology) {
      setPodMtu(topology, 1472);
      const running = eachWay(topology).map(([own, peer]) => {
        const link = ['--local', own.address, '--remote', peer.address, '--port', '1194'];
        const device = [
          '--dev',
          'ovpn0',
          '--dev-type',
          'tun',
          '--tun-mtu',
          '1472',
          '--mssfix',
          '0',
        ];
        const ends = ['--ifconfig', `172.31.0.${own.index}`, `172.31.0.${peer.index}`];
        const plain = ['--cipher', 'none', '--auth', 'none'];
        const program = ['openvpn', ...link, ...device, ...ends, ...plain, '--verb', '1'];
        return new Background(inside(own.namespace, program));
      });
      await routeThrough(topology, 'ovpn0', 1472, running);
      return between(topology, stopping(running));
    },
  };
}

/** Devices of the running programs are known by name on the whole host: the socket is a file. */
function wireguard(): Contender {
  return {
    name: 'wireguard-go',
    about: 'wireguard-go, encrypting; its devices get the highest MTU that fits',
    async start(topology) {
      setPodMtu(topology, 1440);
      const device = `wg${process.pid}`;
      const nodes = topology.nodes.map((own) => ({ own, keys: makeKeys(topology, own) }));
      const running = nodes.map(({ own }) => {
        const environment = ['env', 'LOG_LEVEL=error', 'WG_PROCESS_FOREGROUND=1'];
        const name = `${device}-${own.index}`;
        return new Background(inside(own.namespace, [...environment, 'wireguard-go', name]));
      });
      const forget = atEnd(() => removeSockets(topology, device));
      for (const [{ own, keys }, { own: peer, keys: theirs }] of bothOrders(nodes)) {
        const name = `${device}-${own.index}`;
        const local = ['wg', 'set', name, 'listen-port', '51820', 'private-key', keys.file];
        const remote = ['peer', theirs.public, 'endpoint', `${peer.address}:51820`];
        const allowed = ['allowed-ips', peer.subnet];
        await waitFor(`${name} to be configured`, () => {
          const set = attempt(inside(own.namespace, [...local, ...remote, ...allowed]));
          if (set.status !== 0) throw new Error(set.stderr + running[own.index - 1]!.describe());
          return true;
        });
        ip(own.namespace, `link set ${name} mtu 1440 up\nroute add ${peer.subnet} dev ${name}\n`);
      }
      const { pids, stop } = stopping(running);
      const stopAll = async () => {
        await stop();
        forget();
        removeSockets(topology, device);
      };
      return between(topology, { pids, stop: stopAll });
    },
  };
}

function makeKeys(topology: Topology, own: NodeSpace): { file: string; public: string } {
  const file = join(topology.directory, `wireguard-${own.index}.key`);
  const key = run(['wg', 'genkey']);
  writeFileSync(file, key, { mode: 0o600 });
  return { file, public: run(['wg', 'pubkey'], { input: key }).trim() };
}

function removeSockets(topology: Topology, device: string): void {
  for (const { index } of topology.nodes) {
    rmSync(`/var/run/wireguard/${device}-${index}.sock`, { force: true });
  }
}

/** Sets MTU and route of devices that programs make; waits until they are there. */
async function routeThrough(
  topology: Topology,
  device: string,
  mtu: number,
  running: readonly Background[],
): Promise<void> {
  for (const [own, peer] of eachWay(topology)) {
    await waitFor(`${device} of node ${own.index}`, () => {
      const ended = running.find(({ end }) => end !== undefined);
      if (ended !== undefined) throw new Error(ended.describe());
      const show = attempt(['ip', '-n', own.namespace, 'link', 'show', device, 'up']);
      return show.stdout.includes(device);
    });
    ip(own.namespace, `link set ${device} mtu ${mtu}\nroute add ${peer.subnet} dev ${device}\n`);
  }
}

function between(topology: Topology, rest: Pick<Path, 'pids' | 'stop'>): Path {
  const [first, second] = topology.nodes.map(({ pod }) => pod);
  return {
    client: first!.namespace,
    server: second!.namespace,
    address: second!.address,
    ...rest,
  };
}

function stopping(running: readonly Background[]): Pick<Path, 'pids' | 'stop'> {
  return {
    pids: running.map(({ pid }) => pid),
    async stop() {
      await Promise.all(running.map((each) => each.stop('SIGTERM')));
    },
  };
}

async function removeDevices(topology: Topology, device: string): Promise<void> {
  for (const { namespace } of topology.nodes) ip(namespace, `link del ${device}\n`);
}

/** What one contender taught the pods about the path must not reach the next. */
function setPodMtu(topology: Topology, mtu: number): void {
  for (const { namespace, pod } of topology.nodes) {
    ip(namespace, `link set pod mtu ${mtu}\nlink set cni0 mtu ${mtu}\n`);
    ip(pod.namespace, `link set eth0 mtu ${mtu}\nroute flush cache\ntcp_metrics flush\n`);
  }
}

function eachWay(topology: Topology): [own: NodeSpace, peer: NodeSpace][] {
  return bothOrders(topology.nodes);
}

function bothOrders<T>(pair: readonly T[]): [T, T][] {
  const [first, second] = pair;
  return [
    [first!, second!],
    [second!, first!],
  ];
}
