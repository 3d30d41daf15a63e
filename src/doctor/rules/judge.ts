/**
 * What the rules of this host do with one datagram, as far as that can be told without the kernel.
 * The way through the hooks is that of net/netfilter and nft(8), "Address families". An answer is
 * `passes` or `dropped` only where nothing that was not understood could make it another one. Not
 * looked at: XDP and tc, which come before and after all of this.
 */
import { groupBy } from '../group.ts';
import { join, type Packet } from './packet.ts';
import type { Chain } from './rule.ts';
import { every, not, type Truth } from './truth.ts';
import { type End, type Walk, walkBase } from './walk.ts';

/** A datagram between two nodes. Numbers are host-order; undefined is what is not known. */
export interface Datagram {
  readonly saddr: number | undefined;
  readonly daddr: number | undefined;
  readonly sport: number | undefined;
  readonly dport: number;
  /** `in`: to a socket of this host; `out`: from one. */
  readonly way: 'in' | 'out';
  /** The interface that it comes in on, or goes out by. */
  readonly device: string | undefined;
  /** Below it: the device itself, ports of the bridge that it is, a VLAN's parent. */
  readonly lowerDevices: readonly string[] | undefined;
  /** A bridge is among them, so that chains of the bridge family see the datagram, too. */
  readonly bridged: boolean;
}

/** All rules of a host, whoever set them. */
export interface Rules {
  readonly chains: readonly Chain[];
  /** The same by the name that jumps use. */
  readonly byKey: ReadonlyMap<string, Chain>;
  /** What could not be read, a few words each. */
  readonly unread: readonly string[];
}

export interface Judgement {
  readonly verdict: 'passes' | 'dropped' | 'perhaps';
  /** The chain that decides, undefined where all passes. */
  readonly chain: Chain | undefined;
  /** The rule of it that does; undefined for its policy. */
  readonly rule: string | undefined;
  /** Why it is a perhaps; else empty. */
  readonly why: string;
}

const PASSES: Judgement = { verdict: 'passes', chain: undefined, rule: undefined, why: '' };

/** Conntrack's place in prerouting and output, and that of all NAT: enum nf_ip_hook_priorities. */
const CONNTRACK = -200;
const NAT_DST = -100;
const NAT_SRC = 100;
/** Rules that one datagram is held against; the largest rulesets of Kubernetes have fewer. */
const MOST_RULES = 200_000;

/** The first packet of a flow, and those that come after an answer to it. */
const STATES = ['new', 'established'] as const;

/** Judges a datagram as the first of its flow and as a later one. */
export function judge(rules: Rules, datagram: Datagram): Judgement {
  const [first, later] = STATES.map((state) => new Passage(rules, datagram, state).judge());
  if (first!.verdict === later!.verdict || first!.verdict === 'perhaps') return first!;
  if (later!.verdict === 'perhaps') return later!;
  const [bad, why] =
    first!.verdict === 'dropped'
      ? [first!, 'it lets in only answers to what this node sent first']
      : [later!, 'it lets in only what begins a flow'];
  return { ...bad, verdict: 'perhaps', why };
}

/** One walk of the datagram through every hook, in one state of its flow. */
class Passage {
  private readonly rules: Rules;
  private readonly datagram: Datagram;
  private readonly state: (typeof STATES)[number];
  private readonly walk: Walk;
  private perhaps: Judgement | undefined;
  /** It may have gone where nobody here sees it; a later drop then proves nothing. */
  private lost = false;
  /** Undefined once nothing of it is left. */
  private packet: Packet | undefined;

  constructor(rules: Rules, datagram: Datagram, state: (typeof STATES)[number]) {
    this.rules = rules;
    this.datagram = datagram;
    this.state = state;
    this.walk = { chains: rules.byKey, ends: [], unclear: [], left: MOST_RULES };
    const { way, device, saddr, daddr, sport, dport } = datagram;
    this.packet = {
      ...{ saddr, daddr, sport, dport, way, mark: 0, ctMark: 0, ct: 'invalid', notrack: false },
      iifname: way === 'in' ? device : '',
      oifname: way === 'out' ? device : '',
      odd: false,
    };
  }

  judge(): Judgement {
    const { way, bridged } = this.datagram;
    const hooks = way === 'in' ? ['prerouting', 'input'] : ['output', 'postrouting'];
    const bridge = bridged ? hooks.map((hook) => () => this.passAway(hook, ['bridge'])) : [];
    const device = (hook: string) => () => this.passAway(hook, ['netdev', 'inet']);
    const stages = [
      ...(way === 'in' ? [device('ingress'), ...bridge] : []),
      ...hooks.map((hook) => () => this.passHook(hook)),
      ...(way === 'out' ? [...bridge, device('egress')] : []),
    ];
    for (const stage of stages) {
      const dropped = stage();
      if (dropped !== undefined) return dropped;
    }
    for (const chain of this.rules.chains.filter(({ family }) => family === 'arp')) {
      if (chain.base?.drops || chain.rules.length > 0) this.doubt(chain, undefined, ABOUT_ARP);
    }
    const [unread] = this.rules.unread;
    if (unread !== undefined) this.doubt(undefined, undefined, unread);
    return this.perhaps ?? PASSES;
  }

  private chainsOf(hook: string, families: readonly string[]): Chain[] {
    return this.rules.chains
      .filter(({ family, base }) => base?.hook === hook && families.includes(family))
      .sort((a, b) => priorityOf(a) - priorityOf(b));
  }

  /** Hooks of devices and bridges: interfaces have other names there, conntrack other states. */
  private passAway(hook: string, families: readonly string[]): Judgement | undefined {
    const { packet } = this;
    if (packet === undefined) return undefined;
    this.packet = { ...packet, iifname: undefined, oifname: undefined, ct: undefined };
    const dropped = this.passAll(this.chainsOf(hook, families));
    const { iifname, oifname, ct, ctMark } = packet;
    this.packet = this.packet && { ...this.packet, iifname, oifname, ct, ctMark };
    return dropped;
  }

  private passHook(hook: string): Judgement | undefined {
    const chains = this.chainsOf(hook, ['ip', 'inet']);
    const tracks = hook === 'prerouting' || hook === 'output';
    if (!tracks) return this.passAll(chains);
    const dropped = this.passAll(chains.filter((chain) => priorityOf(chain) < CONNTRACK));
    if (dropped !== undefined) return dropped;
    // A chain of conntrack's own priority may come before it or after.
    if (this.packet !== undefined) this.packet = { ...this.packet, ct: undefined };
    const beside = this.passAll(chains.filter((chain) => priorityOf(chain) === CONNTRACK));
    if (beside !== undefined) return beside;
    if (this.packet !== undefined) this.packet = this.track(this.packet);
    return this.passAll(chains.filter((chain) => priorityOf(chain) > CONNTRACK));
  }

  private track(packet: Packet): Packet {
    const { notrack } = packet;
    const ct = notrack === true ? 'untracked' : notrack === false ? this.state : undefined;
    // Of a flow that goes on, the mark may be any.
    return { ...packet, ct, ctMark: this.state === 'new' ? 0 : undefined };
  }

  private passAll(chains: readonly Chain[]): Judgement | undefined {
    for (const group of groupBy(chains, (chain) => `${priorityOf(chain)}`).values()) {
      const { packet: start, perhaps, lost } = this;
      const dropped = this.passInOrder(group);
      if (dropped !== undefined) return dropped;
      if (group.length === 1 || same(start, this.packet)) continue;
      // The kernel's order among them is that of their making, which nobody tells: what one of them
      // changes, the others may see or not.
      const any = join(start, this.packet);
      let after = any;
      Object.assign(this, { perhaps, lost });
      for (const chain of group) {
        this.packet = any;
        const sure = this.passInOrder([chain]);
        if (sure !== undefined) return sure;
        after = join(after, this.packet);
      }
      this.packet = after;
    }
    return undefined;
  }

  /** Each may drop, and none can save what another one drops. */
  private passInOrder(chains: readonly Chain[]): Judgement | undefined {
    for (const chain of chains) {
      const { packet } = this;
      if (packet === undefined) return undefined;
      const sees = this.sees(chain, packet);
      if (sees === false) continue;
      this.walk.ends.length = 0;
      walkBase(this.walk, chain, packet);
      const dropped = this.settle(chain, packet, sees === null);
      if (dropped !== undefined) return dropped;
    }
    return undefined;
  }

  private sees({ base }: Chain, { ct }: Packet): Truth {
    const { type, dormant, hook, devices } = base!;
    const onDevice = hook === 'ingress' || hook === 'egress';
    const { lowerDevices } = this.datagram;
    const known = devices !== undefined && lowerDevices !== undefined;
    const here = known ? devices.some((name) => lowerDevices.includes(name)) : null;
    // Only the first packet of a flow is translated, and only of one that is tracked.
    const nat = type === 'nat' ? (ct === undefined ? null : ct === 'new') : true;
    return every([not(dormant), onDevice ? here : true, nat]);
  }

  /** Takes the ends of one chain together. @returns a judgement where it is a drop for sure */
  private settle(chain: Chain, packet: Packet, maybe: boolean): Judgement | undefined {
    const { ends } = this.walk;
    if (ends.some((end) => end.kind === 'lost' || end.packet.odd)) this.lost = true;
    const bad = ends.find(({ kind }) => kind !== 'accept');
    const only = !maybe && ends.every(({ kind }) => kind === 'drop');
    if (bad !== undefined && only && !this.lost) {
      return { verdict: 'dropped', chain: bad.chain, rule: bad.rule?.name, why: '' };
    }
    if (bad !== undefined) this.doubt(bad.chain, bad, this.walk.unclear[0] ?? whyNot(chain));
    const going = ends.filter(({ kind }) => kind !== 'drop');
    const turned = going.find((end) => end.packet.odd || !sameEnds(end.packet, packet));
    if (turned !== undefined) {
      this.lost = true;
      this.doubt(turned.chain, turned, 'it may change the address, the port or the datagram');
    }
    const marked = going.find((end) => end.packet.mark !== packet.mark);
    if (marked !== undefined && chain.base!.type === 'route') {
      this.doubt(marked.chain, marked, 'its mark may take the datagram another way');
    }
    const before = maybe ? packet : undefined;
    this.packet = going.map((end) => end.packet).reduce<Packet | undefined>(join, before);
    return undefined;
  }

  private doubt(chain: Chain | undefined, end: End | undefined, why: string): void {
    this.perhaps ??= { verdict: 'perhaps', chain, rule: end?.rule?.name, why };
  }
}

const ABOUT_ARP = 'rules on ARP are not judged';

/** Whether rules left everything as it was. */
function same(a: Packet | undefined, b: Packet | undefined): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

const sameEnds = (a: Packet, b: Packet): boolean =>
  a.saddr === b.saddr && a.daddr === b.daddr && a.sport === b.sport && a.dport === b.dport;

const whyNot = ({ base }: Chain): string =>
  base?.dormant === null ? 'its table may be dormant' : 'not all of it is understood here';

/** NAT is done at one place of a hook, whatever its chains say (nf_nat_register_fn). */
function priorityOf({ base }: Chain): number {
  const { type, hook, priority } = base!;
  if (type !== 'nat') return priority;
  return hook === 'prerouting' || hook === 'output' ? NAT_DST : NAT_SRC;
}
