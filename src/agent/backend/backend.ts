import type { Attributes, Lease } from '../../lease/lease.ts';
import type { BackendConfig } from '../../lease/network/backend.ts';
import type { PeerRow } from '../../lease/watcher.ts';
import { isBatchWord } from '../../linux/batch.ts';
import type { Run } from '../../linux/command.ts';
import type { Logger } from '../../log.ts';
import type { Prefix4 } from '../../wire/address.ts';
import { Fault } from '../fault.ts';
import { requireNetworkAdmin } from '../node/settings.ts';
import type { Peers } from '../peers.ts';
import type { Readiness } from '../readiness.ts';
import type { Uplink } from '../uplink.ts';
import { createHostGateway } from './host-gw.ts';
import { createVxlan } from './vxlan.ts';

/** The lease that a backend works for; `publicAddress` is a host-order uint32. */
export interface OwnLease {
  readonly subnet: Prefix4;
  readonly network: Prefix4;
  readonly publicAddress: number;
}

/** A peer that the kernel does not reach yet, and why, in words for an operator. */
export interface PeerFailure {
  /** The peer's subnet, `10.244.2.0/24`; of an entry that will not go, what that is. */
  readonly subnet: string;
  readonly reason: string;
}

export interface BackendStatus {
  /** Peers asked for. */
  readonly peers: number;
  /** Of these, the ones that the kernel reaches as of the last look. */
  readonly programmed: number;
  /** What fails now; `failures` names the first few. */
  readonly failing: number;
  readonly failures: readonly PeerFailure[];
  /** Looks at the kernel since start, when the last complete one ended (Unix), how long it took. */
  readonly reconciles: number;
  readonly lastReconcileSeconds: number;
  readonly lastReconcileDurationSeconds: number;
  /** Entries and device settings that others had removed or changed, set right since start. */
  readonly repairs: number;
}

/**
 * How leases become reachability. Created once for a node; from then on it may be opened, given
 * peers and suspended again and again, and it restores by itself what others take away.
 */
export interface Backend {
  /** BackendType in flannel's spelling. */
  readonly type: string;
  /** MTU for pods, FLANNEL_MTU of subnet.env. */
  readonly mtu: number;
  /** What the node publishes besides its PublicIP; known as soon as the backend is created. */
  readonly attributes: Pick<Attributes, 'backendType' | 'backendData'>;
  /** UDP port of the tunnel; undefined where packets leave without one, or by another process. */
  readonly tunnelPort?: number | undefined;
  /** Another process moves the packets, and `suspend` stops nothing there. */
  readonly forwardsElsewhere?: boolean;
  /** Whether nodes that publish this BackendType are reached by this backend. */
  reachable(backendType: string): boolean;
  /**
   * A lease is held: packets may flow. Called again after `suspend`, maybe with another subnet, and
   * while open if PublicIP or subnet changed.
   * @throws Fault or CommandError if the host refuses; nothing of it needs to be undone
   */
  open(own: OwnLease): Promise<void>;
  /**
   * The peers that should be reachable, all of them. Returns at once; the kernel follows in the
   * background. Before the first call nothing that an earlier run left is removed, so that packets
   * flow across a restart.
   */
  setPeers(leases: readonly Lease[]): void;
  /**
   * Called in place of `setPeers` where it is there: for backends to which one change among many
   * peers must not cost a list of them all.
   * @param changes since the last call, at the first one since there were none: each subnet once
   */
  changePeers?(peers: Peers, changes: readonly PeerRow[]): void;
  /** The uplink got another address, MTU or index at run time; followed by `open`. */
  setUplink(uplink: Uplink): Promise<void>;
  /**
   * The lease is lost: nothing is forwarded for its subnet until `open` is called again. After
   * `close`: the node leaves the network, inside of which alone its entries are known as weft's.
   */
  suspend(): Promise<void>;
  status(): BackendStatus;
  /** Stops looking. Devices and routes stay, as flannel's do, so that packets flow meanwhile. */
  close(): Promise<void>;
}

export interface BackendContext {
  readonly run: Run;
  /** Put before every program that runs on its own: `ip monitor`. For namespaces. */
  readonly prefix?: readonly string[];
  readonly uplink: Uplink;
  /** What `Backend` of the network config says besides its Type. */
  readonly options: BackendConfig['options'];
  /** The lease that the store holds for this PublicIP from an earlier run. */
  readonly previous: Lease | undefined;
  readonly log: Logger;
  /** Under the cause `backend`: why the kernel cannot be programmed as a whole. */
  readonly readiness: Readiness;
  /** `attributes` changed: publish them. */
  republish(): void;
  /** Aborted when the node stops: an `open` under way gives up, since `close` waits for it. */
  readonly ending?: AbortSignal;
}

/** Checks options and host, and makes what must exist before a lease is asked for. */
export type BackendMaker = (context: BackendContext) => Promise<Backend>;

const MAKERS: Readonly<Record<string, BackendMaker>> = {
  vxlan: createVxlan,
  'host-gw': createHostGateway,
};

/**
 * Creates the backend of that name.
 * @param more backends that the caller brings along, which need more than the context: `udp`
 * @throws Fault for an unknown name, naming the known ones; for options, naming every fault
 */
export async function createBackend(
  type: string,
  context: BackendContext,
  more: Readonly<Record<string, BackendMaker>> = {},
): Promise<Backend> {
  const maker = findMaker(type, more);
  requireUse(context.uplink);
  return maker(context);
}

/** @throws Fault for an unknown name, naming the known ones */
export function findMaker(
  type: string,
  more: Readonly<Record<string, BackendMaker>>,
): BackendMaker {
  const makers = new Map([...Object.entries(MAKERS), ...Object.entries(more)]);
  const maker = makers.get(type);
  if (maker !== undefined) return maker;
  throw new Fault(
    'configuration',
    `Backend Type '${type}' of the network config is not one of ${[...makers.keys()].join(', ')}`,
  );
}

/** What every backend of the kernel's needs of the host. */
function requireUse({ name }: Uplink): void {
  requireNetworkAdmin();
  if (isBatchWord(name)) return;
  throw new Fault(
    'environment',
    `iproute2 cannot take '${name}' as the name of an interface in a batch: rename it ` +
      `(ip link set dev '${name}' name NAME)`,
  );
}
