import type { Peer, Status } from '../api/schema.ts';
import type { Run } from '../linux/command.ts';

/** `doubtful`: works, but slower or by luck; `unknown`: could not be looked at. */
export type Outcome = 'fine' | 'wrong' | 'doubtful' | 'unknown';

/** One thing that a check saw, in sentences without a full stop; `fine` needs only `what`. */
export interface Finding {
  readonly outcome: Outcome;
  readonly what: string;
  /** Why it matters. */
  readonly why: string;
  /** The command, or the act, that cures it. */
  readonly cure: string;
}

/** What checks look at: this host, and what its weft says of itself if one runs. */
export interface Subject {
  /** Runs a program in this network namespace. */
  readonly run: Run;
  /** A value below /proc/sys, undefined where the kernel has none. */
  readonly sysctl: (path: string) => string | undefined;
  /** As `uname -r`. */
  readonly kernel: string;
  /** Null where no weft answers. */
  readonly status: Status | null;
  readonly peers: readonly Peer[];
  /** Options of that weft by name; empty where none answers. */
  readonly options: ReadonlyMap<string, string | null>;
  /** What holds where no weft answers: flannel's own defaults. */
  readonly device: string;
  readonly port: number;
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

/** For what only a running weft can tell. */
export const NO_WEFT = unknown(
  'no weft answers, so this is not known',
  'start weft and look again',
);
