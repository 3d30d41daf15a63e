import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import fc from 'fast-check';
import type { TappedPacket } from '../../src/dataplane/tap/reader.ts';
import { describePacket, dropReason, readPorts } from '../../src/watch/describe.ts';
import { fragments4, icmp4, ipv6, tcp4, udp4 } from '../support/packets.ts';
import { runSeed } from '../support/random.ts';

describe('what a packet says of itself', () => {
  const [head, tail] = fragments4(udp4(new Uint8Array(40)), 24) as [Uint8Array, Uint8Array];
  const cases: [string, Uint8Array, string | null, string][] = [
    ['tcp', tcp4(new Uint8Array(9), { flags: 0x12, sequence: 7 }), 'tcp', 'SYN,ACK seq 7'],
    ['tcp without flags', tcp4(new Uint8Array(0), { flags: 0 }), 'tcp', 'no flags seq 1000'],
    ['udp', udp4(new Uint8Array(40)), 'udp', 'payload 40'],
    ['echo', icmp4(8, 0, new Uint8Array(4), {}, 0x0007_0003), 'icmp', 'echo request id 7 seq 3'],
    ['reply', icmp4(0, 0, new Uint8Array(4), {}, 0x0007_0003), 'icmp', 'echo reply id 7 seq 3'],
    [
      'too big',
      icmp4(3, 4, udp4(new Uint8Array(4)), {}, 1400),
      'icmp',
      'fragmentation needed, MTU 1400',
    ],
    ['unreachable', icmp4(3, 1, udp4(new Uint8Array(4))), 'icmp', 'unreachable, code 1'],
    ['time exceeded', icmp4(11, 0, udp4(new Uint8Array(4))), 'icmp', 'time exceeded'],
    ['other ICMP', icmp4(13, 0, new Uint8Array(4)), 'icmp', 'type 13 code 0'],
    ['first fragment', head, 'udp', 'payload 40 first fragment'],
    ['later fragment', tail, 'udp', 'fragment at 24'],
    ['cut after the header', udp4(new Uint8Array(9)).subarray(0, 20), 'udp', ''],
    [
      'cut in the header',
      udp4(new Uint8Array(9)).subarray(0, 12),
      null,
      '12 bytes of an IPv4 header',
    ],
    ['IPv6', ipv6(new Uint8Array(4)), null, 'IPv6'],
    ['noise', new Uint8Array(30), null, 'no IP packet: version 0'],
    ['nothing', new Uint8Array(0), null, 'no bytes'],
  ];
  for (const [name, bytes, protocol, detail] of cases) {
    test(name, () => {
      const found = describePacket(bytes);
      assert.deepEqual([found.protocol, found.detail], [protocol, detail]);
      assert.equal(found.source, protocol === null ? null : '10.244.1.2');
    });
  }

  test('any bytes are described, in words that do no harm to a terminal', () => {
    // Of a protocol with ports or types, and mostly no fragment: what noise alone hardly ever is.
    const headers = fc.uint8Array({ minLength: 10, maxLength: 100 }).map((bytes) => {
      const protocol = [1, 6, 17][bytes[9]! % 3]!;
      const whole = bytes.with(0, 0x40 | (bytes[0]! & 15)).with(9, protocol);
      return bytes[1]! < 32 ? whole : whole.with(6, 0).with(7, 0);
    });
    const property = fc.property(fc.oneof(headers, fc.uint8Array({ maxLength: 100 })), (bytes) => {
      const { detail, ...rest } = describePacket(bytes);
      assert.match(detail, /^[\x20-\x7e]*$/);
      const ports = readPorts(bytes);
      if (ports !== undefined) assert.ok((bytes[0]! & 15) * 4 + 4 <= bytes.length);
      assert.deepEqual(
        [rest.sourcePort, rest.destinationPort],
        [ports?.[0] ?? null, ports?.[1] ?? null],
      );
    });
    fc.assert(property, { seed: runSeed(), numRuns: 3_000 });
  });

  test('a reason is that of its direction', () => {
    const dropped = (direction: 'tx' | 'rx', reason: number | undefined) =>
      dropReason({ direction, reason } as TappedPacket)?.label;
    assert.deepEqual([dropped('tx', 20), dropped('rx', 24)], ['no_route', 'spoofed_source']);
    assert.equal(dropped('tx', undefined), undefined);
    assert.equal(dropped('tx', 99), 'slot 99');
  });
});
