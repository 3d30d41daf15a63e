import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  buildError,
  type ErrorRequest,
  ICMP_CODE_FRAG_NEEDED,
  ICMP_CODE_NET,
  ICMP_ERROR_MAXIMUM,
  ICMP_TIME_EXCEEDED,
  ICMP_UNREACHABLE,
  mayAnswer,
} from '../../src/wire/icmp.ts';
import {
  DEFAULT_SOURCE,
  fragments4,
  gre4,
  icmp4,
  ipv4,
  ipv6,
  pattern,
  sctp4,
  tcp4,
  udp4,
} from '../support/packets.ts';
import { withSeed } from '../support/random.ts';
import { slowChecksum } from '../support/slow-checksum.ts';

const OURS = 0x0af40100;
const PAYLOAD = pattern(64);
const from = (source: string) => udp4(PAYLOAD, {}, { source });
const to = (destination: string) => udp4(PAYLOAD, {}, { destination });
const [first, second, last] = fragments4(udp4(pattern(100)), 48);

// RFC 1122 §3.2.2 and RFC 1812 §4.3.2.7, case by case.
const RULES: [name: string, packet: Uint8Array, answered: boolean][] = [
  ['UDP', udp4(PAYLOAD), true],
  ['TCP', tcp4(PAYLOAD), true],
  ['SCTP', sctp4(PAYLOAD), true],
  ['GRE', gre4(udp4(PAYLOAD)), true],
  ['no payload at all', ipv4(new Uint8Array(0)), true],
  ['the longest header', udp4(PAYLOAD, {}, { options: new Uint8Array(40).fill(1) }), true],
  ['don’t fragment', udp4(PAYLOAD, {}, { dontFragment: true }), true],
  ['the first fragment', first, true],
  ['a middle fragment', second, false],
  ['the last fragment', last, false],
  ['the smallest offset', ipv4(PAYLOAD, { fragmentOffset: 8 }), false],
  ['the largest offset', ipv4(PAYLOAD, { fragmentOffset: 65_528 }), false],
  ['echo', icmp4(8, 0, PAYLOAD), true],
  ['echo reply', icmp4(0, 0, PAYLOAD), true],
  ['timestamp', icmp4(13, 0, PAYLOAD), true],
  ['destination unreachable', icmp4(3, 0, PAYLOAD), false],
  ['frag needed', icmp4(3, 4, PAYLOAD), false],
  ['source quench', icmp4(4, 0, PAYLOAD), false],
  ['redirect', icmp4(5, 1, PAYLOAD), false],
  ['time exceeded', icmp4(11, 0, PAYLOAD), false],
  ['parameter problem', icmp4(12, 0, PAYLOAD), false],
  ['an error behind options', icmp4(3, 0, PAYLOAD, { options: pattern(40) }), false],
  ['an echo behind options', icmp4(8, 0, PAYLOAD, { options: pattern(40) }), true],
  ['ICMP without its type', ipv4(new Uint8Array(0), { protocol: 1 }), false],
  ['ICMP that is a type alone', ipv4(Uint8Array.of(8), { protocol: 1 }), true],
  ['to multicast', to('224.0.0.1'), false],
  ['to the last multicast', to('239.255.255.255'), false],
  ['to the limited broadcast', to('255.255.255.255'), false],
  ['to nowhere', to('0.0.0.0'), false],
  ['from multicast', from('224.0.0.251'), false],
  ['from broadcast', from('255.255.255.255'), false],
  ['from class E', from('240.0.0.1'), false],
  ['from loopback', from('127.0.0.1'), false],
  ['from the zero address', from('0.0.0.0'), false],
  ['from the zero network', from('0.1.2.3'), false],
  ['from just under multicast', from('223.255.255.255'), true],
  ['from just over loopback', from('128.0.0.0'), true],
  ['IPv6', ipv6(PAYLOAD), false],
  ['a truncated packet', udp4(PAYLOAD).subarray(0, 50), false],
  ['nothing', new Uint8Array(0), false],
];

test('which packets may be answered with an error', () => {
  for (const [name, packet, answered] of RULES) {
    const bytes = new Uint8Array(7 + packet.length + 60).fill(0xa5);
    bytes.set(packet, 7);
    assert.equal(mayAnswer(bytes, 7, packet.length), answered, name);
  }
});

function request(offenderLength: number, changes: Partial<ErrorRequest> = {}): ErrorRequest {
  const defaults = { type: ICMP_UNREACHABLE, code: ICMP_CODE_NET, rest: 0, source: OURS };
  return { ...defaults, offenderLength, ...changes };
}

/** What the RFC says the answer is, built apart. */
function expectedAnswer(offender: Uint8Array, ask: ErrorRequest): Uint8Array {
  const quoted = offender.subarray(0, 548);
  const fields = { source: '10.244.1.0', destination: DEFAULT_SOURCE, typeOfService: 0xc0 };
  const atomic = { identification: 0, dontFragment: true };
  return icmp4(ask.type, ask.code, quoted, { ...fields, ...atomic }, ask.rest);
}

test('an error is the RFC’s, byte for byte, for offenders of every length to 700', () => {
  const kinds: Partial<ErrorRequest>[] = [
    {},
    { code: ICMP_CODE_FRAG_NEEDED, rest: 1372 },
    { type: ICMP_TIME_EXCEEDED },
    { rest: 0xffffffff },
  ];
  for (let length = 20; length <= 700; length++) {
    const offender = ipv4(pattern(length - 20));
    const ask = request(length, kinds[length % kinds.length]);
    const bytes = new Uint8Array(2048).fill(0xa5);
    bytes.set(offender, 1000);
    const answer = buildError(bytes, 9, 1000, ask);
    const expected = expectedAnswer(offender, ask);
    assert.deepEqual(bytes.subarray(9, 9 + answer), expected);
    assert.ok(answer <= ICMP_ERROR_MAXIMUM);
    assert.equal(answer, Math.min(28 + length, 576));
    assert.ok(bytes.subarray(0, 9).every((value) => value === 0xa5));
    assert.ok(bytes.subarray(9 + answer, 1000).every((value) => value === 0xa5));
    assert.deepEqual(bytes.slice(1000, 1000 + length), offender);
  }
});

test('no byte beyond the offender is quoted', () => {
  const offender = udp4(new Uint8Array(3));
  const bytes = new Uint8Array(1024).fill(0xa5);
  bytes.set(offender, 600);
  const answer = buildError(bytes, 0, 600, request(offender.length));
  assert.equal(answer, 28 + offender.length);
  assert.ok(!bytes.subarray(28, answer).includes(0xa5));
});

test('the longest header is quoted whole', () => {
  const offender = udp4(PAYLOAD, {}, { options: new Uint8Array(40).fill(1) });
  const bytes = new Uint8Array(2048);
  bytes.set(offender, 1000);
  const answer = buildError(bytes, 0, 1000, request(offender.length));
  assert.deepEqual(bytes.slice(28, answer), offender);
});

test('the answer may be written over the offender, at any distance', () => {
  withSeed((random) => {
    for (let round = 0; round < 500; round++) {
      const offender = udp4(random.bytes(random.below(800)));
      const bytes = new Uint8Array(2048).fill(0xa5);
      bytes.set(offender, 700);
      const target = random.between(650, 750);
      const ask = request(offender.length);
      const answer = buildError(bytes, target, 700, ask);
      assert.deepEqual(bytes.slice(target, target + answer), expectedAnswer(offender, ask));
    }
  });
});

test('both checksums of an error are right, and it is itself never answered', () => {
  const bytes = new Uint8Array(2048);
  bytes.set(tcp4(PAYLOAD), 1000);
  const answer = buildError(bytes, 0, 1000, request(tcp4(PAYLOAD).length));
  assert.equal(slowChecksum(bytes, 0, 20), 0);
  assert.equal(slowChecksum(bytes, 20, answer - 20), 0);
  assert.ok(!mayAnswer(bytes, 0, answer));
});
