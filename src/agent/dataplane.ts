import type { Config } from '../config.ts';
import { type AdmissionRules, reachableByUdp } from '../lease/admission.ts';
import type { LeaseSource, SourceStatus } from '../lease/source.ts';
import type { WatcherCounts } from '../lease/watcher.ts';
import { commandRunner } from '../linux/command.ts';
import { lookUpRoute, type Route } from '../linux/route.ts';
import type { Logger } from '../log.ts';
import { STILL_MS } from '../progress/patience.ts';
import { runningPrograms } from '../progress/programs.ts';
import { ended, live } from './ending.ts';
import { endsForwarding, Fault } from './fault.ts';
import { createSource } from './lease-source.ts';
import { LeaseGuard } from './node/lease-guard.ts';
import * as settings from './node/settings.ts';
import { Settler } from './node/settler.ts';
import { type UplinkWatch, watchUplink } from './node/uplink-watch.ts';
import type { OwnView } from './observed.ts';
import { NO_COUNTS, NO_STATUS, type Peers, tellReady, watchPeers } from './peers.ts';
import { Readiness } from './readiness.ts';
import type { TunnelDevice } from './udp/device.ts';
import { Forwarder } from './udp/forwarder.ts';
import { lifelines, requireApart } from './underlay/apart.ts';
import type { Overlay } from './underlay/ground.ts';
import { GroundWatch } from './underlay/ground-watch.ts';
import { UplinkChoice } from './underlay/remembered.ts';
import type { Uplink } from './uplink.ts';

/** A rebinding is made of steps that give up what stands still, and name it. */
const REBIND_STILL_MS = 2 * STILL_MS;

/** The life of `weft dataplane`: settings → uplink → device → pumps → leases, and back. */
export class Dataplane {
  readonly readiness = new Readiness();
  readonly forwarder: Forwarder;
  private readonly config: Config;
  private readonly log: Logger;
  private readonly run = commandRunner();
  private readonly source: LeaseSource;
  private readonly ending = new AbortController();
  private fail: (error: Error) => void = () => {};
  private device: TunnelDevice | undefined;
  peers: Peers | undefined;
  uplink: Uplink | undefined;
  private sinceSeconds = 0;
  private watch: UplinkWatch | undefined;
  private settler: Settler | undefined;
  private guard: LeaseGuard | undefined;
  private ground: GroundWatch | undefined;

  constructor(config: Config, log: Logger) {
    this.config = config;
    this.log = log;
    this.source = createSource(config, log);
    this.readiness.set('start', 'starting');
    const { run, readiness } = this;
    this.forwarder = new Forwarder({
      ...{ config, run, readiness, log },
      source: this.source.name,
      settled: () => settings.requireSameNode(config, this.device!),
      fail: (fault) => this.fail(fault),
      gone: () => this.settler?.wake(),
      published: () => this.published(),
    });
  }

  /**
   * Runs until the signal (an ordered end) or a fault, which it throws. Device, pumps and watches
   * are gone when it returns, whichever way.
   */
  live(signal: AbortSignal): Promise<void> {
    const failed = new Promise<never>((_, reject) => {
      this.fail = reject;
    });
    return live({ start: () => this.start(signal), stop: () => this.stop(), failed }, signal);
  }

  private async start(signal: AbortSignal): Promise<void> {
    const { config, log } = this;
    const node = await settings.readNodeSettings(config, this.readiness, log, signal);
    const choice = this.createChoice();
    const uplink = await choice.choose(this.run);
    const mtu = settings.chooseMtu(config.mtu, node.mtu, uplink, log);
    const overlay = { ...node, tunnel: config.device, takesNetwork: true };
    await requireApart(this.run, overlay, uplink, lifelines(config));
    signal.throwIfAborted();
    this.device = { name: config.device, mtu, subnet: node.subnet, network: node.network };
    await this.forwarder.start({ device: this.device, uplink, port: config.port }, signal);
    this.uplink = uplink;
    this.ground = this.createGround(overlay);
    await this.ground.look();
    this.startWatch(uplink, choice, signal);
    this.sinceSeconds = Date.now() / 1000;
    this.readiness.set('leases', `no list of leases yet from ${this.source.name}`);
    const guard = this.createGuard(this.device);
    this.guard = guard;
    this.peers = watchPeers({
      source: this.source,
      rules: this.rules(this.device, uplink),
      log,
      changed: (peers, changes) => this.forwarder.changePeers(peers, changes),
      standing: (standing) => guard.hear(standing),
      refused: (peers) => this.ground?.heed(peers),
    });
    this.readiness.clear('start');
  }

  private createGuard(device: TunnelDevice): LeaseGuard {
    const { run, readiness, log, source, config } = this;
    return new LeaseGuard({
      ...{ run, readiness, log, source, subnet: device.subnet },
      publicAddress: () => this.uplink!.publicAddress,
      suspend: (suspended) => this.forwarder.suspend(suspended),
      settled: () => settings.requireSameNode(config, device),
      fail: (fault) => this.fail(fault),
    });
  }

  private rules({ network, subnet }: TunnelDevice, { publicAddress }: Uplink): AdmissionRules {
    const own = { subnet, publicAddress };
    return { network, own, reachable: reachableByUdp, ground: this.ground?.ground };
  }

  private createGround(overlay: Overlay): GroundWatch {
    const { run, readiness, log } = this;
    const uplink = () => this.uplink!;
    const changed = () => this.peers?.configure(this.rules(this.device!, uplink()));
    return new GroundWatch({ run, readiness, log, overlay, uplink, changed });
  }

  /** The agent beside us, whose options may be others, keeps a file of its own. */
  private createChoice(): UplinkChoice {
    const { config, log } = this;
    const given = config.subnet !== undefined;
    const path = given ? undefined : `${config.subnetFile}.dataplane-underlay`;
    return new UplinkChoice(path, config, log);
  }

  private startWatch(uplink: Uplink, choice: UplinkChoice, signal: AbortSignal): void {
    const { run, config, readiness, log } = this;
    this.settler = new Settler({
      settle: () => this.rebind(AbortSignal.any([signal, this.ending.signal])),
      failed: (error) => {
        if (endsForwarding(error)) this.fail(error);
        else if (readiness.set('rebind', error.message)) log.error(`${error.message}; trying on`);
      },
      recovered: () => readiness.clear('rebind'),
    });
    const changed = (moved: Uplink) => {
      void choice.note(moved);
      const was = this.uplink;
      if (moved.address !== was?.address) return this.settler?.wake();
      this.uplink = moved;
      if (moved.mtu !== was.mtu) this.forwarder.noteUnderlayMtu(moved.mtu);
    };
    const looked = () => void this.ground?.look();
    this.watch = watchUplink({ run, wishes: config, uplink, readiness, log, changed, looked });
  }

  /** The sockets' address is another, or the device went: the pumps start anew, leases stay. */
  private async rebind(signal: AbortSignal): Promise<void> {
    const { uplink } = this.watch!;
    const device = this.device!;
    await this.forwarder.stop(true);
    signal.throwIfAborted();
    await this.forwarder.start({ device, uplink, port: this.config.port }, signal);
    this.uplink = uplink;
    this.peers?.configure(this.rules(device, uplink));
  }

  private published(): void {
    tellReady(this.readiness, this.log, this.leaseCounts());
  }

  private async stop(): Promise<void> {
    this.readiness.set('start', 'stopping');
    this.ending.abort(new Error('stopping'));
    this.guard?.stop();
    const watches = Promise.all([this.peers?.stop(), this.watch?.stop(), this.ground?.stop()]);
    const { log, forwarder } = this;
    const watching = ended(watches, { what: 'the watches', awaited: runningPrograms }, log);
    // A rebinding under way stops and starts the forwarder too.
    const awaited = () => [...forwarder.awaited(), ...runningPrograms()];
    const rebinding = { what: 'a change of the underlay', awaited, limitMs: REBIND_STILL_MS };
    const bound = await ended(this.settler?.stop(), rebinding, log);
    await forwarder.stop(this.config.keepDevice);
    const still = [...bound, ...(await watching)];
    if (still.length > 0) throw new Fault('hang', `does not end: ${still.join('; ')}`);
  }

  // What follows is the live view that metrics, health and the API read.

  get sourceName(): string {
    return this.source.name;
  }

  /** The lease of this node; the agent beside us holds and renews it. */
  own(): OwnView | null {
    const { device, uplink, config, sinceSeconds } = this;
    if (device === undefined || uplink === undefined) return null;
    const { network, subnet } = device;
    const { publicAddress } = uplink;
    const origin = config.subnet === undefined ? config.subnetFile : '--subnet';
    const never = { renewedSeconds: null, expiresSeconds: null };
    const lost = this.guard?.lost ?? null;
    return { network, subnet, publicAddress, origin, sinceSeconds, ...never, lost };
  }

  route(destination: string): Promise<Route | undefined> {
    return lookUpRoute(this.run, destination);
  }

  notReady(): string[] {
    return this.readiness.reasons();
  }

  leaseCounts(): WatcherCounts {
    return this.peers?.counts() ?? NO_COUNTS;
  }

  leaseStatus(): SourceStatus {
    return this.peers?.status() ?? NO_STATUS;
  }
}
