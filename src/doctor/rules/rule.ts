/** Rules in one form, whichever program listed them. */
import type { Packet } from './packet.ts';
import type { Truth } from './truth.ts';

/**
 * Where control may go from a rule. `none`: to the next rule; `continue`: to the next statement,
 * for that is where the kernel starts with it (nft_do_chain).
 */
export type Verdict =
  | { readonly kind: 'accept' | 'drop' | 'return' | 'none' | 'continue' }
  | { readonly kind: 'jump' | 'goto'; readonly target: string };

/** What one expression or statement of a rule does with a packet. */
export type Effect =
  /** `why` names what is not understood where `truth` is null. */
  | { readonly kind: 'match'; readonly truth: Truth; readonly why: string }
  | { readonly kind: 'change'; readonly packet: Packet }
  /** An address or a port is another from here on, and the base chain has accepted. */
  | { readonly kind: 'translation'; readonly packet: Packet }
  /** One of these; which one is known only if it is the only one. */
  | { readonly kind: 'verdict'; readonly among: readonly Verdict[]; readonly why: string }
  /** Anything may happen: the end, the next rule, the next statement. */
  | { readonly kind: 'unclear'; readonly why: string };

export type Step = (packet: Packet) => Effect;

export interface Rule {
  /** `handle 4`: nft(8); `rule 3`: a place in the chain, as iptables counts. */
  readonly name: string;
  readonly steps: readonly Step[];
}

/** The program that set a chain, and that an operator would show and change it with. */
export type Tool = 'nft' | 'iptables-nft' | 'iptables-legacy';

export interface Chain {
  readonly tool: Tool;
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly rules: readonly Rule[];
  /** Of base chains alone. */
  readonly base?: Base;
}

export interface Base {
  readonly hook: string;
  readonly type: string;
  readonly priority: number;
  readonly drops: boolean;
  /** Devices of an ingress or egress hook; undefined where they are not known. */
  readonly devices?: readonly string[];
  /** Its table may be dormant: nft(8). */
  readonly dormant: Truth;
}

export const matched = (truth: Truth, why: string): Effect => ({ kind: 'match', truth, why });

export const decided = (...among: Verdict[]): Effect => ({ kind: 'verdict', among, why: '' });

/** The name that jumps use; chains of a table are one family. */
export const chainKey = ({ tool, family, table }: Chain, name: string): string =>
  `${tool === 'iptables-legacy' ? 'legacy' : 'nft'} ${family} ${table} ${name}`;

/** Chains by the name that jumps use. */
export const byKey = (chains: readonly Chain[]): ReadonlyMap<string, Chain> =>
  new Map(chains.map((chain) => [chainKey(chain, chain.name), chain]));
