import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import fc from 'fast-check';
import type { TappedPacket } from '../../src/dataplane/tap/reader.ts';
import { FilterError, matches, type PacketFilter, parseFilter } from '../../src/watch/filter.ts';
import { unite, type Wish } from '../../src/watch/wish.ts';
import { formatAddress4, parseAddress4 } from '../../src/wire/address.ts';
import { fragments4, icmp4, tcp4, udp4 } from '../support/packets.ts';
import { runSeed } from '../support/random.ts';

const PEER = '192.0.2.7';

function tapped(bytes: Uint8Array, rest: Partial<TappedPacket> = {}): TappedPacket {
  const base = { direction: 'tx', worker: 0, time: 0, peer: PEER, segment: 0 } as const;
  return { ...base, bytes, length: bytes.length, reason: undefined, ...rest };
}

/** From 10.244.1.2 to 10.244.2.3. */
const PACKETS: Readonly<Record<string, TappedPacket>> = {
  tcp: tapped(tcp4(new Uint8Array(4), { sourcePort: 40_000, destinationPort: 80 })),
  udp: tapped(udp4(new Uint8Array(4), { sourcePort: 80, destinationPort: 40_000 })),
  icmp: tapped(icmp4(8, 0, new Uint8Array(4)), { reason: 20 }),
  stranger: tapped(udp4(new Uint8Array(4)), { peer: '', reason: 23, direction: 'rx' }),
  later: tapped(fragments4(udp4(new Uint8Array(40), { destinationPort: 80 }), 16)[1]!),
  short: tapped(udp4(new Uint8Array(4)).subarray(0, 19)),
  none: tapped(new Uint8Array(0)),
  ipv6: tapped(Uint8Array.of(0x60, ...new Uint8Array(60))),
};

function shown(words: string): string[] {
  const filter = parseFilter(words);
  return Object.keys(PACKETS).filter((name) => matches(filter, PACKETS[name]!));
}

describe('filter', () => {
  const cases: [string, string[]][] = [
    ['', Object.keys(PACKETS)],
    ['host 10.244.2.3', ['tcp', 'udp', 'icmp', 'stranger', 'later']],
    ['host 10.244.2.3 and host 10.244.1.2 and icmp', ['icmp']],
    ['host 10.244.2.3 host 10.244.2.2', []],
    ['net 10.244.2.0/24 and tcp', ['tcp']],
    ['net 0.0.0.0/0 and udp', ['udp', 'stranger', 'later']],
    ['port 80', ['tcp', 'udp']],
    ['tcp port 80', ['tcp']],
    ['port 80 and port 40000 and udp', ['udp']],
    ['port 80 port 81', []],
    ['proto 1', ['icmp']],
    ['proto udp && drops', ['stranger']],
    ['drops', ['icmp', 'stranger']],
    [' peer  192.0.2.7 \t drops\n', ['icmp']],
    ['peer 192.0.2.8', []],
  ];
  for (const [words, names] of cases) {
    test(`'${words.trim()}' is ${names.join(', ') || 'nothing'}`, () => {
      assert.deepEqual(shown(words), names);
    });
  }

  const wrong: [string, RegExp][] = [
    ['hosts 10.0.0.1', /^'hosts' is no word of a filter; there are host A, net A\/LENGTH/],
    ['host', /^host needs a value/],
    ['host 10.244.1', /^host takes an IPv4 address, not '10\.244\.1'/],
    ['host 10.244.1.0/24', /a network is net A\/LENGTH$/],
    ['net 10.244.1.5/24', /^10\.244\.1\.5\/24 has bits beyond its length: net 10\.244\.1\.0\/24/],
    ['net 10.244.1.0', /^net takes a network such as/],
    ['port http', /^port takes a number from 1 to 65535, not 'http'/],
    ['port 0', /^port takes/],
    ['port 65536', /^port takes/],
    ['proto ipx', /^proto takes icmp, tcp, udp, gre, sctp or a number/],
    ['proto 256', /^proto takes/],
    ['proto constructor', /^proto takes/],
    ['constructor 1', /no word of a filter/],
    ['peer node-2', /^peer takes the public address of a node, not 'node-2': weft peers$/],
    ['peer 0.0.0.0', /^peer takes/],
    ['peer 192.0.2.1 peer 192.0.2.2', /one peer/],
    ['tcp and udp', /one protocol/],
    ['icmp and port 80', /^only tcp and udp have ports: no packet could match/],
    ['and tcp', /^'and' joins two terms: nothing is before it/],
    ['tcp and', /nothing is after it/],
    ['tcp and and udp', /nothing is before it/],
    ['tcp or udp', /^'or' is tcpdump's, not ours; .*tshark/],
    ['not tcp', /tcpdump's, not ours/],
    ['src host 10.0.0.1', /tcpdump's, not ours/],
    ['tcp '.repeat(33), /at most 32 words/],
  ];
  for (const [words, message] of wrong) {
    test(`'${words.slice(0, 40).trim()}' is refused`, () => {
      assert.throws(
        () => parseFilter(words),
        (error) => error instanceof FilterError && message.test(error.message),
      );
    });
  }

  const words = fc.array(
    fc.oneof(
      fc.constantFrom('host', 'net', 'port', 'proto', 'peer', 'drops', 'and', 'tcp', 'udp', 'icmp'),
      fc.constantFrom('10.244.1.2', '10.244.0.0/16', '80', '17', '192.0.2.7', '0.0.0.0/0', '-1'),
      fc.string({ maxLength: 8 }),
    ),
    { maxLength: 10 },
  );

  test('any text is a filter, or refused in words', () => {
    const property = fc.property(words, (list) => {
      try {
        for (const packet of Object.values(PACKETS)) matches(parseFilter(list.join(' ')), packet);
      } catch (error) {
        assert.ok(error instanceof FilterError, `${error}`);
        assert.match(error.message, /\w{3}/);
      }
    });
    fc.assert(property, { seed: runSeed(), numRuns: 3_000 });
  });
});

const address = fc.constantFrom('10.244.1.2', '10.244.2.3', '10.9.9.9', '192.0.2.1');
const term = fc.oneof(
  address.map((a) => `host ${a}`),
  fc.tuple(address, fc.integer({ min: 0, max: 32 })).map(([a, length]) => {
    const mask = length === 0 ? 0 : (0xffffffff << (32 - length)) >>> 0;
    return `net ${formatAddress4(parseAddress4(a)! & mask)}/${length}`;
  }),
  fc.constantFrom('port 80', 'port 53', 'tcp', 'udp', 'peer 192.0.2.7', 'peer 192.0.2.8', 'drops'),
);
const filters = fc
  .array(term, { maxLength: 4 })
  .map((terms): PacketFilter | undefined => {
    try {
      return parseFilter(terms.join(' and '));
    } catch {
      return undefined; // contradicts itself
    }
  })
  .filter((filter) => filter !== undefined);
const wishes: fc.Arbitrary<Wish> = fc.record({
  filter: filters,
  snapLength: fc.integer({ min: 64, max: 65_535 }),
  every: fc.integer({ min: 1, max: 1_000 }),
  dropsEvery: fc.integer({ min: 1, max: 1_000 }),
});
const anyPacket = fc
  .tuple(address, address, fc.constantFrom(80, 53, 9), fc.constantFrom('tcp', 'udp', 'icmp'))
  .map(([source, destination, port, kind]) => {
    const ip = { source, destination };
    if (kind === 'icmp') return icmp4(8, 0, new Uint8Array(4), ip);
    const make = kind === 'tcp' ? tcp4 : udp4;
    return make(new Uint8Array(4), { sourcePort: port, destinationPort: 7 }, ip);
  });

describe('one filter for all listeners', () => {
  /** What a pump does, slowly: see dataplane/tap/writer.ts. */
  function pumpTakes(filter: ReturnType<typeof unite>, packet: TappedPacket): boolean {
    const { network, protocol, port, peer } = filter;
    const inNetwork = (a: number) => ((a ^ network!.network) & network!.mask) === 0;
    const view = Buffer.from(packet.bytes);
    const [source, destination] = [view.readUInt32BE(12), view.readUInt32BE(16)];
    const ports = view[9] === 1 ? [] : [view.readUInt16BE(20), view.readUInt16BE(22)];
    return (
      (packet.reason === undefined ? filter.packets : filter.drops) &&
      (peer === undefined || peer === packet.peer) &&
      (network === undefined || inNetwork(source) || inNetwork(destination)) &&
      (protocol === undefined || protocol === view[9]) &&
      (port === undefined || ports.includes(port))
    );
  }

  test('lets through whatever one of them wants', () => {
    const property = fc.property(
      fc.array(wishes, { minLength: 1, maxLength: 4 }),
      anyPacket,
      fc.boolean(),
      (list, bytes, dropped) => {
        const united = unite(list);
        const packet = tapped(bytes, dropped ? { reason: 20 } : {});
        const wanted = list.some(({ filter }) => matches(filter, packet));
        if (wanted) assert.ok(pumpTakes(united, packet));
        assert.ok(list.every((wish) => wish.snapLength <= united.snapLength));
        assert.ok(list.every((wish) => wish.filter.dropsOnly || united.every <= wish.every));
        assert.ok(list.every((wish) => united.dropsEvery! <= wish.dropsEvery));
      },
    );
    fc.assert(property, { seed: runSeed(), numRuns: 3_000 });
  });

  test('and one alone is what it is', () => {
    const filter = parseFilter('net 10.244.2.0/24 and tcp port 80 and peer 192.0.2.7');
    const united = unite([{ filter, snapLength: 96, every: 7, dropsEvery: 3 }]);
    assert.deepEqual(united, {
      ...{ packets: true, drops: true, snapLength: 96, every: 7, dropsEvery: 3 },
      network: { network: 0x0af40200, mask: 0xffffff00 | 0 },
      ...{ protocol: 6, port: 80, peer: PEER },
    });
  });
});
