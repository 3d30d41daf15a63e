import { join, type Packet } from './packet.ts';
import { type Chain, chainKey, type Rule, type Verdict } from './rule.ts';

/** One end that a packet may find in a base chain, and the packet as it is then. */
export interface End {
  readonly kind: 'accept' | 'drop' | 'lost';
  readonly chain: Chain;
  /** Undefined for the chain's policy. */
  readonly rule: Rule | undefined;
  readonly packet: Packet;
}

/** What a packet meets in chains: all ends that are possible, as far as can be told from here. */
export interface Walk {
  readonly chains: ReadonlyMap<string, Chain>;
  readonly ends: End[];
  /** What was not understood on the way, in the order met. */
  readonly unclear: string[];
  /** Rules that may still be looked at. */
  left: number;
}

/** The kernel's own limit (NFT_JUMP_STACK_SIZE, net/netfilter/nf_tables.h). */
const DEEPEST = 16;

interface Onward {
  /** As it comes to the next rule; undefined where it never does. */
  readonly next: Packet | undefined;
  /** As it leaves the chain for the one that jumped here. */
  readonly returned: Packet | undefined;
}

/** Walks a base chain to its ends, its policy among them. */
export function walkBase(walk: Walk, chain: Chain, packet: Packet): void {
  const rest = walkChain(walk, chain, packet, 0);
  if (rest === undefined) return;
  const kind = chain.base?.drops === true ? 'drop' : 'accept';
  walk.ends.push({ kind, chain, rule: undefined, packet: rest });
}

/** @returns the packet as it comes out, at the end or by a return; undefined if it never does */
function walkChain(walk: Walk, chain: Chain, packet: Packet, depth: number): Packet | undefined {
  let here: Packet | undefined = packet;
  let returned: Packet | undefined;
  for (const rule of chain.rules) {
    walk.left -= 1;
    if (walk.left < 0 || depth > DEEPEST) {
      walk.unclear.push('more rules than are looked at');
      walk.ends.push({ kind: 'lost', chain, rule, packet: here });
      return join(returned, here);
    }
    const onward: Onward = walkRule(walk, chain, rule, here, depth);
    returned = join(returned, onward.returned);
    here = onward.next;
    if (here === undefined) return returned;
  }
  return join(returned, here);
}

function walkRule(walk: Walk, chain: Chain, rule: Rule, packet: Packet, depth: number): Onward {
  let current = packet;
  let returned: Packet | undefined;
  /** As it is where the rule ends early: what follows in it is for other packets. */
  let skipped: Packet | undefined;
  for (const step of rule.steps) {
    const effect = step(current);
    if (effect.kind === 'change') {
      current = effect.packet;
    } else if (effect.kind === 'translation') {
      walk.ends.push({ kind: 'accept', chain, rule, packet: effect.packet });
      return { next: skipped, returned };
    } else if (effect.kind === 'verdict') {
      if (effect.among.length > 1) walk.unclear.push(effect.why);
      const onward = decide(walk, chain, rule, { packet: current, depth, among: effect.among });
      skipped = join(skipped, onward.next);
      returned = join(returned, onward.returned);
      if (!effect.among.some(({ kind }) => kind === 'continue')) return { next: skipped, returned };
    } else if (effect.kind === 'match' && effect.truth === false) {
      return { next: join(skipped, current), returned };
    } else if (effect.kind === 'unclear' || effect.truth === null) {
      walk.unclear.push(effect.why);
      skipped = join(skipped, current);
      if (effect.kind === 'unclear') walk.ends.push({ kind: 'lost', chain, rule, packet: current });
    }
  }
  return { next: join(skipped, current), returned };
}

interface Choice {
  readonly packet: Packet;
  readonly depth: number;
  readonly among: readonly Verdict[];
}

function decide(walk: Walk, chain: Chain, rule: Rule, { packet, depth, among }: Choice): Onward {
  let next: Packet | undefined;
  let returned: Packet | undefined;
  for (const verdict of among) {
    if (verdict.kind === 'none') next = join(next, packet);
    else if (verdict.kind === 'return') returned = join(returned, packet);
    else if ('target' in verdict) {
      const target = walk.chains.get(chainKey(chain, verdict.target));
      if (target === undefined) {
        walk.unclear.push(`chain ${verdict.target}, which is not listed`);
        walk.ends.push({ kind: 'lost', chain, rule, packet });
        next = join(next, packet);
        continue;
      }
      const back = walkChain(walk, target, packet, depth + 1);
      // A goto leaves nothing to come back to: its return is ours.
      if (verdict.kind === 'jump') next = join(next, back);
      else returned = join(returned, back);
    } else if (verdict.kind !== 'continue') {
      walk.ends.push({ kind: verdict.kind, chain, rule, packet });
    }
  }
  return { next, returned };
}
