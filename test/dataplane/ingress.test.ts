/** What becomes of packets that the TUN refuses: each is written, or counted for one reason. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as counters from '../../src/dataplane/counters.ts';
import { createIngress } from '../../src/dataplane/in/ingress.ts';
import { createLedger } from '../../src/dataplane/in/ledger.ts';
import type { Ladder } from '../../src/dataplane/ladder.ts';
import type { Feature } from '../../src/dataplane/messages.ts';
import { tableCapacity } from '../../src/forwarding/compile.ts';
import { peerAccount } from '../../src/forwarding/table.ts';
import { createCoalescer } from '../../src/offload/coalesce.ts';
import * as errors from '../../src/sys/errno.ts';
import { createSlab, layOut } from '../../src/sys/memory.ts';
import { formatSockaddr, SOCKADDR_SIZE } from '../../src/sys/sockaddr.ts';
import { RECEIVE_BUFFER } from '../../src/udp/receive.ts';
import { loadSum } from '../../src/wire/checksum.ts';
import { compile, findPeer, nameOf, numberOf } from '../support/ipv4-peers.ts';
import { pattern, tcp4, udp4 } from '../support/packets.ts';

const VIRTIO_HEADER = 10;
const IOVEC_WORDS = 4;
const BUFFERS = 4;
const PEER = 0x0a000002;
const ACCOUNT = 5;

/** What the kernel answers a write with, and the one counter that then moves. */
const REFUSALS = [
  ['EBADFD', errors.EBADFD, counters.RX_TUN_REFUSED],
  ['EAGAIN', errors.EAGAIN, counters.RX_TUN_FULL],
  ['ENOBUFS', errors.ENOBUFS, counters.RX_TUN_FULL],
  ['ENOMEM', errors.ENOMEM, counters.RX_TUN_FULL],
  ['EIO', errors.EIO, counters.RX_TUN_DOWN],
  ['EINVAL', errors.EINVAL, counters.RX_TUN_REFUSED],
] as const;

const KINDS = [
  ['TCP', 'coalesce_tcp'],
  ['UDP', 'coalesce_udp'],
] as const;

/** A flow's packets that join to one train. */
function flow(kind: string, count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => {
    const [ports, ip] = [{ sourcePort: 7 }, { dontFragment: true, identification: i }];
    if (kind === 'UDP') return udp4(pattern(300), ports, ip);
    return tcp4(
      pattern(300),
      { ...ports, sequence: 300 * i, flags: i === count - 1 ? 0x18 : 16 },
      ip,
    );
  });
}

/** A packet that never joins anything. */
const alone = (length: number) => tcp4(pattern(length), { flags: 0x12 });

/** The way in before a TUN that answers superpackets and plain packets as told. */
function create(answers: { train: number; packet: (written: number) => number }) {
  const slab = createSlab(1024 * 1024);
  const layout = layOut(slab);
  const { bytes, words, low } = slab;
  const block = new Float64Array(counters.BLOCK_SLOTS);
  const accounts = new Float64Array(16 * counters.ACCOUNT_SLOTS);
  const written: Uint8Array[] = [];
  const trains: Uint8Array[] = [];
  const lowered: Feature[] = [];
  const shown: [reason: number, peer: number][] = [];
  let asked = 0;
  const writer = {
    writePacket(at: number, length: number) {
      const code = answers.packet(asked++);
      if (code === 0) written.push(bytes.slice(at, at + length));
      return code;
    },
    writeVector(view: Uint8Array, count: number) {
      const first = (view.byteOffset >> 2) as number;
      const parts = Array.from({ length: count }, (_, i) => {
        const at = (words[first + IOVEC_WORDS * i]! - low) | 0;
        return bytes.slice(at, at + words[first + IOVEC_WORDS * i + 2]!);
      });
      if (answers.train === 0) trains.push(Buffer.concat(parts).subarray(VIRTIO_HEADER));
      return answers.train;
    },
  };
  const at = new Int32Array(BUFFERS);
  for (let i = 0; i < BUFFERS; i++) at[i] = layout.take(RECEIVE_BUFFER, 64);
  const name = layout.take(SOCKADDR_SIZE, 64) >> 2;
  words.set(nameOf(PEER), name);
  const receiver = { at, sender: new Int32Array(BUFFERS).fill(name) };
  const ledger = createLedger(receiver, accounts);
  const wishes = { tcp: true, udp: true };
  const tap = {
    ...{ mode: 1, refresh() {}, packet() {} },
    drop: (reason: number, _at: number, _length: number, names: Int32Array, peer: number) =>
      shown.push([reason, numberOf(formatSockaddr(names, peer))]),
  };
  const ladder = { lower: (feature: Feature) => lowered.push(feature) } as unknown as Ladder;
  const coalescer = createCoalescer(bytes, loadSum(slab.memory), wishes);
  const ways = { slab, layout, writer, block, tap, ledger, coalescer, wishes, ladder };
  const ingress = createIngress(ways);

  /** Delivers the packets as one batch, spread over the buffers, and writes them. */
  function carry(packets: readonly Uint8Array[]): void {
    const next = at.slice();
    const counts = new Int32Array(BUFFERS);
    const sizes = new Int32Array(BUFFERS);
    for (const [i, packet] of packets.entries()) {
      const buffer = i % BUFFERS;
      bytes.set(packet, next[buffer]);
      ingress.deliver(next[buffer]!, packet.length);
      next[buffer]! += (packet.length + 3) & ~3;
      counts[buffer]!++;
      sizes[buffer]! += packet.length;
    }
    ingress.flush();
    for (let i = 0; i < BUFFERS; i++) ledger.from(i, findPeer(table, PEER));
    for (let i = 0; i < BUFFERS; i++) ledger.note(i, counts[i]!, counts[i]!, sizes[i]!);
    ledger.settle(table, BUFFERS);
  }

  const account = (slot: number) => accounts[ACCOUNT * counters.ACCOUNT_SLOTS + slot]!;
  return { carry, block, account, ingress, wishes, written, trains, lowered, shown };
}

const OVERLAY = { network: 0x0af40000, length: 16 };
const OWN = { network: 0x0af40200, length: 24 };
const table = new Int32Array(tableCapacity(OVERLAY, 4));
compile(table, [{ network: 0x0af40100, length: 24, peer: PEER }], OWN, OVERLAY, () => ACCOUNT);
assert.equal(peerAccount(table, findPeer(table, PEER)), ACCOUNT);

type Rig = ReturnType<typeof create>;

/** Every packet given is in one place: written, or dropped for `reason`; so too in the account. */
function assertBooks(rig: Rig, given: readonly Uint8Array[], dropped: number, reason?: number) {
  const { block, account } = rig;
  assert.equal(block[counters.PACKETS], given.length - dropped, 'written');
  for (const [slot, label] of counters.RX_DROPS) {
    assert.equal(block[slot], slot === reason ? dropped : 0, label);
  }
  assert.equal(account(counters.ACCOUNT_PACKETS), given.length - dropped);
  assert.equal(account(counters.ACCOUNT_DROPS), dropped);
  assert.equal(account(counters.ACCOUNT_ADMITTED), given.length);
  assert.equal(account(counters.ACCOUNT_BYTES), block[counters.INNER_BYTES]);
  for (const [slot, peer] of rig.shown) assert.deepEqual([slot, peer], [reason, PEER]);
}

function hex(packets: readonly Uint8Array[]): string[] {
  return packets.map((packet) => Buffer.from(packet).toString('hex'));
}

for (const [kind, feature] of KINDS) {
  describe(`a train of ${kind}`, () => {
    const given = flow(kind, 9);

    it('is one write where the TUN takes it', () => {
      const rig = create({ train: 0, packet: () => 0 });
      rig.carry(given);
      assertBooks(rig, given, 0);
      assert.equal(rig.trains.length, 1);
      assert.equal(rig.written.length, 0);
      assert.equal(rig.block[counters.SUPERPACKETS], 1);
      assert.deepEqual(rig.lowered, []);
    });

    it('that is EINVAL is written apart, as it came, and no other is tried', () => {
      const rig = create({ train: errors.EINVAL, packet: () => 0 });
      rig.carry(given);
      assertBooks(rig, given, 0);
      assert.deepEqual(hex(rig.written), hex(given));
      assert.deepEqual(rig.lowered, [feature]);
      assert.equal(rig.block[counters.SUPERPACKETS], 0);
      assert.equal(rig.block[counters.CALL_WRITEV + counters.CALL_ERROR], 1);
      rig.carry(given);
      assert.deepEqual(hex(rig.written), hex([...given, ...given]));
      assert.deepEqual(rig.lowered, [feature]);
      const other = feature === 'coalesce_tcp' ? rig.wishes.udp : rig.wishes.tcp;
      assert.equal(other, true, 'the other kind still joins');
    });

    it('that is EINVAL, with packets that the TUN refuses too, loses these alone', () => {
      const packet = (i: number) => (i % 3 === 1 ? errors.ENOBUFS : 0);
      const rig = create({ train: errors.EINVAL, packet });
      rig.carry(given);
      assertBooks(rig, given, 3, counters.RX_TUN_FULL);
      assert.deepEqual(hex(rig.written), hex(given.filter((_, i) => i % 3 !== 1)));
    });

    for (const [name, code, reason] of REFUSALS.filter(([, code]) => code !== errors.EINVAL)) {
      it(`that is ${name} is dropped whole, and stays joined the next time`, () => {
        const rig = create({ train: code, packet: () => 0 });
        rig.carry(given);
        assertBooks(rig, given, given.length, reason);
        assert.deepEqual([rig.written.length, rig.lowered], [0, []]);
        assert.equal(rig.shown.length, 1);
        assert.equal(rig.ingress.gone(), code === errors.EBADFD);
      });
    }
  });
}

describe('packets that join nothing', () => {
  const given = [1, 2, 3, 4, 5, 6, 7].map((i) => alone(40 * i));
  for (const [name, code, reason] of REFUSALS) {
    it(`are dropped one by one on ${name}, and the others written in their order`, () => {
      const rig = create({ train: 0, packet: (i) => (i % 2 === 0 ? code : 0) });
      rig.carry(given);
      assertBooks(rig, given, 4, reason);
      assert.deepEqual(hex(rig.written), hex(given.filter((_, i) => i % 2 === 1)));
      assert.deepEqual(rig.lowered, []);
      assert.equal(rig.ingress.gone(), code === errors.EBADFD);
      const again = reason === counters.RX_TUN_FULL;
      const result = again ? counters.CALL_AGAIN : counters.CALL_ERROR;
      assert.equal(rig.block[counters.CALL_WRITEV + result], 4);
    });
  }
});
