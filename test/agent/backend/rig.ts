/** Nodes of a topology with a backend in each: what the shared cases of backends drive. */
import { pino } from 'pino';
import { type Backend, createBackend } from '../../../src/agent/backend/backend.ts';
import { Readiness } from '../../../src/agent/readiness.ts';
import { chooseUplink, type Uplink } from '../../../src/agent/uplink.ts';
import { formatSubnetKey, type Lease } from '../../../src/lease/lease.ts';
import { commandRunner, type Run } from '../../../src/linux/command.ts';
import type { Logger } from '../../../src/log.ts';
import { parsePrefix4 } from '../../../src/wire/address.ts';
import { attempt, run, runAside } from '../../support/process.ts';
import {
  buildTopology,
  inside,
  ip,
  type NodeSpace,
  OVERLAY,
  type Topology,
  type TopologyOptions,
} from '../../support/topology.ts';
import { waitFor } from '../../support/waitfor.ts';

export type Options = Readonly<Record<string, unknown>>;

/** One node: its namespace, and the backend that runs for it in this process. */
export class RigNode {
  readonly space: NodeSpace;
  readonly run: Run;
  readonly prefix: readonly string[];
  readonly readiness = new Readiness();
  readonly said: string[] = [];
  /** Every program that the backend ran, watching left out. */
  readonly ran: string[] = [];
  readonly type: string;
  readonly options: Options;
  private live: Backend | undefined;
  private lease: Lease | undefined;

  constructor(space: NodeSpace, type: string, options: Options) {
    this.space = space;
    this.type = type;
    this.options = options;
    this.prefix = inside(space.namespace, []);
    const run = commandRunner(this.prefix);
    this.run = (argv, input) => {
      this.ran.push(argv.join(' '));
      return run(argv, input);
    };
  }

  get backend(): Backend {
    return this.live!;
  }

  /** The lease that the node's agent would have in the store. */
  get own(): Lease {
    return this.lease!;
  }

  async uplink(): Promise<Uplink> {
    return chooseUplink(this.run, {
      interfaces: ['eth0'],
      interfacePatterns: [],
      interfaceCanReach: undefined,
      publicAddress: undefined,
    });
  }

  /** As an agent that starts: with what the store remembers of an earlier run. */
  async start(previous: Lease | undefined = this.lease, subnet = this.space.subnet): Promise<void> {
    const uplink = await this.uplink();
    this.live = await createBackend(this.type, {
      run: this.run,
      prefix: this.prefix,
      uplink,
      options: this.options,
      previous,
      log: recorder(this.said),
      readiness: this.readiness,
      republish: () => {},
    });
    await this.open(uplink, subnet);
  }

  /** A lease of that subnet is held, under the uplink's address. */
  async open(uplink: Uplink, subnet = this.space.subnet): Promise<void> {
    const prefix = parsePrefix4(subnet)!;
    const publicAddress = uplink.publicAddress;
    const { attributes } = this.backend;
    this.lease = {
      key: formatSubnetKey({ subnet: prefix }),
      subnet: prefix,
      publicAddress,
      ...attributes,
    };
    await this.backend.open({ subnet: prefix, network: parsePrefix4(OVERLAY)!, publicAddress });
  }

  /** Everything that the backend may have set, as text; times and indexes left out. */
  traces(): string {
    const { namespace } = this.space;
    const show = (argv: string[]) =>
      attempt(argv)
        .stdout.split('\n')
        .map((line) => line.trim())
        .filter(Boolean);
    const routes = show(['ip', '-n', namespace, '-4', 'route', 'show', 'root', OVERLAY]);
    const neighbours = show(['ip', '-n', namespace, '-4', 'neigh', 'show', 'nud', 'permanent']);
    const bridge = inside(namespace, ['bridge', 'fdb', 'show', 'dev', 'flannel.1']);
    const forwarding = show(bridge).filter((line) => line.includes('dst'));
    return [...routes, ...neighbours, ...forwarding].sort().join('\n');
  }

  /** Waits until the backend has looked at all and `count` peers are in the kernel. */
  async programmed(count: number): Promise<void> {
    await waitFor(`${count} programmed peers`, () => {
      const status = this.backend.status();
      return status.peers === count && status.programmed === count;
    });
  }

  ip(batch: string): void {
    ip(this.space.namespace, batch);
  }

  async stop(): Promise<void> {
    await this.live?.close();
    this.live = undefined;
  }
}

/** A log whose lines tests read. */
function recorder(said: string[]): Logger {
  return pino({ base: null }, { write: (line: string) => void said.push(line) });
}

export interface Rig {
  readonly topology: Topology;
  readonly nodes: readonly RigNode[];
  /** Every node learns of every other, as from a store. */
  introduce(): void;
  remove(): Promise<void>;
}

export async function buildRig(
  type: string,
  options: Options,
  shape: TopologyOptions,
): Promise<Rig> {
  const topology = buildTopology(shape);
  const nodes = topology.nodes.map((space) => new RigNode(space, type, options));
  const introduce = () => {
    for (const node of nodes) {
      node.backend.setPeers(nodes.filter((other) => other !== node).map(({ own }) => own));
    }
  };
  const remove = async () => {
    for (const node of nodes) await node.stop();
    topology.remove();
  };
  return { topology, nodes, introduce, remove };
}

/**
 * Whether one packet makes it from one node's pod to an address and back. The backends of the nodes
 * run in this process, so it goes on meanwhile.
 */
export async function reaches(from: RigNode, to: RigNode | string): Promise<boolean> {
  const address = typeof to === 'string' ? to : to.space.pod.address;
  const ping = ['ping', '-n', '-c', '1', '-W', '1', address];
  return (await runAside(inside(from.space.pod.namespace, ping))).status === 0;
}

export async function waitUntilReached(from: RigNode, to: RigNode | string): Promise<void> {
  const what = typeof to === 'string' ? to : `pod ${to.space.index}`;
  await waitFor(`${what} to answer pod ${from.space.index}`, () => reaches(from, to));
}

/** Ran inside a node, must succeed. */
export function within(node: RigNode, argv: readonly string[]): string {
  return run(inside(node.space.namespace, argv));
}
