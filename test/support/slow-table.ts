/**
 * The lease table as a list that is walked: the slow twin of forwarding/table and compile. It
 * compares prefixes by division, so that it shares no trick with the fast one.
 */

export interface SlowPrefix {
  readonly network: number;
  readonly length: number;
}

export interface SlowRow extends SlowPrefix {
  readonly peer: number;
}

/** The rows that belong into a table: inside the network and not inside the own subnet. */
export function slowRows(
  rows: readonly SlowRow[],
  own: SlowPrefix,
  network: SlowPrefix,
): SlowRow[] {
  return rows.filter((row) => slowCovers(network, row) && !slowCovers(own, row));
}

/** The peer behind an address, or undefined: the longest prefix, the latest among equals. */
export function slowLookup(
  rows: readonly SlowRow[],
  own: SlowPrefix,
  address: number,
): number | undefined {
  let best: SlowPrefix & { peer?: number } = { network: 0, length: -1 };
  for (const row of rows) {
    if (row.length >= best.length && slowContains(row, address)) best = row;
  }
  return slowContains(own, address) && own.length >= best.length ? undefined : best.peer;
}

export function slowCovers(outer: SlowPrefix, inner: SlowPrefix): boolean {
  return outer.length <= inner.length && slowContains(outer, inner.network);
}

export function slowContains(prefix: SlowPrefix, address: number): boolean {
  const size = slowSize(prefix);
  return Math.floor(address / size) === Math.floor(prefix.network / size);
}

/** How many addresses are in a prefix. */
export function slowSize(prefix: SlowPrefix): number {
  return 2 ** (32 - prefix.length);
}
