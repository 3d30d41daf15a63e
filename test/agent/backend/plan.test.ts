import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import fc from 'fast-check';
import {
  type Entry,
  type FoundEntry,
  makePlan,
  type Operation,
  type Plan,
  placeOf,
  type Table,
  type WantedEntry,
} from '../../../src/agent/backend/reconcile/plan.ts';
import { runSeed } from '../../support/random.ts';
import { rounds } from '../../support/rounds.ts';

const TABLES: readonly Table[] = ['route', 'neighbour', 'forwarding'];
const LAST_STEP = { route: 4, neighbour: 3, forwarding: 1 } as const;

/** Few names, so that entries meet. */
const table = fc.constantFrom(...TABLES);
const key = fc.constantFrom('a', 'b', 'c', 'd');
const value = fc.constantFrom('1', '2', '3');
const wantedEntry = fc.record({ table, key, value, owner: fc.constantFrom('p', 'q', 'r', 's') });
const foundEntry: fc.Arbitrary<FoundEntry> = fc
  .record({ table, key, value, ours: fc.boolean() })
  .map((entry) => ({ ...entry, text: `${entry.key} ${entry.value}` }));

/** The kernel takes several routes at one place, but no two that are the same; else one. */
function asKernelHolds(entries: readonly FoundEntry[]): FoundEntry[] {
  const seen = new Set<string>();
  return entries.filter((entry) => {
    const name = placeOf(entry) + (entry.table === 'route' ? ` ${entry.value}` : '');
    const news = !seen.has(name);
    seen.add(name);
    return news;
  });
}

const wanted = fc.array(wantedEntry, { maxLength: 12 });
const found = fc.array(foundEntry, { maxLength: 16 }).map(asKernelHolds);

/** What the kernel does with operations, of which each step's come in any order. */
class Kernel {
  readonly places = new Map<string, FoundEntry[]>();

  constructor(entries: readonly FoundEntry[]) {
    for (const entry of entries) {
      this.places.set(placeOf(entry), [...(this.places.get(placeOf(entry)) ?? []), entry]);
    }
  }

  run(plan: Plan, order: (step: readonly Operation[]) => readonly Operation[]): void {
    for (const step of plan.steps) for (const operation of order(step)) this.carryOut(operation);
  }

  entries(): FoundEntry[] {
    return [...this.places.values()].flat();
  }

  private carryOut({ verb, entry }: Operation): void {
    const present = this.places.get(placeOf(entry)) ?? [];
    const at = present.findIndex((other) => other.value === entry.value);
    if (verb === 'remove') {
      assert.ok(at >= 0, `removes what is not there: ${placeOf(entry)} ${entry.value}`);
      present.splice(at, 1);
    } else {
      // `ip route replace` says EEXIST where the same route lies further behind.
      assert.ok(at < 0, `sets what is there: ${placeOf(entry)} ${entry.value}`);
      present[0] = { ...entry, ours: true, text: '' };
    }
    this.places.set(placeOf(entry), present);
  }
}

/** The outcome by the rules, place by place, without a thought for operations: the slow twin. */
function outcome(wants: readonly WantedEntry[], entries: readonly FoundEntry[]): string {
  const refused = slowRefusals(wants, entries);
  const all = [...wants, ...entries].map(placeOf);
  return [...new Set(all)]
    .map((place) => {
      const present = entries.filter((entry) => placeOf(entry) === place);
      const claim = wants.filter((entry) => placeOf(entry) === place).at(-1);
      if (claim === undefined) return [place, present.filter(({ ours }) => !ours)] as const;
      if (refused.has(claim.owner)) return [place, present] as const;
      const others = present.filter((entry) => !entry.ours && entry.table === 'route');
      return [place, [claim, ...others.filter((other) => other.value !== claim.value)]] as const;
    })
    .map(([place, rows]) => `${place}: ${rows.map((row) => row.value)}`)
    .filter((line) => !line.endsWith(': '))
    .sort()
    .join('\n');
}

/** Owners that contradict a later one, or whose route somebody else's is in front of. */
function slowRefusals(wants: readonly WantedEntry[], entries: readonly FoundEntry[]): Set<string> {
  const refused = new Set<string>();
  wants.forEach((entry, at) => {
    const later = wants.slice(at + 1).filter((other) => placeOf(other) === placeOf(entry));
    const contradicted = later[0] !== undefined && later[0].value !== entry.value;
    if (contradicted) refused.add(entry.owner);
    if (later.length > 0 || entry.table !== 'route') return;
    for (const present of entries.filter((other) => placeOf(other) === placeOf(entry))) {
      if (present.value === entry.value) break;
      if (!present.ours) refused.add(entry.owner);
    }
  });
  return refused;
}

function describeKernel(kernel: Kernel): string {
  return [...kernel.places]
    .map(([place, rows]) => `${place}: ${rows.map((row) => row.value)}`)
    .filter((line) => !line.endsWith(': '))
    .sort()
    .join('\n');
}

function entriesOf(plan: Plan): Entry[] {
  return plan.steps.flat().map(({ entry }) => entry);
}

describe('a plan', () => {
  const seed = runSeed();

  test('brings the kernel to what its slow twin says, in any order within a step', () => {
    fc.assert(
      fc.property(wanted, found, fc.integer(), (wants, entries, salt) => {
        const kernel = new Kernel(entries);
        const order = (step: readonly Operation[]) => (salt % 2 === 0 ? step : [...step].reverse());
        kernel.run(makePlan(wants, entries), order);
        assert.equal(describeKernel(kernel), outcome(wants, entries));
      }),
      { seed, numRuns: rounds(20_000) },
    );
  });

  test('carried out, leaves nothing to plan', () => {
    fc.assert(
      fc.property(wanted, found, (wants, entries) => {
        const kernel = new Kernel(entries);
        const first = makePlan(wants, entries);
        kernel.run(first, (step) => step);
        const second = makePlan(wants, kernel.entries());
        assert.deepEqual(entriesOf(second), []);
        assert.deepEqual([...second.refused.keys()].sort(), [...first.refused.keys()].sort());
      }),
      { seed, numRuns: rounds(5_000) },
    );
  });

  test('never removes what others have set, nor touches it to no purpose', () => {
    fc.assert(
      fc.property(wanted, found, (wants, entries) => {
        const foreign = entries.filter(({ ours, table }) => !ours && table === 'route');
        const kernel = new Kernel(entries);
        kernel.run(makePlan(wants, entries), (step) => step);
        for (const entry of foreign) {
          assert.ok(kernel.entries().some((left) => left === entry || left.value === entry.value));
        }
      }),
      { seed, numRuns: rounds(5_000) },
    );
  });

  test('sets routes after what they need, and removes them before', () => {
    const owner = '10.1.2.0/24';
    const wants: WantedEntry[] = TABLES.map((table) => ({ table, key: 'x', value: '1', owner }));
    const stale = TABLES.map((table) => ({ table, key: 'y', value: '1', ours: true, text: '' }));
    const { steps } = makePlan(wants, stale);
    const said = steps.flat().map(({ verb, entry }) => `${verb} ${entry.table}`);
    assert.deepEqual(said, [
      'remove route',
      'set forwarding',
      'remove forwarding',
      'set neighbour',
      'set route',
      'remove neighbour',
    ]);
    assert.equal(steps[LAST_STEP.route]!.length, 1);
  });

  test('names both sides of a contradiction, and lets the newer one have its way', () => {
    const mac = '0a:00:00:00:00:01';
    const claim = (value: string, owner: string): WantedEntry => ({
      ...{ table: 'forwarding', key: mac, value, owner },
    });
    const { steps, refused } = makePlan(
      [claim('192.0.2.2', '10.1.2.0/24'), claim('192.0.2.3', '10.1.3.0/24')],
      [],
    );
    assert.deepEqual(
      steps.flat().map(({ owner }) => owner),
      ['10.1.3.0/24'],
    );
    assert.match(refused.get('10.1.2.0/24')!, /VtepMAC 0a:.*192\.0\.2\.2.*10\.1\.3\.0\/24/);
  });
});
