/** What a change of leases costs: one that moves or comes and goes, and the whole table anew. */
import { tableCapacity } from '../src/forwarding/compile.ts';
import { createPublication, publish } from '../src/forwarding/publication.ts';
import { lookup, NO_PEER } from '../src/forwarding/table.ts';
import { compile, peerAddress, type Row, TablePatcher } from '../test/support/ipv4-peers.ts';
import { type Case, type MicroBench, mix } from './harness.ts';

const LEASES = { small: [20], real: [100, 5_000, 65_000] };
const CHANGES = { small: 4, real: 64 };
const NETWORK = { network: 0x0a00_0000, length: 8 };
const OWN = { network: 0x0aff_ff00, length: 24 };
const FIRST_PEER = 0xc000_0201;
const NEWCOMER = 0xac10_0001;
const NOBODY = { accountOf: () => 1, release: () => undefined };

const leaseOf = (index: number, peer: number): Row => {
  return { network: NETWORK.network + index * 256, length: 24, peer };
};

/** Publishes what `waves` say, each wave a change at a time, and asks who is there after each. */
function changing(leases: number, waves: readonly (readonly Row[])[]): Pick<Case, 'run'> {
  const words = tableCapacity(NETWORK, leases + 1);
  const publication = createPublication(1, words);
  const patcher = new TablePatcher(OWN, NETWORK, words, NOBODY);
  let table = publication.tables[0];
  const change = (rows: readonly Row[]) => {
    publish(publication, (idle, current) => {
      table = idle;
      patcher.update(idle, current, rows);
    });
  };
  change(Array.from({ length: leases }, (_, index) => leaseOf(index, FIRST_PEER + index)));
  return {
    run() {
      let hash = 1;
      for (const row of waves.flat()) {
        change([row]);
        hash = mix(hash, peerOf(table, row.network));
      }
      return hash;
    },
  };
}

function peerOf(table: Int32Array, address: number): number {
  const slot = lookup(table, address);
  return slot === NO_PEER ? 0 : peerAddress(table, slot);
}

function compiling(leases: number): Pick<Case, 'run'> {
  const table = new Int32Array(tableCapacity(NETWORK, leases));
  const rows = Array.from({ length: leases }, (_, index) => leaseOf(index, FIRST_PEER + index));
  return {
    run() {
      compile(table, rows, OWN, NETWORK);
      return mix(1, peerOf(table, NETWORK.network + 256));
    },
  };
}

function casesOf(leases: number, changes: number): Case[] {
  const many = Array.from({ length: changes }, (_, index) => (index * 7919) % leases);
  const moves = many.map((index) => leaseOf(index, NEWCOMER + index));
  const returns = many.map((index) => leaseOf(index, FIRST_PEER + index));
  const goes = many.map((index) => leaseOf(index, 0));
  const piece = { pieces: 2 * changes, piece: 'change', bytes: 0 };
  return [
    { name: `${leases} leases, one moves`, ...changing(leases, [moves, returns]), ...piece },
    { name: `${leases} leases, one goes or comes`, ...changing(leases, [goes, returns]), ...piece },
    { name: `${leases} leases, all anew`, ...compiling(leases), ...piece, pieces: 1 },
  ];
}

export const change: MicroBench = {
  name: 'change',
  cases: (size) => LEASES[size].flatMap((leases) => casesOf(leases, CHANGES[size])),
};
