import type { Cause, Finding } from './check.ts';
import type { Examined } from './doctor.ts';

interface Row {
  readonly check: string;
  readonly finding: Finding;
}

/**
 * Leaves of one trouble one finding: those that follow from another one are taken out, and named in
 * `explains` of the one that they all come from.
 */
export function fold(examined: readonly Examined[]): Examined[] {
  const rows = examined.flatMap(({ check, findings }) =>
    findings.map((finding): Row => ({ check, finding })),
  );
  const causes = rows.filter(({ finding }) => finding.cause !== undefined);
  const explained = new Map<Finding, Set<string>>();
  const folded = new Set<Finding>();
  for (const row of rows) {
    const root = rootOf(row, causes);
    if (root === row) continue;
    folded.add(row.finding);
    const names = explained.get(root.finding) ?? new Set();
    explained.set(root.finding, names);
    if (row.check !== root.check) names.add(row.check);
  }
  return examined.map(({ check, findings }) => ({
    check,
    findings: findings
      .filter((finding) => !folded.has(finding))
      .map((finding) => {
        const names = [...(explained.get(finding) ?? [])];
        return names.length === 0 ? finding : { ...finding, explains: names };
      }),
  }));
}

/** The row that a row comes from in the end; itself where nothing is behind it. */
function rootOf(row: Row, causes: readonly Row[]): Row {
  const passed: Row[] = [];
  for (let next: Row | undefined = row; next !== undefined; ) {
    // Behind each other in a ring: the first to be looked at stands for all.
    if (passed.includes(next)) return causes.find((each) => passed.includes(each))!;
    const here: Row = next;
    passed.push(here);
    next = causes.find((each) => each !== here && isBehind(each.finding, here.finding));
  }
  return passed.at(-1)!;
}

/** A cause that touches some peers explains what is said of these, and of no others. */
function isBehind(cause: Finding, effect: Finding): boolean {
  if (!effect.follows?.includes(cause.cause as Cause)) return false;
  const { peers } = cause;
  return peers === undefined || (effect.peers?.every((peer) => peers.includes(peer)) ?? false);
}
