/** Leases asked for one destination after another: in order, at random, by public address. */
import { tableCapacity } from '../src/forwarding/compile.ts';
import { findPeer, lookup } from '../src/forwarding/table.ts';
import { SOCKADDR_WORDS } from '../src/sys/sockaddr.ts';
import { compile, nameOf, type Row } from '../test/support/ipv4-peers.ts';
import { createRandom } from '../test/support/random.ts';
import { type Case, type MicroBench, mix, type Size } from './harness.ts';

const LEASES = { small: 20, real: 5_000 };
const QUESTIONS = { small: 64, real: 4_096 };
const NETWORK = { network: 0x0a00_0000, length: 8 };
const OWN = { network: 0x0aff_ff00, length: 24 };
const FIRST_PEER = 0xc000_0201;

/** Leases of one length side by side from the network's first address on. */
function createTable(leases: number, length: number): Int32Array {
  const rows = Array.from({ length: leases }, (_, i): Row => {
    return { network: NETWORK.network + i * 2 ** (32 - length), length, peer: FIRST_PEER + i };
  });
  const table = new Int32Array(tableCapacity(NETWORK, leases));
  const left = compile(table, rows, OWN, NETWORK);
  if (left !== 0) throw new Error(`${left} of ${leases} leases did not fit into the table`);
  return table;
}

function cases(size: Size): readonly Case[] {
  const [leases, questions] = [LEASES[size], QUESTIONS[size]];
  const random = createRandom(2);
  const ask = (first: number, span: number) =>
    Int32Array.from({ length: questions }, () => first + random.below(span));
  const [wide, narrow] = [createTable(leases, 24), createTable(leases, 28)];
  const one = ask(NETWORK.network + 258, 1);
  const runs = [
    { name: `one destination of ${leases}`, ...asking(wide, one, lookup) },
    { name: `${leases} /24`, ...asking(wide, ask(NETWORK.network, leases * 256), lookup) },
    { name: `${leases} /28`, ...asking(narrow, ask(NETWORK.network, leases * 16), lookup) },
    { name: `peer of ${leases}`, ...finding(wide, ask(FIRST_PEER, leases)) },
  ];
  return runs.map((each) => ({ ...each, pieces: questions, piece: 'look-up', bytes: 0 }));
}

function asking(table: Int32Array, addresses: Int32Array, look: typeof lookup): Pick<Case, 'run'> {
  return {
    run() {
      let hash = 0;
      for (let i = 0; i < addresses.length; i++) hash = mix(hash, look(table, addresses[i]!));
      return hash;
    },
  };
}

/** Senders as they are received: socket addresses side by side. */
function finding(table: Int32Array, peers: Int32Array): Pick<Case, 'run'> {
  const names = new Int32Array(peers.length * SOCKADDR_WORDS);
  for (const [i, peer] of peers.entries()) names.set(nameOf(peer >>> 0), i * SOCKADDR_WORDS);
  return {
    run() {
      let hash = 0;
      for (let at = 0; at < names.length; at += SOCKADDR_WORDS) {
        hash = mix(hash, findPeer(table, names, at));
      }
      return hash;
    },
  };
}

export const lookups: MicroBench = { name: 'lookup', cases };
