/** The way out of a batch over a scripted kernel, and what must be true of every batch. */
import assert from 'node:assert/strict';
import * as counters from '../../src/dataplane/counters.ts';
import { createEgress, type Egress } from '../../src/dataplane/out/egress.ts';
import { createSlab, layOut } from '../../src/sys/memory.ts';
import { SOCKADDR_WORDS, writeSockaddr } from '../../src/sys/sockaddr.ts';
import { type Ask, type Message, PATH_MTU, type Script, ScriptedKernel } from './egress-kernel.ts';

export const FIRST_LANE_FD = 100;
const WAKE_FD = 99;
const HEADER = 40;
const ACCOUNTS = 16;
const ARENA = 4 * 1024 * 1024;
export const OUTER = counters.OUTER_HEADERS;

export interface RigOptions {
  readonly lanes?: number;
  readonly datagrams?: number;
}

export interface Fields {
  readonly peer?: number;
  readonly size?: number;
  readonly lane?: number;
  readonly dontFragment?: boolean;
  readonly typeOfService?: number;
  /** The superpacket that it was cut from, by a number below 64 of the test's own. */
  readonly packet?: number;
}

export type EgressRig = ReturnType<typeof createEgressRig>;

export function createEgressRig(script: Script = {}, options: RigOptions = {}) {
  const { lanes = 1, datagrams = 127 } = options;
  const slab = createSlab(8 * 1024 * 1024);
  const layout = layOut(slab);
  const block = new Float64Array(counters.BLOCK_SLOTS);
  const accounts = new Float64Array(ACCOUNTS * counters.ACCOUNT_SLOTS);
  const limits = { datagrams };
  const told: { packet: number; mtu: number }[] = [];
  const kernel = new ScriptedKernel(slab, script);
  const rig = {
    ...{ kernel, block, accounts, limits, told },
    calls: kernel.calls,
    sent: kernel.sent,
    lowered: 0,
    pushed: 0,
    add,
    addMany(count: number, fields: Fields = {}) {
      for (let i = 0; i < count; i++) add(fields);
    },
    flush: () => egress.flush(table),
    drops: () => dropsOf(block),
    callCounts(first: number) {
      const [ok, again, error] = [0, 1, 2].map((result) => block[first + result]);
      return { ok, again, error };
    },
    restore: () => kernel.restore(),
  };
  const egress: Egress = createEgress({
    ...{ slab, layout, block, accounts, limits, bindAddress: '127.0.0.1' },
    tap: { mode: 0 } as never,
    answer: {
      unreachable() {},
      timeExceeded() {},
      mayTellMtu: () => true,
      fragNeeded: (_table, at, _length, mtu) => told.push({ packet: (at - packets) / 64, mtu }),
    },
    sockets: Int32Array.from({ length: lanes }, (_, lane) => FIRST_LANE_FD + lane),
    wake: WAKE_FD,
    lowerSegmentation: () => rig.lowered++,
  });
  const table = tableOfNames();
  const packets = layout.take(64 * 64, 64);
  const arena = layout.take(ARENA, 64);
  let next = arena;

  /** Queues a datagram in two slices, its header and what follows; returns its number. */
  function add(fields: Fields = {}): number {
    const { peer = 2, size = 1000, lane = 0, dontFragment = true, typeOfService = 0 } = fields;
    if (next + size + 64 > arena + ARENA) next = arena;
    const at = next;
    next += (size + 63) & ~63;
    const number = rig.pushed++;
    new DataView(slab.memory.buffer).setUint32(at + 12, number);
    const packet = fields.packet === undefined ? at : packets + fields.packet * 64;
    slab.bytes[packet] = 0x45;
    slab.bytes[packet + 2] = size >>> 8;
    slab.bytes[packet + 3] = size;
    slab.bytes[packet + 6] = dontFragment ? 0x40 : 0;
    const header = Math.min(HEADER, size);
    egress.sender.addSlice(at, header);
    if (size > header) egress.sender.addSlice(at + header, size - header);
    const to = { peer: SOCKADDR_WORDS * peer, account: peer };
    egress.push(to, size, packet, (lane << 8) | typeOfService);
    return number;
  }

  return rig;
}

/** Socket addresses of peers, by the last byte of each. */
function tableOfNames(): Int32Array {
  const names = new Int32Array(256 * SOCKADDR_WORDS);
  for (let peer = 0; peer < 256; peer++) {
    writeSockaddr(names, peer * SOCKADDR_WORDS, `192.0.2.${peer}`, 8285);
  }
  return names;
}

function dropsOf(block: Float64Array): Record<string, number> {
  const counted = counters.TX_DROPS.map(([slot, label]) => [label, block[slot]!] as const);
  return Object.fromEntries(counted.filter(([, count]) => count !== 0));
}

export const isRun = (message: Message | undefined) => (message?.numbers.length ?? 0) > 1;
export const tooLong = (message: Message) => Math.max(...message.sizes) + OUTER > PATH_MTU;
export const numbers = (messages: readonly Message[]) => messages.flatMap((each) => each.numbers);
export const upTo = (count: number) => Array.from({ length: count }, (_, number) => number);

/** A script: the kernel takes messages until one that `refusal` names an errno for; 0 for none. */
export function refusing(refusal: (message: Message, ask: Ask) => number): (ask: Ask) => number {
  return (ask) => {
    const codes = ask.messages.map((message) => refusal(message, ask));
    const taken = codes.findIndex((code) => code !== 0);
    if (taken < 0) return codes.length;
    return taken > 0 ? taken : -codes[0]!;
  };
}

/** Each datagram ended in exactly one of sent or dropped, and every call was counted. */
export function assertConserved(rig: EgressRig): void {
  const { block, accounts, kernel } = rig;
  const dropped = Object.values(rig.drops()).reduce((a, b) => a + b, 0);
  const gone = numbers(rig.sent);
  assert.equal(new Set(gone).size, gone.length, 'nothing is sent twice');
  assert.equal(gone.length + dropped, rig.pushed);
  const bytes = rig.sent.flatMap(({ sizes }) => sizes).reduce((a, b) => a + b, 0);
  assert.equal(block[counters.PACKETS], gone.length);
  assert.equal(block[counters.DATAGRAMS], gone.length);
  assert.equal(block[counters.INNER_BYTES], bytes);
  assert.equal(block[counters.OUTER_BYTES], bytes + OUTER * gone.length);
  assert.equal(block[counters.RUN_HISTOGRAM + counters.HISTOGRAM_BUCKETS], gone.length);
  const inAccounts = (slot: number) =>
    accounts.reduce((sum, n, i) => (i % counters.ACCOUNT_SLOTS === slot ? sum + n : sum), 0);
  assert.equal(inAccounts(counters.ACCOUNT_PACKETS), gone.length);
  assert.equal(inAccounts(counters.ACCOUNT_BYTES), bytes);
  assert.equal(inAccounts(counters.ACCOUNT_DROPS), dropped);
  const { ok, again, error } = rig.callCounts(counters.CALL_SENDMMSG);
  assert.equal(ok + again + error, rig.calls.length);
  const polls = rig.callCounts(counters.CALL_POLL);
  assert.equal(polls.ok + polls.again, kernel.waits.length);
  assert.equal(kernel.fragmenting.size, 0, 'DF is set again');
}
