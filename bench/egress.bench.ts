/** A batch from the outbox to the door of the kernel: planned, grouped, wired, counted. */
import * as counters from '../src/dataplane/counters.ts';
import { createEgress, type Egress } from '../src/dataplane/out/egress.ts';
import { libc } from '../src/sys/binding.ts';
import { createSlab, layOut } from '../src/sys/memory.ts';
import { SOCKADDR_WORDS } from '../src/sys/sockaddr.ts';
import { type Case, type MicroBench, mix, type Size } from './harness.ts';

const DATAGRAMS = { small: 16, real: 1024 };
const DATAGRAM_BYTES = 1428;
const HEADER = 52;

interface Mixture {
  readonly name: string;
  readonly peers: number;
  readonly lanes: number;
  /** Datagrams before the next peer and lane have their turn. */
  readonly turn: number;
}

const MIXTURES: readonly Mixture[] = [
  { name: 'one peer', peers: 1, lanes: 1, turn: 1 },
  { name: '4 peers, 32 datagrams each in turn', peers: 4, lanes: 1, turn: 32 },
  { name: '4 peers in turn', peers: 4, lanes: 1, turn: 1 },
  { name: '4 lanes in turn', peers: 1, lanes: 4, turn: 1 },
];

function cases(size: Size): readonly Case[] {
  return MIXTURES.map((mixture) => createCase(mixture, DATAGRAMS[size]));
}

function createCase(mixture: Mixture, datagrams: number): Case {
  const slab = createSlab(2 * 1024 * 1024);
  const layout = layOut(slab);
  const egress = createEgress({
    ...{ slab, layout, bindAddress: '192.0.2.1', wake: -1 },
    block: new Float64Array(counters.BLOCK_SLOTS),
    accounts: new Float64Array(2 * counters.ACCOUNT_SLOTS),
    tap: { mode: 0, refresh() {}, packet() {}, drop() {} },
    answer: { unreachable() {}, timeExceeded() {}, mayTellMtu: () => false, fragNeeded() {} },
    sockets: new Int32Array(mixture.lanes).fill(-1),
    limits: { datagrams: 127 },
    lowerSegmentation() {},
  });
  const table = new Int32Array(SOCKADDR_WORDS * Math.max(...MIXTURES.map(({ peers }) => peers)));
  let hash = 0;
  const sendmmsg = (_fd: number, _messages: unknown, count: number) => {
    hash = mix(hash, count);
    return count;
  };
  const run = () => {
    hash = datagrams;
    const original = libc.sendmmsg;
    libc.sendmmsg = sendmmsg;
    pushAll(egress, mixture, datagrams);
    egress.flush(table);
    libc.sendmmsg = original;
    return hash;
  };
  return { name: mixture.name, pieces: datagrams, piece: 'datagram', bytes: 0, run };
}

function pushAll(egress: Egress, { peers, lanes, turn }: Mixture, datagrams: number): void {
  const to = { peer: 0, account: 0 };
  for (let i = 0; i < datagrams; i++) {
    const turns = (i / turn) | 0;
    to.peer = SOCKADDR_WORDS * (turns % peers);
    egress.sender.addSlice(64, HEADER);
    egress.sender.addSlice(128, DATAGRAM_BYTES - HEADER);
    egress.push(to, DATAGRAM_BYTES, 128, (turns % lanes) << 8);
  }
}

export const egress: MicroBench = { name: 'egress', cases };
