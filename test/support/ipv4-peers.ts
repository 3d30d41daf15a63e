/**
 * Tables whose peers are IPv4 addresses given as numbers (host order, unsigned; 0 for none), as
 * tests count them. The rooms themselves know a peer by the text of its address, or by its slot.
 */
import { compile as compileText, type Row as TextRow } from '../../src/forwarding/compile.ts';
import { TablePatcher as TextPatcher } from '../../src/forwarding/patch.ts';
import type { PeerAccounts } from '../../src/forwarding/slots.ts';
import { findPeer as findWords, NO_PEER, peerAt } from '../../src/forwarding/table.ts';
import { SOCKADDR_WORDS, writeSockaddr } from '../../src/sys/sockaddr.ts';
import { formatAddress4, type Prefix4, parseAddress4 } from '../../src/wire/address.ts';

export const PORT = 8285;

export interface Row extends Prefix4 {
  readonly peer: number;
}

/** The peer's text, as rows and accounts have it. */
export function textOf(peer: number): string {
  if (peer !== last.peer) last = { peer, text: peer === 0 ? '' : formatAddress4(peer) };
  return last.text;
}

/** Rows in a row often name one peer. */
let last = { peer: 0, text: '' };

export function numberOf(peer: string): number {
  return parseAddress4(peer) ?? 0;
}

export function textRow(row: Row): TextRow {
  return { ...row, peer: textOf(row.peer) };
}

/** `compile` of the compiler's, of rows by numbers. */
export function compile(
  table: Int32Array,
  rows: readonly Row[],
  own: Prefix4,
  network: Prefix4,
  accountOf?: (peer: number) => number,
): number {
  const ofText = accountOf === undefined ? undefined : (peer: string) => accountOf(numberOf(peer));
  return compileText(table, rows.map(textRow), { own, network, port: PORT }, ofText);
}

/** Accounts of peers by numbers. */
export interface Accounts {
  accountOf(peer: number): number;
  release(peer: number): void;
}

/** `TablePatcher` of rows by numbers. */
export class TablePatcher {
  readonly #patcher: TextPatcher;

  constructor(own: Prefix4, network: Prefix4, words: number, accounts: Accounts) {
    const byText: PeerAccounts = {
      accountOf: (peer) => accounts.accountOf(numberOf(peer)),
      release: (peer) => accounts.release(numberOf(peer)),
    };
    this.#patcher = new TextPatcher({ own, network, port: PORT }, words, byText);
  }

  reset(): void {
    this.#patcher.reset();
  }

  update(idle: Int32Array, current: Int32Array, changes: readonly Row[]): number {
    return this.#patcher.update(idle, current, changes.map(textRow));
  }
}

const words = new Int32Array(SOCKADDR_WORDS);

/** The socket address of a peer, good until the next call. */
export function nameOf(peer: number): Int32Array {
  writeSockaddr(words, 0, textOf(peer), PORT);
  return words;
}

/** The slot of a peer, or NO_PEER. */
export function findPeer(table: Int32Array, peer: number): number {
  return findWords(table, nameOf(peer), 0);
}

export function isPeerAddress(table: Int32Array, peer: number): boolean {
  return findPeer(table, peer) !== NO_PEER;
}

/** The address of a slot, read byte by byte as ip(7) lays it out. */
export function peerAddress(table: Int32Array, slot: number): number {
  const at = 4 * peerAt(table, slot);
  return new DataView(table.buffer, table.byteOffset).getUint32(at + 4);
}
