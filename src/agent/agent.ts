import { setTimeout as pause } from 'node:timers/promises';
import type { Config } from '../config.ts';
import type { NetworkConfig, NetworkReading } from '../lease/network.ts';
import { type LeaseKeeperStatus, type LeaseRegistry, NO_LEASE_STATUS } from '../lease/registry.ts';
import type { LeaseSource, SourceStatus } from '../lease/source.ts';
import type { WatcherCounts } from '../lease/watcher.ts';
import { CommandError, commandRunner } from '../linux/command.ts';
import { lookUpRoute, type Route } from '../linux/route.ts';
import type { Logger } from '../log.ts';
import { STILL_MS } from '../progress/patience.ts';
import { runningPrograms } from '../progress/programs.ts';
import { formatPrefix4, type Prefix4 } from '../wire/address.ts';
import type { BackendMaker, BackendStatus } from './backend/backend.ts';
import { checkNetwork, requireNetwork } from './backend/check.ts';
import { clearFormerNetwork } from './backend/former.ts';
import { InForce, type InForceStatus, sameConfig } from './config/in-force.ts';
import { ended, live } from './ending.ts';
import { Fault } from './fault.ts';
import type { FirewallStatus } from './firewall/firewall.ts';
import { awaitNetworkConfig, createRegistry, createSource } from './lease-source.ts';
import { Member } from './member.ts';
import { Rounds } from './node/rounds.ts';
import { readSubnetFile, type SubnetFile } from './node/subnet-file.ts';
import { type UplinkWatch, watchUplink } from './node/uplink-watch.ts';
import type { Observed, OwnView } from './observed.ts';
import { NO_COUNTS, NO_STATUS, type Peers } from './peers.ts';
import { Readiness } from './readiness.ts';
import { createForDataplane, LeaseOnly, Udp } from './udp/backend.ts';
import { Forwarder } from './udp/forwarder.ts';
import { lifelines, requireApart } from './underlay/apart.ts';
import { UplinkChoice } from './underlay/remembered.ts';
import type { Uplink } from './uplink.ts';

/** A network config that cannot be used is looked at again; somebody is at work on it. */
const LOOK_AGAIN_MS = 2_000;
/** Its parts give up what stands still, and name it; this is for what none of them looks at. */
const STOP_STILL_MS = 2 * STILL_MS;

export interface AgentOptions {
  readonly config: Config;
  readonly log: Logger;
  /** `weft run` moves packets itself; `weft agent` leaves the udp backend's to `weft dataplane`. */
  readonly movesPackets: boolean;
}

/**
 * The life of `weft agent` and `weft run`: network config → uplink → member, until a signal; with
 * another member in its place when the network config is another at SIGHUP.
 */
export class Agent implements Observed {
  readonly readiness = new Readiness();
  readonly forwarder: Forwarder | undefined;
  private readonly config: Config;
  private readonly log: Logger;
  private readonly run = commandRunner();
  private readonly source: LeaseSource;
  private readonly registry: LeaseRegistry;
  private readonly makers: Readonly<Record<string, BackendMaker>>;
  private readonly ending = new AbortController();
  private fail: (error: Error) => void = () => {};
  private member: Member | undefined;
  private watch: UplinkWatch | undefined;
  private readonly reloads = new Rounds(() => this.reloadOnce());
  /** SIGHUP came before there was anything to compare with. */
  private reloadAsked = false;
  private readonly inForce: InForce;

  /** @throws SourceOptionsError */
  constructor({ config, log, movesPackets }: AgentOptions) {
    this.config = config;
    this.log = log;
    this.source = createSource(config, log);
    this.registry = createRegistry(config, log);
    this.forwarder = movesPackets ? this.createForwarder() : undefined;
    this.makers = this.createMakers();
    this.readiness.set('start', 'starting');
    this.inForce = new InForce({
      read: () => this.source.config!(),
      current: () => this.member?.network,
      log,
    });
  }

  /** Runs until the signal (an ordered end) or a fault, which it throws. */
  live(signal: AbortSignal): Promise<void> {
    const failed = new Promise<never>((_, reject) => {
      this.fail = reject;
    });
    signal.addEventListener('abort', () => this.ending.abort(signal.reason), { once: true });
    return live({ start: () => this.start(), stop: () => this.stop(), failed }, signal);
  }

  /**
   * SIGHUP: reads the network config again, and looks at everything. Never forgotten: what comes
   * during the start or a takeover is answered by one more round after it.
   */
  reload(): void {
    if (this.first) {
      this.reloadAsked = true;
      this.log.info('SIGHUP: the network config is read again once weft has started');
      return;
    }
    if (this.reloads.busy) this.log.info('SIGHUP: at work; the network config is read again after');
    void this.reloads.ask();
  }

  private async reloadOnce(): Promise<void> {
    try {
      await this.readAgain();
    } catch (error) {
      this.fail(error as Error);
    }
    if (!this.ending.signal.aborted) await this.inForce.look();
  }

  private async start(): Promise<void> {
    const { signal } = this.ending;
    const { readiness, log, source, run, config } = this;
    const waiting = (reason: string) => readiness.set('config', reason);
    const network = await awaitNetworkConfig(source, log, signal, { waiting });
    readiness.clear('config');
    const choice = new UplinkChoice(`${config.subnetFile}.underlay`, config, log);
    const uplink = await choice.choose(run);
    await this.join(network, () => this.uplink ?? uplink);
    const changed = (moved: Uplink) => {
      void choice.note(moved);
      this.member?.move(moved);
    };
    const looked = () => this.member?.lookAround();
    this.watch = watchUplink({ run, wishes: config, uplink, readiness, log, changed, looked });
    readiness.clear('start');
    if (this.reloadAsked) this.reload();
    else void this.inForce.look();
  }

  /** A config that is well-formed and still cannot be used is waited out, like a bad one. */
  private async join(first: NetworkConfig, uplink: () => Uplink): Promise<void> {
    const { readiness, log } = this;
    for (let network = first; ; ) {
      try {
        await this.enter(network, uplink());
        for (const cause of ['config', 'takeover']) readiness.clear(cause);
        return;
      } catch (error) {
        const { message } = error as Error;
        await this.member?.stop();
        if (error instanceof Fault && error.kind === 'configuration') {
          const sentence = `the network config cannot be used: ${message}`;
          if (readiness.set('config', sentence)) log.error(`${sentence}; waiting for another`);
          network = await this.anotherConfig(network);
        } else if (!this.first && mayHeal(error)) {
          if (readiness.set('takeover', message)) log.error(`${message}; trying on`);
          network = await this.latestConfig(network);
        } else throw error;
      }
    }
  }

  /** Before weft runs for the first time, somebody is there to be told what the host refuses. */
  private get first(): boolean {
    return this.watch === undefined;
  }

  private async latestConfig(known: NetworkConfig): Promise<NetworkConfig> {
    await pause(LOOK_AGAIN_MS, undefined, { signal: this.ending.signal });
    const reading = await this.source.config!();
    return reading.kind === 'config' ? reading.config : known;
  }

  private async anotherConfig(refused: NetworkConfig): Promise<NetworkConfig> {
    for (;;) {
      await pause(LOOK_AGAIN_MS, undefined, { signal: this.ending.signal });
      const reading = await this.source.config!();
      if (reading.kind !== 'config' || sameConfig(reading.config, refused)) continue;
      return reading.config;
    }
  }

  private async enter(network: NetworkConfig, uplink: Uplink): Promise<void> {
    const { config, source, registry, makers, run, readiness, log } = this;
    this.member = undefined;
    const former = await readSubnetFile(config.subnetFile);
    if (this.first && former !== undefined) await this.clearFormer(former, network, uplink);
    const previous = former?.subnet;
    await this.requireApart(network, uplink, previous);
    const fail = (error: Error) => this.fail(error);
    const { first } = this;
    const rest = { config, source, registry, makers, run, readiness, log, fail, first };
    this.warnOfMtu(network);
    this.member = new Member({ network, uplink, previous, ...rest });
    await this.member.start(this.ending.signal);
    const now = this.uplink;
    // It may have changed while there was no member to be told.
    if (now !== undefined && now !== uplink) this.member.move(now);
    log.info(`agent: ${this.member.describe()}, leases in ${registry.name}`);
  }

  /** Another network was put while weft did not run: nobody else knows what is left of the old. */
  private async clearFormer(former: SubnetFile, next: NetworkConfig, uplink: Uplink) {
    const { run, log, config } = this;
    const { ipv4, backend } = next;
    const { network, subnet } = former;
    if (ipv4 === null || sameRange({ network, subnetLength: subnet.length }, ipv4)) return;
    const what = `what is left of ${formatPrefix4(network)}, the network of ${config.subnetFile}`;
    try {
      const successor = { backend, uplink: uplink.name, tunnel: config.device };
      const gone = await clearFormerNetwork(run, former, successor);
      if (gone.length > 0) log.info(`removed ${what}: ${gone.join(', ')}`);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      log.warn(`${what} stays, for ${error.message}: look at 'ip route' and 'ip address'`);
    }
  }

  /** Before anything is set up for it: a Network must not take the way to the lease store. */
  private async requireApart(config: NetworkConfig, uplink: Uplink, subnet?: Prefix4) {
    const { run, config: options } = this;
    const network = requireNetwork(config);
    const takesNetwork = config.backend.type === 'udp';
    const known = subnet ?? { network: network.network, length: 32 };
    const overlay = { network, subnet: known, tunnel: options.device, takesNetwork };
    await requireApart(run, overlay, uplink, lifelines(options));
  }

  /** Only pumps of our own take their MTU from the option. */
  private warnOfMtu({ backend: { type } }: NetworkConfig): void {
    const { mtu } = this.config;
    if (mtu === undefined || (type === 'udp' && this.forwarder !== undefined)) return;
    const who = type === 'udp' ? 'weft dataplane has one of its own' : `backend ${type} has none`;
    this.log.warn(`--mtu ${mtu} has no effect: ${who}; the MTU follows the underlay's`);
  }

  private async readAgain(): Promise<void> {
    const { log, ending } = this;
    const reading = await this.readConfig();
    const member = this.member!;
    if (ending.signal.aborted) return;
    const refusal = await this.refuse(reading);
    if (refusal !== '' || reading.kind !== 'config') {
      const cure = 'SIGHUP again once that is corrected';
      log.error(`SIGHUP: ${refusal}; the network config in force stays; ${cure}`);
    } else if (sameConfig(reading.config, member.network)) {
      log.info('SIGHUP: the network config is the same; looking at firewall and backend');
      member.look();
    } else {
      log.info('SIGHUP: the network config is another: taking it over');
      await member.leave(sameRange(member.network.ipv4, reading.config.ipv4));
      if (!ending.signal.aborted) await this.join(reading.config, () => this.watch!.uplink);
    }
  }

  /** As the store has it; one that does not answer is asked until it does, told once. */
  private async readConfig(): Promise<NetworkReading> {
    const { source, log, ending } = this;
    for (let told = false; ; told = true) {
      const reading = await source.config!();
      if (reading.kind !== 'unreachable' || ending.signal.aborted) return reading;
      if (!told)
        log.error(`SIGHUP: ${reading.reason}; the network config in force stays; asking on`);
      await pause(LOOK_AGAIN_MS, undefined, { signal: ending.signal });
    }
  }

  /** What is wrong with a config, as far as a look can tell, or the empty string. */
  private async refuse(reading: NetworkReading): Promise<string> {
    if (reading.kind !== 'config') return explain(reading);
    try {
      checkNetwork(reading.config, this.watch!.uplink, this.makers);
      await this.requireApart(reading.config, this.watch!.uplink);
      return '';
    } catch (error) {
      return (error as Error).message;
    }
  }

  private async stop(): Promise<void> {
    this.readiness.set('start', 'stopping');
    this.ending.abort(new Error('stopping'));
    const work = Promise.all([
      this.reloads.stop(),
      this.inForce.stop(),
      this.watch?.stop(),
      this.member?.stop(),
    ]);
    // A takeover under way may have left another member behind.
    const all = work.then(() => this.member?.stop());
    const awaited = () => [...(this.forwarder?.awaited() ?? []), ...runningPrograms()];
    const wait = { what: 'the end', awaited, limitMs: STOP_STILL_MS };
    const still = await ended(all, wait, this.log);
    if (still.length > 0) throw new Fault('hang', `does not end: ${still.join('; ')}`);
  }

  private createForwarder(): Forwarder {
    const { config, run, readiness, log } = this;
    return new Forwarder({
      ...{ config, run, readiness, log },
      source: this.source.name,
      settled: async () => {},
      fail: (fault) => this.fail(fault),
      gone: () => this.member?.look(),
      published: () => {},
    });
  }

  private createMakers(): Readonly<Record<string, BackendMaker>> {
    const { forwarder, config } = this;
    const alloc: BackendMaker = async (context) => new LeaseOnly('alloc', context, 0);
    if (forwarder === undefined) return { udp: createForDataplane, alloc };
    return { udp: async (context) => new Udp(config, context, forwarder), alloc };
  }

  // What follows is the live view that metrics, health and the API read.

  get sourceName(): string {
    return this.source.name;
  }

  get peers(): Peers | undefined {
    return this.member?.peers;
  }

  get uplink(): Uplink | undefined {
    return this.watch?.uplink;
  }

  own(): OwnView | null {
    const { member } = this;
    const { lease, secondsLeft } = this.lease();
    if (member === undefined || lease === null) return null;
    return {
      network: member.range,
      subnet: lease.subnet,
      publicAddress: lease.publicAddress,
      origin: this.registry.name,
      sinceSeconds: member.heldSinceSeconds,
      renewedSeconds: null,
      expiresSeconds: secondsLeft === null ? null : Date.now() / 1000 + secondsLeft,
      lost: null,
    };
  }

  lease(): LeaseKeeperStatus {
    return this.member?.keeper?.status() ?? NO_LEASE_STATUS;
  }

  /** Of the backend in force, with its name; undefined before there is one. */
  backend(): (BackendStatus & { readonly type: string }) | undefined {
    const { backend } = this.member ?? {};
    return backend && { ...backend.status(), type: backend.type };
  }

  firewall(): FirewallStatus | undefined {
    return this.member?.firewall?.status();
  }

  configInForce(): InForceStatus {
    return this.inForce.status();
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

  route(destination: string): Promise<Route | undefined> {
    return lookUpRoute(this.run, destination);
  }
}

/** What another try may find set right: somebody else's route or device, a taken port. */
function mayHeal(error: unknown): boolean {
  return error instanceof CommandError || (error instanceof Fault && error.kind === 'environment');
}

type Range = Pick<NonNullable<NetworkConfig['ipv4']>, 'network' | 'subnetLength'>;

/** Whether what was set for the one network is recognised in the other. */
function sameRange(one: Range | null, other: Range | null): boolean {
  if (one === null || other === null) return one === other;
  return (
    one.network.network === other.network.network &&
    one.network.length === other.network.length &&
    one.subnetLength === other.subnetLength
  );
}

function explain(reading: Exclude<NetworkReading, { kind: 'config' }>): string {
  if (reading.kind === 'unreachable') return reading.reason;
  if (reading.kind === 'missing') return `there is no network config at ${reading.where}`;
  return `the network config at ${reading.where} cannot be used: ${reading.faults.join('; ')}`;
}
