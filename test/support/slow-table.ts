/**
 * The lease table as a list that is walked: the slow twin of forwarding/table and compile. It
 * knows prefixes only as text of bits, so that it shares no trick with the fast one.
 */

export interface SlowRow {
  readonly network: number;
  readonly length: number;
  readonly peer: number;
}

export interface SlowPrefix {
  readonly network: number;
  readonly length: number;
}

/** The peer behind an address, or undefined; longest prefix first, the later row among equals. */
export function slowLookup(
  rows: readonly SlowRow[],
  own: SlowPrefix,
  network: SlowPrefix,
  address: number,
): number | undefined {
  if (slowContains(own, address)) return undefined;
  let best: SlowRow | undefined;
  for (const row of rows) {
    if (!slowUsable(row, own, network) || !slowContains(row, address)) continue;
    if (best === undefined || row.length >= best.length) best = row;
  }
  return best?.peer;
}

/** Whether a row belongs into a table at all. */
export function slowUsable(row: SlowRow, own: SlowPrefix, network: SlowPrefix): boolean {
  const insideNetwork = row.length >= network.length && slowContains(network, row.network);
  const insideOwn = row.length >= own.length && slowContains(own, row.network);
  return insideNetwork && !insideOwn;
}

export function slowContains(prefix: SlowPrefix, address: number): boolean {
  return bitsOf(address).startsWith(bitsOf(prefix.network).slice(0, prefix.length));
}

function bitsOf(address: number): string {
  return address.toString(2).padStart(32, '0');
}
