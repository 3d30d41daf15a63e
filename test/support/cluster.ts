/** Nodes that run `weft run` on one etcd that holds nothing but flannel's keys. */
import { type Etcd, startEtcd } from './etcd.ts';
import { httpGet, Weft } from './node.ts';
import { attempt } from './process.ts';
import { buildTopology, inside, type NodeSpace, OVERLAY, type Topology } from './topology.ts';
import { lookAt, waitFor } from './waitfor.ts';

export const PREFIX = '/coreos.com/network';
export const SUBNETS = `${PREFIX}/subnets`;

export interface ClusterOptions {
  readonly nodes?: number;
  /** Pods' namespaces are left to CNI plugins. */
  readonly bare?: boolean;
}

export class Cluster {
  readonly topology: Topology;
  readonly etcd: Etcd;
  readonly wefts: Weft[] = [];

  private constructor(topology: Topology, etcd: Etcd) {
    this.topology = topology;
    this.etcd = etcd;
  }

  static async build(options: ClusterOptions = {}): Promise<Cluster> {
    const topology = buildTopology(options);
    try {
      const argvPrefix = inside(topology.underlay, []);
      const etcd = await startEtcd({ host: topology.underlayAddress, argvPrefix });
      return new Cluster(topology, etcd);
    } catch (error) {
      topology.remove();
      throw error;
    }
  }

  get nodes(): readonly NodeSpace[] {
    return this.topology.nodes;
  }

  async remove(): Promise<void> {
    try {
      await Promise.all(this.wefts.splice(0).map((weft) => endQuietly(weft)));
      await this.etcd.stop();
    } finally {
      this.topology.remove();
    }
  }

  /** Writes the network config; `{ Type: 'vxlan' }` for another backend than udp. */
  async configure(backend?: object, rest: object = {}): Promise<void> {
    const config = { Network: OVERLAY, ...(backend && { Backend: backend }), ...rest };
    await this.etcd.put(`${PREFIX}/config`, JSON.stringify(config));
  }

  /**
   * Gives each node the subnet of its number, as an earlier life of an agent there would have left
   * it: addresses of pods are then those of the topology.
   */
  async reserveSubnets(): Promise<void> {
    for (const node of this.nodes) {
      const granted = await this.etcd.etcdctl(['lease', 'grant', '86400']);
      const id = /^lease ([0-9a-f]+) /.exec(granted)![1]!;
      const value = JSON.stringify({ PublicIP: node.address, PublicIPv6: null });
      await this.etcd.etcdctl(['put', `--lease=${id}`, `${SUBNETS}/${node.subnetKey}`, value]);
    }
  }

  /** Starts without waiting; `args` begins with the command. */
  launch(node: NodeSpace, args: readonly string[] = ['run']): Weft {
    const [command = 'run', ...rest] = args;
    const etcd = ['--etcd-endpoints', this.etcd.endpoints.join(',')];
    const workers = command === 'agent' ? [] : ['--workers', '1'];
    const weft = new Weft(node, [command, ...etcd, ...workers, ...rest]);
    this.wefts.push(weft);
    return weft;
  }

  async start(node: NodeSpace, args: readonly string[] = ['run']): Promise<Weft> {
    const weft = this.launch(node, args);
    await weft.ready();
    return weft;
  }

  async startAll(args: readonly string[] = ['run']): Promise<Weft[]> {
    const wefts = this.nodes.map((node) => this.launch(node, args));
    await Promise.all(wefts.map((weft) => weft.ready()));
    return wefts;
  }

  /** Stops the process in order and forgets it. */
  async stop(weft: Weft): Promise<void> {
    this.wefts.splice(this.wefts.indexOf(weft), 1);
    await weft.stop();
  }

  /** Every lease by its key below the folder of leases. */
  async leases(): Promise<Map<string, string>> {
    const pairs = await this.etcd.list(`${SUBNETS}/`);
    return new Map([...pairs].map(([key, value]) => [key.slice(SUBNETS.length + 1), value]));
  }

  /** Seconds until a key's etcd lease ends as granted, and as left; undefined without one. */
  async timeToLive(key: string): Promise<{ granted: number; left: number } | undefined> {
    const answer = await this.etcd.etcdctl(['get', '-w', 'json', '--', `${SUBNETS}/${key}`]);
    const [pair] = JSON.parse(answer).kvs ?? [];
    if (!pair?.lease) return undefined;
    // JSON.parse rounds what is over 2^53.
    const id = BigInt(/"lease":(\d+)/.exec(answer)![1]!).toString(16);
    const told = await this.etcd.etcdctl(['lease', 'timetolive', id]);
    const [, granted, left] = /granted with TTL\((\d+)s\), remaining\((\d+)s\)/.exec(told)!;
    return { granted: Number(granted), left: Number(left) };
  }
}

async function endQuietly(weft: Weft): Promise<void> {
  if (weft.process.end === undefined) await weft.process.stop('SIGTERM').catch(() => {});
}

/** Whether one echo came back, on a machine that may have much else to do. */
export function pings(from: string, address: string, patienceSeconds = 10): boolean {
  const argv = ['ping', '-n', '-c1', `-W${patienceSeconds}`, address];
  return attempt(inside(from, argv)).status === 0;
}

export async function waitForPing(from: string, address: string): Promise<void> {
  await waitFor(`a ping from ${from} to ${address}`, () => pings(from, address, 1), { every: 50 });
}

export function readiness(weft: Weft): { status: number; body: string } {
  lookAt(weft.process);
  return httpGet(weft.space.namespace, '/readyz');
}

export async function waitUntilNotReady(weft: Weft, reason: RegExp): Promise<void> {
  const what = `weft on node ${weft.space.index} to say ${reason}`;
  await waitFor(what, () => {
    const { status, body } = readiness(weft);
    return status === 503 && reason.test(body);
  });
}
