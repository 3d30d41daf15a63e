import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createTaps, type TapFilter, type TappedPacket } from '../../src/dataplane/tap/reader.ts';
import * as ring from '../../src/dataplane/tap/ring.ts';
import { createTap } from '../../src/dataplane/tap/writer.ts';
import { NO_ADDRESS, SOCKADDR_WORDS, writeSockaddr } from '../../src/sys/sockaddr.ts';
import { parseAddress4 } from '../../src/wire/address.ts';
import { icmp4, tcp4, udp4 } from '../support/packets.ts';
import { withSeed } from '../support/random.ts';

const EVERYTHING: TapFilter = { packets: true, drops: true, snapLength: 65_535, every: 1 };
const PEER = '192.0.2.7';
const NAME = new Int32Array(SOCKADDR_WORDS);
writeSockaddr(NAME, 0, PEER, 8285);

/** One worker's two taps and their reader; `put` lays a packet where a pump would have it. */
function create() {
  const memory = new SharedArrayBuffer(2 * ring.RING_BYTES);
  const bytes = new Uint8Array(256 * 1024);
  const seen: TappedPacket[] = [];
  let lost = 0;
  const events = {
    packet: (packet: TappedPacket) => void seen.push(packet),
    lost: (count: number) => {
      lost += count;
    },
  };
  const put = (packet: Uint8Array) => {
    bytes.set(packet, 64);
    return packet.length;
  };
  return {
    out: createTap(bytes, memory, 0),
    into: createTap(bytes, memory, ring.RING_BYTES),
    taps: createTaps(memory, 1),
    seen,
    lost: () => lost,
    events,
    put,
  };
}

describe('tap', () => {
  it('shows packets and drops of both directions with peer, reason and time', () => {
    const { out, into, taps, seen, events, put } = create();
    const stop = taps.listen(EVERYTHING, events);
    const packet = udp4(new Uint8Array([1, 2, 3]));
    const before = Date.now();
    out.refresh();
    out.packet(64, put(packet), 1400, NAME, 0);
    into.refresh();
    into.drop(21, 64, put(packet), NO_ADDRESS, 0);
    stop();
    assert.equal(seen.length, 2);
    const [first, second] = seen as [TappedPacket, TappedPacket];
    assert.deepEqual([first.direction, first.reason, first.segment], ['tx', undefined, 1400]);
    assert.equal(first.peer, PEER);
    assert.deepEqual(first.bytes, packet);
    assert.ok(first.time >= before - 1 && first.time <= Date.now() + 1);
    assert.deepEqual([second.direction, second.reason, second.peer], ['rx', 21, '']);
  });

  it('is silent before somebody listens and after nobody does, and has one listener', () => {
    const { out, taps, seen, events, put } = create();
    const length = put(udp4(new Uint8Array(4)));
    out.refresh();
    assert.equal(out.mode, 0);
    const stop = taps.listen(EVERYTHING, events);
    assert.throws(() => taps.listen(EVERYTHING, events), /taken/);
    stop();
    stop();
    out.refresh();
    assert.equal(out.mode, 0);
    out.packet(64, length, 0, NAME, 0);
    taps.listen(EVERYTHING, events)();
    assert.deepEqual(seen, []);
  });

  it('keeps what the filter asks for, and as much of it', () => {
    const packets = {
      tcp: tcp4(new Uint8Array(10), { sourcePort: 5201, destinationPort: 40_000 }),
      udp: udp4(new Uint8Array(10), { sourcePort: 40_000, destinationPort: 5201 }),
      icmp: icmp4(8, 0, new Uint8Array(10)),
      elsewhere: udp4(
        new Uint8Array(10),
        { sourcePort: 1, destinationPort: 2 },
        { source: '10.9.9.9', destination: '10.9.9.8' },
      ),
    };
    const keeps = (filter: Partial<TapFilter>): string[] => {
      const { out, taps, seen, events, put } = create();
      const stop = taps.listen({ ...EVERYTHING, ...filter }, events);
      out.refresh();
      const kept = Object.entries(packets).flatMap(([name, packet]) => {
        const already = seen.length;
        out.packet(64, put(packet), 0, NAME, 0);
        return [[name, already] as const];
      });
      stop();
      const same = (a: Uint8Array, b: Uint8Array) => a.every((byte, i) => byte === b[i]);
      return kept
        .map(([name]) => name)
        .filter((name) => seen.some(({ bytes }) => same(bytes, packets[name as 'tcp'])));
    };
    assert.deepEqual(keeps({}), ['tcp', 'udp', 'icmp', 'elsewhere']);
    assert.deepEqual(keeps({ protocol: 17 }), ['udp', 'elsewhere']);
    assert.deepEqual(keeps({ port: 5201 }), ['tcp', 'udp']);
    const network = { network: parseAddress4('10.9.9.8')! | 0, mask: -1 };
    assert.deepEqual(keeps({ network }), ['elsewhere']);
    assert.deepEqual(keeps({ peer: PEER }), ['tcp', 'udp', 'icmp', 'elsewhere']);
    assert.deepEqual(keeps({ peer: '192.0.2.8' }), []);
    assert.deepEqual(keeps({ packets: false }), []);
  });

  it('thins out packets but no drops, and cuts them to the snap length', () => {
    const { out, taps, seen, events, put } = create();
    const stop = taps.listen({ ...EVERYTHING, every: 10, snapLength: 21 }, events);
    const length = put(udp4(new Uint8Array(100)));
    out.refresh();
    for (let i = 0; i < 100; i++) out.packet(64, length, 0, NAME, 0);
    for (let i = 0; i < 7; i++) out.drop(16, 64, length, NAME, 0);
    stop();
    assert.equal(seen.filter(({ reason }) => reason === undefined).length, 10);
    assert.equal(seen.filter(({ reason }) => reason === 16).length, 7);
    assert.ok(seen.every((packet) => packet.bytes.length === 21 && packet.length === length));
  });

  it('thins out drops where it is told to, and follows a filter that changes', () => {
    const { out, taps, seen, events, put } = create();
    const stop = taps.listen({ ...EVERYTHING, dropsEvery: 5 }, events);
    const length = put(udp4(new Uint8Array(100)));
    const drop = (times: number) => {
      out.refresh();
      for (let i = 0; i < times; i++) out.drop(16, 64, length, NAME, 0);
    };
    drop(20);
    taps.tune({ ...EVERYTHING, protocol: 6 });
    drop(20);
    taps.tune(EVERYTHING);
    drop(3);
    stop();
    assert.equal(seen.length, 4 + 3);
    taps.tune(EVERYTHING);
    out.refresh();
    assert.equal(out.mode, 0, 'nobody listens');
  });

  it('follows the clock that was set before somebody listens', (test) => {
    const { out, taps, seen, events, put } = create();
    const set = Date.now() + 3_600_000;
    test.mock.method(Date, 'now', () => set);
    const stop = taps.listen(EVERYTHING, events);
    out.refresh();
    out.packet(64, put(udp4(new Uint8Array(4))), 0, NAME, 0);
    stop();
    assert.ok(Math.abs(seen[0]!.time - set) < 1_000);
  });

  it('counts what a full ring has no room for, and goes on after it', () => {
    const { out, taps, seen, events, put, lost } = create();
    const stop = taps.listen(EVERYTHING, events);
    const length = put(udp4(new Uint8Array(60_000)));
    out.refresh();
    for (let i = 0; i < 200; i++) out.packet(64, length, 0, NAME, 0);
    stop();
    assert.ok(seen.length > 60 && seen.length < 100, `${seen.length}`);
    assert.equal(seen.length + lost(), 200);
  });

  it('hands over every packet unchanged, whatever their sizes, for many rounds of the ring', () => {
    withSeed((random) => {
      const { out, taps, seen, events, put, lost } = create();
      let expected: { length: number; mark: number }[] = [];
      for (let turn = 0; turn < 40; turn++) {
        const stop = taps.listen(EVERYTHING, events);
        out.refresh();
        for (let bytes = 0; bytes < 3_000_000; ) {
          const length = random.between(20, 20_000);
          const mark = random.below(256);
          put(new Uint8Array(length).fill(mark));
          out.packet(64, length, 0, NAME, 0);
          expected.push({ length, mark });
          bytes += length + 64;
        }
        stop();
        const got = seen.splice(0).map(({ bytes }) => ({ length: bytes.length, mark: bytes[0] }));
        assert.deepEqual(got, expected);
        expected = [];
      }
      assert.equal(lost(), 0);
    });
  });

  it('survives any bytes, also where a header would end beyond the packet', () => {
    withSeed((random) => {
      const { out, taps, events, put } = create();
      const network = { network: 0x0a000000, mask: ~0xffffff };
      const stop = taps.listen({ ...EVERYTHING, network, protocol: 6, port: 80 }, events);
      out.refresh();
      for (let i = 0; i < 20_000; i++) {
        out.drop(17, 64, put(random.bytes(random.below(80))), NAME, 0);
      }
      stop();
    });
  });
});
