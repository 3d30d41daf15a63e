import { availableParallelism } from 'node:os';
import type { Config } from '../config.ts';
import { FEATURES } from '../dataplane/messages.ts';
import { type Pool, type PumpStatus, startPool } from '../dataplane/pool.ts';
import { tableCapacity } from '../forwarding/compile.ts';
import type { LeaseSource, SourceStatus } from '../lease/source.ts';
import type { WatcherCounts } from '../lease/watcher.ts';
import { CommandError, commandRunner } from '../linux/command.ts';
import { findLink } from '../linux/link.ts';
import { lookUpRoute, type Route } from '../linux/route.ts';
import { readTransmitDrops } from '../linux/statistics.ts';
import { readSysctl } from '../linux/sysctl.ts';
import type { Logger } from '../log.ts';
import { formatAddress4 } from '../wire/address.ts';
import { createDevice, removeDevice, type TunnelDevice } from './backend/udp.ts';
import { Fault } from './fault.ts';
import { createSource } from './lease-source.ts';
import { type LeaseTable, NO_COUNTS, NO_STATUS, startLeaseTable } from './lease-table.ts';
import * as settings from './node-settings.ts';
import { Readiness } from './readiness.ts';
import { deviceGone, startUpkeep, type Upkeep } from './upkeep.ts';
import { chooseUplink, type Uplink } from './uplink.ts';

/** A /8 cut into /24s; flannel's networks hold no more. */
const MOST_LEASES = 65_536;
/** A step of the stop that takes longer hangs; the process ends without it. */
const STOP_STEP_MS = 3_000;

/** The device and what lies under it, once they are there. */
export interface Tunnel {
  readonly device: TunnelDevice;
  readonly index: number;
  readonly uplink: Uplink;
  /** Unix time. */
  readonly sinceSeconds: number;
}

/** The life of `weft dataplane`: settings → uplink → device → pumps → leases, and back. */
export class Dataplane {
  readonly workers: number;
  readonly featureNames = FEATURES;
  readonly readiness = new Readiness();
  private readonly config: Config;
  private readonly log: Logger;
  private readonly run = commandRunner();
  private readonly workersReason: string;
  private source: LeaseSource | undefined;
  tunnel: Tunnel | undefined;
  private pool: Pool | undefined;
  table: LeaseTable | undefined;
  private upkeep: Upkeep | undefined;
  private dropsBefore = 0;
  private lastDrops = 0;
  private forwarding = false;
  private stopping = false;

  constructor(config: Config, log: Logger) {
    this.config = config;
    this.log = log;
    const chosen = settings.chooseWorkers(config.workers, availableParallelism());
    this.workers = chosen.count;
    this.workersReason = chosen.reason;
    this.readiness.set('start', 'starting');
  }

  /**
   * Runs until the signal (an ordered end) or a fault, which it throws. Device, pumps and watches
   * are gone when it returns, whichever way.
   */
  async live(signal: AbortSignal): Promise<void> {
    let fail: (fault: Fault) => void = () => {};
    const failed = new Promise<never>((_, reject) => {
      fail = reject;
    });
    failed.catch(() => {});
    const asked = new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    try {
      const started = this.start(signal, fail);
      await Promise.race([started, failed, asked.then(() => started)]);
      await Promise.race([asked, failed]);
    } catch (error) {
      // Whatever a step says of being interrupted is not a fault.
      if (!signal.aborted) throw error;
    } finally {
      await this.stop();
    }
  }

  private async start(signal: AbortSignal, fail: (fault: Fault) => void): Promise<void> {
    const { config, log } = this;
    this.source = createSource(config, log);
    const node = await settings.readNodeSettings(config, this.readiness, log, signal);
    const uplink = await chooseUplink(this.run, config);
    const mtu = settings.chooseMtu(config.mtu, node.mtu, uplink, log);
    signal.throwIfAborted();
    await settings.requireFreePort(uplink.address, config.port);
    const device = { name: config.device, mtu, subnet: node.subnet, network: node.network };
    const { index, unset } = await createDevice(this.run, device);
    this.tunnel = { device, index, uplink, sinceSeconds: Date.now() / 1000 };
    this.warnOfHost(unset);
    signal.throwIfAborted();
    await this.startPumps(this.tunnel, signal, fail);
    this.startLeases(this.tunnel);
    this.startUpkeep(this.tunnel, fail);
    this.readiness.clear('start');
    this.announce(this.tunnel);
  }

  /** What forwarding needs of the host and weft does not take upon itself. */
  private warnOfHost(unset: readonly string[]): void {
    if (unset.length > 0) {
      this.log.warn(`could not set ${unset.join(', ')}: set them on the host`);
    }
    if (readSysctl('net/ipv4/ip_forward') === '0') {
      this.log.warn(
        'net.ipv4.ip_forward is 0: pods will not be reached; sysctl net.ipv4.ip_forward=1',
      );
    }
  }

  private async startPumps(
    { device, uplink }: Tunnel,
    signal: AbortSignal,
    fail: (fault: Fault) => void,
  ): Promise<void> {
    const { config } = this;
    this.pool = startPool({
      workers: this.workers,
      device: device.name,
      mtu: device.mtu,
      bindAddress: uplink.address,
      port: config.port,
      accept: config.accept,
      timeToLive: config.timeToLive,
      disabled: FEATURES.filter((feature) => config.disabled.includes(feature)),
      txPorts: config.txPorts,
      dscp: config.dscp,
      busyPoll: config.busyPoll,
      tableWords: tableCapacity(device.network, MOST_LEASES),
      log: this.log,
    });
    void this.pool.ended.then((end) => this.pumpsEnded(end.reason, fail));
    await Promise.race([this.pool.ready.catch(pumpsRefused), aborted(signal)]);
    this.forwarding = true;
    this.dropsBefore = readTransmitDrops(device.name) ?? 0;
  }

  /** A pump dies of a deleted device too; the operator is told of the cause, not of the symptom. */
  private async pumpsEnded(reason: string | undefined, fail: (fault: Fault) => void) {
    // What ends before it forwards is told by `ready`.
    if (this.stopping || !this.forwarding || this.tunnel === undefined) return;
    const { device, index } = this.tunnel;
    const found = await findLink(this.run, device.name).catch(() => undefined);
    if (found?.index !== index) fail(deviceGone(device.name));
    else fail(new Fault('dataplane', `a packet worker ended: ${reason ?? 'without a reason'}`));
  }

  private startLeases({ device, uplink }: Tunnel): void {
    this.readiness.set('leases', `no list of leases yet from ${this.source!.name}`);
    this.table = startLeaseTable({
      source: this.source!,
      publication: this.pool!.publication,
      network: device.network,
      own: { subnet: device.subnet, publicAddress: uplink.publicAddress },
      log: this.log,
      published: () => {
        if (!this.readiness.clear('leases')) return;
        const { peers } = this.table!.counts();
        this.log.info({ peers }, `ready: ${peers} peer${peers === 1 ? '' : 's'}`);
      },
    });
  }

  private startUpkeep({ device, index, uplink }: Tunnel, fail: (fault: Fault) => void): void {
    const { run, readiness, log } = this;
    const settled = () => settings.requireSameNode(this.config, device);
    const options = { run, device, index, uplink, readiness, log, settled, fail };
    this.upkeep = startUpkeep(options);
  }

  /** The one line of the start: all that support would ask for. */
  private announce({ device, uplink }: Tunnel): void {
    const { config } = this;
    const features = this.features();
    const details = {
      device: device.name,
      mtu: device.mtu,
      subnet: settings.describeNode(device),
      underlay: uplink.name,
      address: formatAddress4(uplink.address),
      publicAddress: formatAddress4(uplink.publicAddress),
      port: config.port,
      workers: this.workers,
      leases: this.source!.name,
      features,
    };
    this.log.info(
      details,
      `forwarding ${settings.describeNode(device)} through ${device.name} (MTU ${device.mtu}) ` +
        `over ${uplink.name} ${details.address}:${config.port} (${uplink.reason}), ` +
        `${this.workers} out and ${this.workers} in workers (${this.workersReason}), leases from ` +
        `${this.source!.name}, features: ${features.join(' ') || 'none'}`,
    );
  }

  private features(): string[] {
    const pumps = this.pool?.pumps() ?? [];
    return FEATURES.filter((feature) => pumps.some((pump) => pump.features.includes(feature)));
  }

  /** Pumps first, so that nothing reads a device that goes; each step has a deadline. */
  private async stop(): Promise<void> {
    this.stopping = true;
    this.readiness.set('start', 'stopping');
    const hung: string[] = [];
    const step = async (what: string, work: Promise<unknown> | undefined) => {
      if (!(await settledWithin(STOP_STEP_MS, work, this.log))) hung.push(what);
    };
    await Promise.all([
      step('the packet workers', this.pool?.stop()),
      step('the lease source', this.table?.stop()),
      step("'ip monitor'", this.upkeep?.stop()),
    ]);
    if (this.tunnel !== undefined && !this.config.keepDevice) {
      const { device, index } = this.tunnel;
      await step(`removing ${device.name}`, removeDevice(this.run, device.name, index));
    }
    if (hung.length === 0) return;
    throw new Fault('hang', `did not end within ${STOP_STEP_MS / 1000} s: ${hung.join(', ')}`);
  }

  // What follows is the live view that metrics, health and the API read, with tunnel and table.

  get leaseSourceName(): string {
    return this.source?.name ?? '';
  }

  /** The kernel's route to an address; undefined where it has none. */
  route(destination: string): Promise<Route | undefined> {
    return lookUpRoute(this.run, destination).catch((error: unknown) => {
      if (error instanceof CommandError && /unreachable/i.test(error.stderr)) return undefined;
      throw error;
    });
  }

  get counters(): Pool['counters'] {
    return this.pool?.counters ?? [];
  }

  pumps(): readonly PumpStatus[] {
    return this.pool?.pumps() ?? [];
  }

  notReady(): string[] {
    return this.readiness.reasons();
  }

  leaseCounts(): WatcherCounts {
    return this.table?.counts() ?? NO_COUNTS;
  }

  leaseStatus(): SourceStatus {
    return this.table?.status() ?? NO_STATUS;
  }

  get publications(): number {
    return this.table?.publications ?? 0;
  }

  get deviceUp(): boolean {
    return this.upkeep?.deviceUp ?? false;
  }

  /** MTU in bytes of the tunnel and of the underlay; 0 while not known. */
  get mtu(): { inner: number; underlay: number } {
    const underlay = this.upkeep?.underlayMtu ?? this.tunnel?.uplink.mtu ?? 0;
    return { inner: this.tunnel?.device.mtu ?? 0, underlay };
  }

  /** Packets the kernel dropped before a pump could read them, since the pumps are there. */
  tunQueueDrops(): number {
    if (this.tunnel === undefined || this.pool === undefined) return 0;
    const now = readTransmitDrops(this.tunnel.device.name);
    if (now !== undefined) this.lastDrops = Math.max(0, now - this.dropsBefore);
    return this.lastDrops;
  }
}

/** A queue or a socket that could not be had; the pump names it. */
function pumpsRefused(error: Error): never {
  throw new Fault('environment', error.message);
}

/** Rejects when the signal comes. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

/** Whether the work ended in time; a failure is logged and counts as an end. */
async function settledWithin(
  milliseconds: number,
  work: Promise<unknown> | undefined,
  log: Logger,
): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), milliseconds);
  });
  const ended = Promise.resolve(work).then(
    () => true as const,
    (error: Error) => {
      log.error(error.message);
      return true as const;
    },
  );
  const result = await Promise.race([ended, late]);
  clearTimeout(timer);
  return result;
}
