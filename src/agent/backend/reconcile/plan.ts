/**
 * What has to be done so that the kernel holds what the peers need. Pure: given what is wanted and
 * what was found, it names the operations, in the order in which they may run.
 */

/** Tables of the kernel: IPv4 routes, neighbours, and a vxlan device's forwarding database. */
export type Table = 'route' | 'neighbour' | 'forwarding';

/** One row of a table. */
export interface Entry {
  readonly table: Table;
  /** What the table holds at most one answer for: a destination, an address, a MAC address. */
  readonly key: string;
  /** The answer, as the words of iproute2: `via 192.0.2.2 dev eth0`. */
  readonly value: string;
}

export interface WantedEntry extends Entry {
  /** The peer it is for, by its subnet. */
  readonly owner: string;
}

export interface FoundEntry extends Entry {
  /** Carries the marks of what this backend, or one before it on this node, has set. */
  readonly ours: boolean;
  /** As an operator would type it. */
  readonly text: string;
  /** What to do about it where it is in the way; only of routes. */
  readonly cure?: string;
}

export interface Operation {
  readonly verb: 'set' | 'remove';
  readonly entry: Entry;
  readonly owner: string;
}

export interface Plan {
  /** Steps run one after the other; the operations of one step in any order. */
  readonly steps: readonly (readonly Operation[])[];
  /** Peers whose entries may not be set, and why. */
  readonly refused: ReadonlyMap<string, string>;
}

/**
 * Routes of departed peers go first, and of the rest a route comes last, so that no packet meets a
 * route whose neighbour is not there. A forwarding entry is recognised as ours by the neighbour
 * that names its MAC address, so it goes before that neighbour is changed or removed.
 */
const STEPS: readonly (readonly [Operation['verb'], Table])[] = [
  ['remove', 'route'],
  ['set', 'forwarding'],
  ['remove', 'forwarding'],
  ['set', 'neighbour'],
  ['set', 'route'],
  ['remove', 'neighbour'],
];

/** Names an entry's place: two entries with one name cannot both be in force. */
export function placeOf(entry: Entry): string {
  return `${entry.table} ${entry.key}`;
}

/**
 * Of two peers that contradict each other the one named later has its way: it is the newer one, as
 * when a node comes back under another address while its old lease has not run out yet.
 */
export function makePlan(wanted: readonly WantedEntry[], found: readonly FoundEntry[]): Plan {
  const operations: Operation[] = [];
  const refused = new Map<string, string>();
  const rows = byPlace(found);
  const claims = new Map<string, WantedEntry>();
  for (const entry of wanted) {
    const place = placeOf(entry);
    const claim = claims.get(place);
    if (claim !== undefined && claim.value !== entry.value) {
      refused.set(claim.owner, contradiction(claim, entry));
    }
    claims.set(place, entry);
  }
  for (const [place, entry] of claims) {
    const obstacle = findObstacle(entry, rows.get(place) ?? []);
    if (obstacle !== undefined) refused.set(entry.owner, describeObstacle(obstacle));
  }
  // What a refused peer has already is left to it.
  for (const [place, entry] of claims) {
    if (!refused.has(entry.owner)) settle(entry, rows.get(place) ?? [], operations);
  }
  for (const [place, present] of rows) {
    if (claims.has(place)) continue;
    for (const entry of present) if (entry.ours) operations.push(removal(entry));
  }
  return { steps: inSteps(operations), refused };
}

function byPlace(found: readonly FoundEntry[]): Map<string, FoundEntry[]> {
  const rows = new Map<string, FoundEntry[]>();
  for (const entry of found) {
    const place = placeOf(entry);
    const row = rows.get(place);
    if (row === undefined) rows.set(place, [entry]);
    else row.push(entry);
  }
  return rows;
}

/**
 * A route of others is not replaced: they may know better. The other two tables belong to a device
 * that is ours alone.
 */
function findObstacle(wanted: WantedEntry, present: readonly FoundEntry[]): FoundEntry | undefined {
  if (wanted.table !== 'route') return undefined;
  const at = present.findIndex((entry) => entry.value === wanted.value);
  return (at < 0 ? present : present.slice(0, at)).find((entry) => !entry.ours);
}

/**
 * Several routes may lie at one place, of which the first is in force; `replace` puts the new one
 * there, unless the same lies further behind already.
 */
function settle(
  wanted: WantedEntry,
  present: readonly FoundEntry[],
  operations: Operation[],
): void {
  const at = present.findIndex((entry) => entry.value === wanted.value);
  if (at < 0) operations.push({ verb: 'set', entry: wanted, owner: wanted.owner });
  // Of several, `replace` takes the first.
  const kept = Math.max(at, 0);
  present.forEach((entry, index) => {
    if (index !== kept && entry.ours) operations.push(removal(entry));
  });
}

function removal(entry: Entry): Operation {
  return { verb: 'remove', entry, owner: entry.key };
}

function describeObstacle({ text, cure = 'find what sets it' }: FoundEntry): string {
  return `another route has its subnet: '${text}'; ${cure}`;
}

function contradiction(older: WantedEntry, newer: WantedEntry): string {
  const what = { route: 'subnet', neighbour: 'first address', forwarding: 'VtepMAC' }[older.table];
  return (
    `its ${what} ${older.key} (${older.value}) is also that of ${newer.owner} (${newer.value}): ` +
    'remove the lease that is out of date'
  );
}

function inSteps(operations: readonly Operation[]): Operation[][] {
  return STEPS.map(([verb, table]) =>
    operations.filter((operation) => operation.verb === verb && operation.entry.table === table),
  );
}
