import type { Config } from '../../config.ts';
import { reachableByUdp } from '../../lease/admission.ts';
import type { Lease } from '../../lease/lease.ts';
import type { PeerRow } from '../../lease/watcher.ts';
import { formatPrefix4 } from '../../wire/address.ts';
import type { Backend, BackendContext, BackendStatus, OwnLease } from '../backend/backend.ts';
import { removeLeftovers } from '../backend/leftovers.ts';
import { removePeerRoutes } from '../backend/routes.ts';
import { chooseMtu, ENCAPSULATION_BYTES } from '../node/settings.ts';
import type { Peers } from '../peers.ts';
import type { Uplink } from '../uplink.ts';
import type { TunnelDevice } from './device.ts';
import type { Forwarder, Way } from './forwarder.ts';

/** flannel's, where the network config says nothing of it. */
export const DEFAULT_PORT = 8285;

/** The port of the network config, which was checked when that was read. */
export function readPort({ Port }: BackendContext['options']): number {
  return Port ?? DEFAULT_PORT;
}

const ATTRIBUTES = { backendType: '' } as const;

/** What both backends below say of peers that they do nothing about. */
abstract class Quiet implements Backend {
  abstract readonly type: string;
  abstract readonly mtu: number;
  /** flannel's `udp` and `alloc` leave BackendType out. */
  readonly attributes = ATTRIBUTES;
  protected peers = 0;

  reachable(backendType: string): boolean {
    return reachableByUdp(backendType);
  }

  abstract open(own: OwnLease): Promise<void>;
  abstract setUplink(uplink: Uplink): Promise<void>;
  abstract suspend(): Promise<void>;
  abstract close(): Promise<void>;

  setPeers(leases: readonly Lease[]): void {
    this.peers = leases.length;
  }

  changePeers(peers: Peers, _changes: readonly PeerRow[]): void {
    this.peers = peers.counts().peers;
  }

  status(): BackendStatus {
    return {
      peers: this.peers,
      programmed: this.peers,
      failing: 0,
      failures: [],
      reconciles: 0,
      lastReconcileSeconds: 0,
      lastReconcileDurationSeconds: 0,
      repairs: 0,
    };
  }
}

/** A lease and nothing else: somebody else moves the packets (flannel's `alloc`). */
export class LeaseOnly extends Quiet {
  readonly type: string;
  readonly forwardsElsewhere = true;
  readonly tunnelPort: number | undefined;
  private readonly overhead: number;
  private underlayMtu: number;

  /**
   * @param overhead bytes that whoever moves the packets puts around them
   * @param port that they go by, where that is UDP
   */
  constructor(type: string, { uplink }: BackendContext, overhead: number, port?: number) {
    super();
    this.tunnelPort = port;
    this.type = type;
    this.overhead = overhead;
    this.underlayMtu = uplink.mtu;
  }

  get mtu(): number {
    return this.underlayMtu - this.overhead;
  }

  async open(): Promise<void> {}

  async setUplink(uplink: Uplink): Promise<void> {
    this.underlayMtu = uplink.mtu;
  }

  async suspend(): Promise<void> {}

  async close(): Promise<void> {}
}

/** `weft agent` with the udp backend: a `weft dataplane` beside it moves the packets. */
export async function createForDataplane(context: BackendContext): Promise<Backend> {
  const port = readPort(context.options);
  if (port !== DEFAULT_PORT) {
    context.log.info(`the network config's Port is ${port}: weft dataplane needs --port ${port}`);
  }
  return new LeaseOnly('udp', context, ENCAPSULATION_BYTES, port);
}

/** Moves packets in this very process: flannel's `udp`, as `weft run` does it. */
export class Udp extends Quiet {
  readonly type = 'udp';
  private readonly config: Config;
  private readonly context: BackendContext;
  private readonly forwarder: Forwarder;
  readonly tunnelPort: number;
  private readonly closing = new AbortController();
  private readonly ending: AbortSignal;
  private uplink: Uplink;
  /** What the forwarder runs with; undefined while it does not. */
  private running: Way | undefined;

  constructor(config: Config, context: BackendContext, forwarder: Forwarder) {
    super();
    this.config = config;
    this.context = context;
    this.forwarder = forwarder;
    this.tunnelPort = readPort(context.options);
    this.uplink = context.uplink;
    const signals = [this.closing.signal, ...(context.ending ? [context.ending] : [])];
    this.ending = AbortSignal.any(signals);
  }

  get mtu(): number {
    return chooseMtu(this.config.mtu, undefined, this.uplink, this.context.log);
  }

  /** Starts, or starts anew where anything that cannot change under the pumps has changed. */
  async open({ subnet, network }: OwnLease): Promise<void> {
    const device = { name: this.config.device, mtu: this.mtu, subnet, network };
    const way = { device, uplink: this.uplink, port: this.tunnelPort };
    const { running } = this;
    if (running !== undefined && sameWay(running, way) && !this.forwarder.lost) {
      this.running = way;
      return;
    }
    await this.halt(running !== undefined && sameSubnet(running.device, device));
    this.ending.throwIfAborted();
    try {
      await this.forwarder.start(way, this.ending);
    } catch (error) {
      await this.forwarder.stop(false);
      throw error;
    }
    this.running = way;
    await this.removeLeftovers();
  }

  override setPeers(leases: readonly Lease[]): void {
    if (this.closing.signal.aborted) return;
    super.setPeers(leases);
    const rows = leases.map(({ subnet: { network, length }, publicAddress: peer }) => {
      return { network, length, peer };
    });
    this.forwarder.setPeers({ rows: () => rows });
  }

  override changePeers(peers: Peers, changes: readonly PeerRow[]): void {
    if (this.closing.signal.aborted) return;
    super.changePeers(peers, changes);
    this.forwarder.changePeers(peers, changes);
  }

  async setUplink(uplink: Uplink): Promise<void> {
    this.uplink = uplink;
  }

  async suspend(): Promise<void> {
    await this.halt(false);
  }

  async close(): Promise<void> {
    this.closing.abort(new Error('closed'));
    await this.halt(this.config.keepDevice);
    // Whoever forwards next may be in another network.
    this.forwarder.forgetPeers();
  }

  private async halt(keepDevice: boolean): Promise<void> {
    if (this.running === undefined) return;
    this.running = undefined;
    await this.forwarder.stop(keepDevice);
  }

  /** Routes of another backend to single peers would win over ours to the whole network. */
  private async removeLeftovers(): Promise<void> {
    const { run, log } = this.context;
    const { device, uplink } = this.running!;
    const gone = [
      ...(await removePeerRoutes(run, device, uplink.name)),
      ...(await removeLeftovers(run, device.network, device.name)),
    ];
    if (gone.length > 0) log.info(`removed what another backend left: ${gone.join(', ')}`);
  }
}

function sameWay(one: Way, other: Way): boolean {
  return (
    one.device.mtu === other.device.mtu &&
    sameSubnet(one.device, other.device) &&
    // Sockets are bound to the address, on whatever interface it is.
    one.uplink.address === other.uplink.address
  );
}

function sameSubnet(one: TunnelDevice, other: TunnelDevice): boolean {
  return (
    formatPrefix4(one.subnet) === formatPrefix4(other.subnet) &&
    formatPrefix4(one.network) === formatPrefix4(other.network)
  );
}
