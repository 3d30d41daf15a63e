import type { Prefix4 } from '../wire/address.ts';

/** The commands that live long and take their options from the table. */
export const DAEMONS = ['dataplane', 'agent', 'run'] as const;
export type Daemon = (typeof DAEMONS)[number];

export type OptionGroup = 'Node' | 'Underlay' | 'Leases' | 'Firewall' | 'Packets' | 'Running';

/** One option: its flag is its name, `--tx-ports` is `WEFT_TX_PORTS` in the environment. */
export interface OptionRow<Value> {
  /** As commander and the help show it: `--port <port>`; without `<...>` it is a switch. */
  readonly flags: string;
  readonly group: OptionGroup;
  readonly help: string;
  /** What the help says of the default, where it is not the value itself. */
  readonly shown?: string;
  readonly fallback: Value;
  /** Reads all texts given; a switch and a plain option get the one that counts. */
  readonly parse: (texts: readonly string[]) => Value;
  /** May be given more than once; `commas` also takes several in one text. */
  readonly repeat?: 'plain' | 'commas';
  /** flannel has the flag too: `FLANNELD_...` is read where `WEFT_...` is not set. */
  readonly flannel?: boolean;
  /** Its value is shown to nobody. */
  readonly secret?: boolean;
  /** Which commands take it; all of them where nothing is said. */
  readonly commands?: readonly Daemon[];
}

export type OptionNotes = Pick<
  OptionRow<unknown>,
  'help' | 'shown' | 'repeat' | 'flannel' | 'secret' | 'commands'
>;

/** An option of `group`; the notes say the rest. */
export const row = <Value>(
  flags: string,
  group: OptionGroup,
  parse: (texts: readonly string[]) => Value,
  fallback: Value,
  notes: OptionNotes,
): OptionRow<Value> => ({ flags, group, parse, fallback, ...notes });

/** `weft agent` moves no packets, and `weft dataplane` keeps no lease. */
export const MOVERS: readonly Daemon[] = ['dataplane', 'run'];
export const AGENTS: readonly Daemon[] = ['agent', 'run'];

/** For options that may be left out and have no default of their own. */
export const NO_TEXT = undefined as string | undefined;
export const NO_NUMBER = undefined as number | undefined;
export const NO_PREFIX = undefined as Prefix4 | undefined;
export const NO_TEXTS: readonly string[] = Object.freeze([]);
