import { availableParallelism } from 'node:os';
import type { Config } from '../../config.ts';
import { FEATURES } from '../../dataplane/messages.ts';
import { addUp, type Pool, type PumpStatus, startPool } from '../../dataplane/pool.ts';
import type { Taps } from '../../dataplane/tap/reader.ts';
import { tableCapacity } from '../../forwarding/compile.ts';
import type { PeerRow } from '../../lease/watcher.ts';
import type { Run } from '../../linux/command.ts';
import { readTransmitDrops } from '../../linux/counters/device.ts';
import { CountersSince } from '../../linux/counters/network.ts';
import { findLink } from '../../linux/link.ts';
import { readSysctl } from '../../linux/sysctl.ts';
import type { Logger } from '../../log.ts';
import { runningPrograms } from '../../progress/programs.ts';
import type { Awaited } from '../../progress/signs.ts';
import { formatAddress4 } from '../../wire/address.ts';
import { ended } from '../ending.ts';
import { Fault } from '../fault.ts';
import * as settings from '../node/settings.ts';
import type { Readiness } from '../readiness.ts';
import type { Uplink } from '../uplink.ts';
import { createDevice, removeDevice, type TunnelDevice } from './device.ts';
import { type LeaseTraffic, PeerBooks } from './peer-books.ts';
import { PeerTable } from './peer-table.ts';
import { pumpsUp } from './pumps-up.ts';
import { Revival } from './revival.ts';
import { startUpkeep, type Upkeep } from './upkeep.ts';

/** A /8 cut into /24s; flannel's networks hold no more. */
const MOST_LEASES = 65_536;

export interface ForwarderOptions {
  readonly config: Config;
  readonly run: Run;
  readonly readiness: Readiness;
  readonly log: Logger;
  /** Where leases come from, for the log. */
  readonly source: string;
  /** Throws a Fault once the node's settings are no longer those it runs with. */
  readonly settled: () => Promise<void>;
  /** Told of what it cannot go on with: a pump died, the settings are others. */
  readonly fail: (fault: Fault) => void;
  /** The device was deleted some time ago: stop, and start again. */
  readonly gone: () => void;
  /** A table was handed to the pumps. */
  readonly published: () => void;
}

/** Who knows all peers, for a start that has to begin with them. */
export interface PeerRows {
  rows(): readonly PeerRow[];
}

/** The device to forward through, and what lies under it. */
export interface Way {
  readonly device: TunnelDevice;
  readonly uplink: Uplink;
  /** Every node's, 8285 where nobody says otherwise. */
  readonly port: number;
}

/** The same, once they are there. */
interface Tunnel extends Way {
  readonly index: number;
}

/**
 * Moves packets for one subnet: device, pumps, their table and the upkeep of them. May be started
 * again after a stop, with another subnet or uplink; the peers set last are remembered.
 */
export class Forwarder {
  readonly workers: number;
  readonly featureNames = FEATURES;
  private readonly options: ForwarderOptions;
  private readonly workersReason: string;
  private tunnel: Tunnel | undefined;
  /** Of the device made last, which may have been kept. */
  private madeIndex: number | undefined;
  private pool: Pool | undefined;
  private table: PeerTable | undefined;
  private upkeep: Upkeep | undefined;
  private underlayMtu: number | undefined;
  private peers: PeerRows | undefined;
  private suspended = false;
  private publicationsBefore = 0;
  private past: Pool['counters'] = [];
  private dropsBefore = 0;
  private lastDrops = 0;
  private forwarding = false;
  private stopping = false;
  private readonly kernel = new CountersSince();
  private readonly books = new PeerBooks((peer) =>
    this.pool?.accounts.traffic(formatAddress4(peer)),
  );
  private readonly revival = new Revival();
  private reviving: NodeJS.Timeout | undefined;
  /** The device was deleted under the pumps, and nothing is forwarded until the next start. */
  lost = false;
  /** Times it was made anew after that. */
  recreations = 0;

  constructor(options: ForwarderOptions) {
    this.options = options;
    const chosen = settings.chooseWorkers(options.config.workers, availableParallelism());
    this.workers = chosen.count;
    this.workersReason = chosen.reason;
  }

  /**
   * Resolves when every queue and socket has its pump.
   * @throws Fault for what is in the way; call `stop` after that too
   */
  async start(way: Way, signal: AbortSignal): Promise<void> {
    const { run, config, log } = this.options;
    const { device, uplink, port } = way;
    this.stopping = false;
    this.forwarding = false;
    await settings.requireFreePort(uplink.address, port, run);
    const past = { index: this.madeIndex, keep: config.keepDevice };
    const { index, unset, warnings } = await createDevice(run, device, past);
    this.tunnel = { ...way, index };
    this.madeIndex = index;
    for (const warning of warnings) log.warn(warning);
    this.warnOfHost(unset);
    signal.throwIfAborted();
    await this.startPumps(this.tunnel, signal);
    this.startUpkeep(this.tunnel);
    this.announce(this.tunnel);
    if (this.lost) this.recreations += 1;
    this.lost = false;
  }

  /** The peers, all of them; those of before stay in force until the first call. */
  setPeers(peers: PeerRows): void {
    this.peers = peers;
    this.books.changing(peers.rows());
    this.table?.set(peers.rows(), this.suspended);
  }

  /** The same where it is known what changed since the last call, or since there were none. */
  changePeers(peers: PeerRows, changes: readonly PeerRow[]): void {
    const isFirst = this.peers === undefined;
    this.peers = peers;
    this.books.changing(changes);
    // Before the first peers the table was not told whether it is suspended.
    if (isFirst) this.setPeers(peers);
    else this.table?.change(changes);
  }

  /** While suspended nothing passes in either direction; what arrives is counted. */
  suspend(suspended: boolean): void {
    if (suspended === this.suspended) return;
    this.suspended = suspended;
    if (this.peers !== undefined) this.table?.set(this.peers.rows(), suspended);
  }

  /** The next start publishes no peers until it is told some. */
  forgetPeers(): void {
    this.peers = undefined;
  }

  /** The underlay's MTU changed; the device keeps its own, which pods were told. */
  noteUnderlayMtu(mtu: number): void {
    if (this.tunnel === undefined) return;
    const { device, uplink } = this.tunnel;
    this.underlayMtu = mtu;
    const small = mtu - settings.ENCAPSULATION_BYTES < device.mtu;
    const verdict = small ? `: too small for ${device.name}, restart weft` : '';
    this.options.log.warn(`underlay ${uplink.name} now has MTU ${mtu}${verdict}`);
  }

  /** What forwarding needs of the host and weft does not take upon itself. */
  private warnOfHost(unset: readonly string[]): void {
    const { log } = this.options;
    if (unset.length > 0) log.warn(`could not set ${unset.join(', ')}: set them on the host`);
    if (readSysctl('net/ipv4/ip_forward') === '0') {
      log.warn('net.ipv4.ip_forward is 0: pods will not be reached; sysctl net.ipv4.ip_forward=1');
    }
  }

  private async startPumps({ device, uplink, port }: Way, signal: AbortSignal): Promise<void> {
    const { config, log } = this.options;
    const pool = startPool({
      workers: this.workers,
      device: device.name,
      mtu: device.mtu,
      bindAddress: formatAddress4(uplink.address),
      port,
      accept: config.accept,
      timeToLive: config.timeToLive,
      disabled: FEATURES.filter((feature) => config.offloads.off.includes(feature)),
      forced: FEATURES.filter((feature) => config.offloads.forced.includes(feature)),
      txPorts: config.txPorts,
      dscp: config.dscp,
      busyPoll: config.busyPoll,
      tableWords: tableCapacity(device.network, MOST_LEASES),
      log,
    });
    this.pool = pool;
    void pool.ended.then((end) => this.pumpsEnded(pool, end.reason));
    await Promise.race([pumpsUp(pool, log), aborted(signal)]);
    this.forwarding = true;
    this.dropsBefore = (readTransmitDrops(device.name) ?? 0) - this.lastDrops;
    const { network, subnet } = device;
    const published = () => this.options.published();
    const { publication, accounts } = pool;
    this.table = new PeerTable({ publication, accounts, network, subnet, port, log, published });
    if (this.peers !== undefined) this.table.set(this.peers.rows(), this.suspended);
  }

  /** The threads that a start or a stop hangs on now. */
  awaited(): readonly Awaited[] {
    return this.pool?.awaited() ?? [];
  }

  /** A pump dies of a deleted device too; the operator is told of the cause, not of the symptom. */
  private async pumpsEnded(pool: Pool, reason: string | undefined) {
    const over = () => this.stopping || this.pool !== pool || this.tunnel === undefined;
    // What ends before it forwards is told by `ready`.
    if (over() || !this.forwarding) return;
    const { device, index } = this.tunnel!;
    const found = await findLink(this.options.run, device.name).catch(() => undefined);
    if (over()) return;
    if (found?.index !== index) return this.deviceGone(device);
    const why = reason ?? 'without a reason';
    this.options.fail(new Fault('dataplane', `a packet worker ended: ${why}`));
  }

  /** Heard of by the pumps and by the upkeep. */
  private deviceGone({ name }: TunnelDevice): void {
    if (this.stopping || this.reviving !== undefined) return;
    const { readiness, log, gone } = this.options;
    this.lost = true;
    const pauseMs = this.revival.pause(performance.now());
    const when = pauseMs === 0 ? '' : ` in ${pauseMs / 1000} s; who deletes it again and again?`;
    const sentence = `${name} was deleted under weft: creating it again${when}`;
    readiness.set('device', sentence);
    log.warn(sentence);
    this.reviving = setTimeout(gone, pauseMs);
  }

  private startUpkeep({ device, index }: Tunnel): void {
    const { run, readiness, log, settled, fail } = this.options;
    const gone = () => this.deviceGone(device);
    const own = { index, queues: this.workers };
    this.upkeep = startUpkeep({ run, device, own, readiness, log, settled, fail, gone });
  }

  /** The one line of the start: all that support would ask for. */
  private announce({ device, uplink, port }: Way): void {
    const { source, log } = this.options;
    const features = this.features();
    const details = {
      device: device.name,
      mtu: device.mtu,
      subnet: settings.describeNode(device),
      underlay: uplink.name,
      address: formatAddress4(uplink.address),
      publicAddress: formatAddress4(uplink.publicAddress),
      port,
      workers: this.workers,
      leases: source,
      features,
    };
    log.info(
      details,
      `forwarding ${settings.describeNode(device)} through ${device.name} (MTU ${device.mtu}) ` +
        `over ${uplink.name} ${details.address}:${port} (${uplink.reason}), ` +
        `${this.workers} out and ${this.workers} in workers (${this.workersReason}), leases from ` +
        `${source}, features: ${features.join(' ') || 'none'}`,
    );
  }

  private features(): string[] {
    const pumps = this.pumps();
    return FEATURES.filter((feature) => pumps.some((pump) => pump.features.includes(feature)));
  }

  /**
   * Pumps first, so that nothing reads a device that goes; no step waits for what stands still.
   * @throws Fault of kind `hang` that names what did not end
   */
  async stop(keepDevice: boolean): Promise<void> {
    this.stopping = true;
    const { pool, upkeep, tunnel, table } = this;
    const { log, run, readiness } = this.options;
    const hung: string[] = [];
    const step = async (what: string, work?: Promise<unknown>, awaited = runningPrograms) => {
      const still = await ended(work, { what, awaited }, log);
      if (still.length > 0) hung.push(`${what} (${still.join('; ')})`);
    };
    table?.stop();
    clearTimeout(this.reviving);
    this.reviving = undefined;
    await Promise.all([
      step('the packet workers', pool?.stop(), () => [...this.awaited()]),
      step("'ip monitor'", upkeep?.stop()),
    ]);
    this.tunQueueDrops();
    if (tunnel !== undefined && !keepDevice) {
      const { device, index } = tunnel;
      await step(`removing ${device.name}`, removeDevice(run, device.name, index));
    }
    for (const cause of ['device', 'upkeep']) readiness.clear(cause);
    this.publicationsBefore = this.publications;
    this.past = addUp(this.counters);
    this.books.closing();
    this.pool = undefined;
    this.table = undefined;
    this.upkeep = undefined;
    this.underlayMtu = undefined;
    this.tunnel = undefined;
    if (hung.length === 0) return;
    throw new Fault('hang', `these do not end: ${hung.join(', ')}`);
  }

  // What follows is the live view that metrics and health read.

  /** Of the pumps there are, and of those before them. */
  get counters(): Pool['counters'] {
    return [...this.past, ...(this.pool?.counters ?? [])];
  }

  /** What went to and came from each of the leases, that of a node at one of its own. */
  traffic(leases: readonly PeerRow[]): LeaseTraffic[] {
    return this.books.show(leases);
  }

  /** Copies of packets for whoever watches; undefined while there are no pumps. */
  get taps(): Taps | undefined {
    return this.pool?.taps;
  }

  /** Pumps that ended with their device are not ones that hang. */
  pumps(): readonly PumpStatus[] {
    return this.lost ? [] : (this.pool?.pumps() ?? []);
  }

  get device(): TunnelDevice | undefined {
    return this.tunnel?.device;
  }

  /** Tells one device from the next of the same name; undefined while there is none. */
  get deviceIndex(): number | undefined {
    return this.tunnel?.index;
  }

  /** UDP port of every node; undefined while not forwarding. */
  get port(): number | undefined {
    return this.tunnel?.port;
  }

  get publications(): number {
    return this.publicationsBefore + (this.table?.publications ?? 0);
  }

  get deviceUp(): boolean {
    // While it stops nobody reads the device, and probes would only be lost.
    return !this.lost && !this.stopping && (this.upkeep?.deviceUp ?? false);
  }

  /** MTU in bytes of the tunnel and of the underlay; 0 while not known. */
  get mtu(): { inner: number; underlay: number } {
    const { device, uplink } = this.tunnel ?? {};
    return { inner: device?.mtu ?? 0, underlay: this.underlayMtu ?? uplink?.mtu ?? 0 };
  }

  /** What the kernel counted since this was made, by nstat(8)'s names. */
  kernelCounts(): ReadonlyMap<string, number> {
    return this.kernel.read();
  }

  /** Packets the kernel dropped before a pump could read them, since the pumps are there. */
  tunQueueDrops(): number {
    if (this.tunnel === undefined || this.pool === undefined) return this.lastDrops;
    const now = readTransmitDrops(this.tunnel.device.name);
    if (now !== undefined) this.lastDrops = Math.max(this.lastDrops, now - this.dropsBefore);
    return this.lastDrops;
  }
}

/** Rejects when the signal comes. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
