import type { Peer, Status } from '../api/schema.ts';
import type { Run } from '../linux/command.ts';
import type { Carrier } from './carrier.ts';

/** `doubtful`: works, but slower or by luck; `unknown`: could not be looked at. */
export type Outcome = 'fine' | 'wrong' | 'doubtful' | 'unknown';

/**
 * What may be behind findings of several checks: no leave to look, no TUN driver or no capability,
 * no weft that answers, its device, a route of somebody else, a rule, a PublicIP of two nodes.
 */
export type Cause = 'rights' | 'powers' | 'weft' | 'device' | 'route' | 'firewall' | 'twin';

/** One thing that a check saw, in sentences without a full stop; `fine` needs only `what`. */
export interface Finding {
  readonly outcome: Outcome;
  readonly what: string;
  /** Why it matters. */
  readonly why: string;
  /** The command, or the act, that cures it. */
  readonly cure: string;
  /** This is such a cause; of what is said of these `peers` alone, where it names any. */
  readonly cause?: Cause;
  /** Where one of these causes was found, this is no trouble of its own. */
  readonly follows?: readonly Cause[];
  /** Public addresses of the peers that it is about. */
  readonly peers?: readonly string[];
  /** Checks whose findings come from this one. */
  readonly explains?: readonly string[];
}

/** What checks look at: this host, and what its weft says of itself if one runs. */
export interface Subject {
  /** Runs a program in this network namespace. */
  readonly run: Run;
  /** A value below /proc/sys, undefined where the kernel has none. */
  readonly sysctl: (path: string) => string | undefined;
  /** As `uname -r`. */
  readonly kernel: string;
  /** Whether CAP_NET_ADMIN is held, without which rules and tracked flows are not shown. */
  readonly privileged: boolean;
  /** Null where no weft answers. */
  readonly status: Status | null;
  /** Why none does; `forbidden` where its socket is not for this user. */
  readonly unanswered: 'absent' | 'forbidden' | 'broken' | null;
  readonly peers: readonly Peer[];
  /** Options of that weft by name; empty where none answers. */
  readonly options: ReadonlyMap<string, string | null>;
  /** Null where this weft carries nothing, or none answers. */
  readonly carrier: Carrier | null;
  /** Peers are asked one by one, so not all of thousands. */
  readonly mostPeers: number;
}

export interface Check {
  readonly name: string;
  /** Changes nothing on this host; packets it sends are few. */
  readonly look: (subject: Subject) => Promise<readonly Finding[]>;
}

export const fine = (what: string): Finding => ({ outcome: 'fine', what, why: '', cure: '' });

export const wrong = (what: string, why: string, cure: string): Finding => {
  return { outcome: 'wrong', what, why, cure };
};

export const doubtful = (what: string, why: string, cure: string): Finding => {
  return { outcome: 'doubtful', what, why, cure };
};

export const unknown = (what: string, cure: string): Finding => {
  return { outcome: 'unknown', what, why: '', cure };
};

/** For what only a running weft can tell. A new one each: findings are told apart by identity. */
export const noWeft = (): Finding => ({
  ...unknown('no weft answers, so this is not known', 'start weft and look again'),
  follows: ['weft'],
});
