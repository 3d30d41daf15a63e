/** What rules see of a datagram on its way through the hooks of one host. */

/**
 * As `ct state` tells it, one at a time. Before conntrack's own hook, and where it is not looked
 * at, every packet is `invalid` (net/netfilter/nft_ct.c, nft_ct_get_eval).
 */
export type ConntrackState = 'new' | 'established' | 'untracked' | 'invalid';

/** One moment of the datagram. Numbers are host-order; `undefined` is what is not known. */
export interface Packet {
  readonly saddr: number | undefined;
  readonly daddr: number | undefined;
  readonly sport: number | undefined;
  readonly dport: number | undefined;
  /** Empty where the hook has no such side. */
  readonly iifname: string | undefined;
  readonly oifname: string | undefined;
  readonly mark: number | undefined;
  /** Mark of its flow in conntrack, where there is one. */
  readonly ctMark: number | undefined;
  readonly ct: ConntrackState | undefined;
  /** Conntrack is told to leave it alone. */
  readonly notrack: boolean | undefined;
  /** A copy of it may go its own way, or something in it was changed that may spoil it. */
  readonly odd: boolean;
  /** `in`: to a socket here; `out`: from one. What `fib` and `addrtype` say follows from it. */
  readonly way: 'in' | 'out';
}

/** What holds of both: anything else is not known. */
export function join(a: Packet | undefined, b: Packet | undefined): Packet | undefined {
  if (a === undefined || b === undefined || a === b) return a ?? b;
  const same = <T>(left: T, right: T): T | undefined => (left === right ? left : undefined);
  return {
    saddr: same(a.saddr, b.saddr),
    daddr: same(a.daddr, b.daddr),
    sport: same(a.sport, b.sport),
    dport: same(a.dport, b.dport),
    iifname: same(a.iifname, b.iifname),
    oifname: same(a.oifname, b.oifname),
    mark: same(a.mark, b.mark),
    ctMark: same(a.ctMark, b.ctMark),
    ct: same(a.ct, b.ct),
    notrack: same(a.notrack, b.notrack),
    odd: a.odd || b.odd,
    way: a.way,
  };
}
