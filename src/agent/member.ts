import type { Config } from '../config.ts';
import type { Lease } from '../lease/lease.ts';
import type { NetworkConfig } from '../lease/network.ts';
import type { LeaseKeeper, LeaseRegistry } from '../lease/registry.ts';
import type { LeaseSource } from '../lease/source.ts';
import type { Run } from '../linux/command.ts';
import type { Logger } from '../log.ts';
import { formatAddress4, formatPrefix4, type Prefix4 } from '../wire/address.ts';
import { type Backend, type BackendMaker, createBackend } from './backend/backend.ts';
import { requireNetwork } from './backend/check.ts';
import { endsForwarding, Fault } from './fault.ts';
import { type Firewall, startFirewall } from './firewall/firewall.ts';
import { Blackhole } from './node/blackhole.ts';
import { Settler } from './node/settler.ts';
import { formatSubnetFile, writeSubnetFile } from './node/subnet-writer.ts';
import { type Peers, tellReady, watchPeers } from './peers.ts';
import type { Readiness } from './readiness.ts';
import { addressesOf, lifelines } from './underlay/apart.ts';
import { GroundWatch } from './underlay/ground-watch.ts';
import type { Uplink } from './uplink.ts';

export interface MemberOptions {
  readonly config: Config;
  readonly network: NetworkConfig;
  readonly uplink: Uplink;
  /** Nobody was told yet that weft runs: what the host refuses ends it instead of being retried. */
  readonly first: boolean;
  /** The subnet of an earlier life, from subnet.env. */
  readonly previous: Prefix4 | undefined;
  readonly source: LeaseSource;
  readonly registry: LeaseRegistry;
  /** Backends that need more than their context. */
  readonly makers: Readonly<Record<string, BackendMaker>>;
  readonly run: Run;
  readonly readiness: Readiness;
  readonly log: Logger;
  /** Told what cannot be gone on with: the host refuses what the start needs. */
  readonly fail: (error: Error) => void;
}

const ABOUT_IPV6 =
  'the network config enables IPv6, which weft does not carry: the lease has an IPv6 part, for ' +
  'flanneld fails on a lease without, but pods here get IPv4 alone (set EnableIPv6 to false)';

/** A step that somebody else tells of and tries again. */
class NotYet extends Error {}

/**
 * The node as a member of one network: from config and uplink to backend, lease, firewall and
 * subnet.env, and all of it kept so until `stop`. What happens (a lease held or lost, an address
 * changed) only changes what is wanted; one settler brings the host there, step by step, and tries
 * again where a step fails.
 */
export class Member {
  readonly network: NetworkConfig;
  readonly range: Prefix4;
  backend: Backend | undefined;
  keeper: LeaseKeeper | undefined;
  peers: Peers | undefined;
  firewall: Firewall | undefined;
  /** Unix time since when the lease is held without a break. */
  heldSinceSeconds = 0;
  private readonly options: MemberOptions;
  private readonly settler: Settler;
  private readonly blackhole: Blackhole;
  private uplink: Uplink;
  private ground: GroundWatch | undefined;
  private wanted: Lease | undefined;
  /** The lease that everything on the host is set for. */
  private settled: Lease | undefined;
  private judgeAnew: () => void = () => {};
  private moved = false;
  private open = false;
  private patient: boolean;
  private readonly ending = new AbortController();
  private ended: Promise<void> | undefined;

  /** @throws Fault for a network that this weft cannot be in */
  constructor(options: MemberOptions) {
    this.options = options;
    this.network = options.network;
    this.uplink = options.uplink;
    this.patient = !options.first;
    this.range = requireNetwork(options.network);
    if (options.network.ipv6 !== null) options.log.warn(ABOUT_IPV6);
    const { readiness, log, run, config } = options;
    const { range: network } = this;
    this.blackhole = new Blackhole({ run, log, network, seconds: config.resyncSeconds });
    this.settler = new Settler({
      settle: () => this.settle(),
      failed: (error) => this.failed(error),
      recovered: () => readiness.clear('host'),
    });
  }

  /** Resolves once the lease is asked for; what follows is told by readiness. @throws Fault */
  async start(signal: AbortSignal): Promise<void> {
    const { registry, network, readiness, log, run, makers, config, source } = this.options;
    const { uplink } = this;
    readiness.set('lease', `no lease yet from ${registry.name}`);
    const previous = await registry.findOwn(uplink.publicAddress, signal);
    const { type, options } = network.backend;
    const republish = () => this.republish();
    const { signal: ending } = this.ending;
    const context = { run, uplink, options, previous, log, readiness, republish, ending };
    this.backend = await createBackend(type, context, makers);
    signal.throwIfAborted();
    readiness.set('leases', `no list of leases yet from ${source.name}`);
    this.keeper = registry.keep(
      {
        network,
        attributes: this.attributes(),
        previous: this.options.previous,
        renewMarginMinutes: config.renewMarginMinutes,
      },
      {
        held: (lease) => this.held(lease),
        lost: (reason) => this.lost(reason),
        trouble: (reason) => this.trouble(reason),
      },
    );
    // What moved before there was a backend to tell.
    if (this.moved) this.settler.wake();
  }

  /** The uplink's address or MTU changed. */
  move(uplink: Uplink): void {
    this.uplink = uplink;
    this.moved = true;
    this.settler.wake();
  }

  /** Looks at everything now instead of at the next round. */
  look(): void {
    void this.firewall?.look();
    this.settler.wake();
  }

  /** Links, addresses or routes of this host may be others. */
  lookAround(): void {
    void this.ground?.look();
  }

  /** Packets flow on where the kernel carries them; the lease stays in the store. */
  stop(): Promise<void> {
    this.ended ??= this.end();
    return this.ended;
  }

  /**
   * `stop`, for good: the node goes into another network, or to another subnet.
   * @param sameRange whether the next one knows what was set for this one as weft's, by Network and
   * SubnetLen; if not, addresses of devices and routes to peers go now
   */
  async leave(sameRange: boolean): Promise<void> {
    await this.stop();
    const work = [this.blackhole.remove(), sameRange ? undefined : this.backend?.suspend()];
    for (const result of await Promise.allSettled(work)) {
      if (result.status === 'rejected') this.options.log.warn(result.reason.message);
    }
  }

  private async end(): Promise<void> {
    this.ending.abort(new Error('stopping'));
    await Promise.all([this.keeper?.stop(), this.settler.stop()]);
    // Only now: what settled until here may have begun to follow the leases.
    await Promise.all([this.peers?.stop(), this.blackhole.stop(), this.ground?.stop()]);
    await Promise.all([this.backend?.close(), this.firewall?.stop()]);
  }

  private attributes() {
    return { publicAddress: this.uplink.publicAddress, ...this.backend!.attributes };
  }

  private republish(): void {
    if (this.backend !== undefined) this.keeper?.republish(this.attributes());
  }

  private held(lease: Lease): void {
    this.wanted = lease;
    this.heldSinceSeconds = Date.now() / 1000;
    const subnet = formatPrefix4(lease.subnet);
    this.options.log.info({ subnet }, `holding ${subnet} of ${formatPrefix4(this.range)}`);
    this.settler.wake();
  }

  private lost(reason: string): void {
    this.wanted = undefined;
    const sentence = `the lease is lost: ${reason}`;
    this.options.readiness.set('lease', sentence);
    const { forwardsElsewhere = false } = this.backend ?? {};
    const meanwhile = forwardsElsewhere
      ? 'weft dataplane stops carrying packets when it is gone or names another node; anything ' +
        'else that moves them goes on with the old subnet until it is stopped'
      : 'nothing is forwarded until a lease is held again';
    this.options.log.error(`${sentence}; ${meanwhile}`);
    this.settler.wake();
  }

  private trouble(reason: string): void {
    const { readiness } = this.options;
    if (reason !== '') readiness.set('lease', reason);
    else this.clearLease();
  }

  /** A lease that is set up may have run out all the same, while the store is out of reach. */
  private clearLease(): void {
    const sound = this.wanted !== undefined && this.wanted === this.settled;
    if (sound && this.keeper?.status().trouble === '') this.options.readiness.clear('lease');
  }

  /** From what is to what is wanted; every step may be repeated. */
  private async settle(): Promise<void> {
    const lease = this.wanted;
    const { backend } = this;
    if (backend === undefined) return;
    if (this.moved) {
      this.moved = false;
      await this.follow(backend);
    }
    if (lease === undefined) {
      if (this.open) await backend.suspend();
      this.open = false;
      this.settled = undefined;
      await this.blackhole.remove();
      return;
    }
    const own = { subnet: lease.subnet, network: this.range };
    await backend.open({ ...own, publicAddress: this.uplink.publicAddress });
    this.open = true;
    await this.setFirewall(lease.subnet, backend);
    await this.writeFile(lease.subnet, backend.mtu);
    if (this.ending.signal.aborted) return;
    await this.followPeers(lease.subnet, backend);
    if (this.ending.signal.aborted) return;
    this.patient = true;
    this.settled = lease;
    this.clearLease();
  }

  private async follow(backend: Backend): Promise<void> {
    try {
      await backend.setUplink(this.uplink);
      this.republish();
    } catch (error) {
      this.moved = true;
      throw error;
    }
  }

  private async setFirewall(subnet: Prefix4, { tunnelPort: port }: Backend): Promise<void> {
    const { config, run, readiness, log } = this.options;
    const { address } = this.uplink;
    const wish = {
      network: this.range,
      subnet,
      masquerade: config.masquerade,
      fullyRandom: !config.notFullyRandom,
      forwardRules: config.forwardRules,
      notrack: config.notrack && port !== undefined ? { address, port } : null,
    };
    const { resyncSeconds } = config;
    if (this.firewall === undefined) {
      this.firewall = startFirewall({ run, wish, resyncSeconds, readiness, log });
      await this.firewall.look();
    } else {
      await this.firewall.update(wish);
    }
    const { inForce, trouble } = this.firewall.status();
    // A runtime that reads subnet.env may start pods, so the rules come first.
    if (!inForce) throw new NotYet(trouble);
    if (config.blackholeRoute) await this.blackhole.set(subnet);
  }

  private async writeFile(subnet: Prefix4, mtu: number): Promise<void> {
    const { config, log } = this.options;
    const { masquerade, subnetFile } = config;
    const text = formatSubnetFile({ network: this.range, subnet, mtu, masquerade });
    try {
      if (await writeSubnetFile(subnetFile, text)) log.info(`wrote ${subnetFile}`);
    } catch (error) {
      const { message } = error as Error;
      throw new Fault('environment', `--subnet-file ${subnetFile} cannot be written: ${message}`);
    }
  }

  private async followPeers(subnet: Prefix4, backend: Backend): Promise<void> {
    const { source, log, readiness } = this.options;
    const ground = await this.groundFor(subnet, backend);
    if (this.ending.signal.aborted) return;
    const rules = () => {
      const own = { subnet, publicAddress: this.uplink.publicAddress };
      const reachable = (type: string) => backend.reachable(type);
      // Who publishes BackendData is who reads that of others.
      const keepsBackendData = backend.attributes.backendData !== undefined;
      return { network: this.range, own, reachable, keepsBackendData, ground: ground.ground };
    };
    this.judgeAnew = () => this.peers?.configure(rules());
    this.judgeAnew();
    this.peers ??= watchPeers({
      ...{ source, log, rules: rules() },
      changed: (peers, changes) => {
        if (backend.changePeers !== undefined) backend.changePeers(peers, changes);
        else backend.setPeers(peers.leases());
        tellReady(readiness, log, peers.counts());
      },
      refused: (peers) => this.ground?.heed(peers),
    });
  }

  /** Looked at before the first lease is judged: a bad one must not be a peer for a moment. */
  private async groundFor(subnet: Prefix4, backend: Backend): Promise<GroundWatch> {
    const { run, log, readiness, config } = this.options;
    const now = this.ground?.overlay.subnet;
    if (now === undefined || formatPrefix4(now) !== formatPrefix4(subnet)) {
      await this.ground?.stop();
      const takesNetwork = backend.type === 'udp';
      const kept = [...(await addressesOf(lifelines(config))).keys()];
      const overlay = { network: this.range, subnet, tunnel: config.device, takesNetwork, kept };
      const changed = () => this.judgeAnew();
      const uplink = () => this.uplink;
      this.ground = new GroundWatch({ run, log, readiness, overlay, uplink, changed });
    }
    await this.ground!.look();
    return this.ground!;
  }

  /** At the start the operator is there and is told; later the host may heal, and nobody is. */
  private failed(error: Error): void {
    const { readiness, log, fail } = this.options;
    if (error instanceof NotYet || this.ending.signal.aborted) return;
    if (!this.patient || endsForwarding(error)) fail(error);
    else if (readiness.set('host', error.message)) log.error(`${error.message}; trying on`);
  }

  /** For the log and the API. */
  describe(): string {
    const { name, publicAddress } = this.uplink;
    return `${this.network.backend.type} over ${name} as ${formatAddress4(publicAddress)}`;
  }
}
