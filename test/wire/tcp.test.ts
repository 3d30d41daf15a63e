import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  checkTcp,
  dataOffset,
  setTcpChecksum,
  setTcpFlags,
  setTcpSequence,
  TCP_ACK,
  TCP_BAD_DATA_OFFSET,
  TCP_CWR,
  TCP_ECE,
  TCP_FIN,
  TCP_PSH,
  TCP_RST,
  TCP_SYN,
  TCP_TOO_SHORT,
  TCP_URG,
  tcpAcknowledgement,
  tcpChecksum,
  tcpDestinationPort,
  tcpFlags,
  tcpSequence,
  tcpSourcePort,
  tcpUrgentPointer,
  tcpWindow,
} from '../../src/wire/tcp.ts';
import { tcpSegment } from '../support/packets.ts';
import { runSeed } from '../support/random.ts';

const seed = runSeed();
const AT = 5;

const SEGMENT = Uint8Array.from([
  ...[0xbf, 0xf1, 0x14, 0x51, 0x89, 0xab, 0xcd, 0xef, 0xaa, 0x00, 0x00, 0x01],
  ...[0x6f, 0x99, 0x01, 0x23, 0xbe, 0xad, 0x02, 0x01, 0x03, 0x03, 0x0c, 0x01, 0xdd],
]);

function placed(segment: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(AT + segment.length + 5).fill(0xa5);
  bytes.set(segment, AT);
  return bytes;
}

test('fields of a literal segment', () => {
  const bytes = placed(SEGMENT);
  assert.equal(checkTcp(bytes, AT, SEGMENT.length), 0);
  const fields: [(bytes: Uint8Array, at: number) => number, number][] = [
    [tcpSourcePort, 49_137],
    [tcpDestinationPort, 5201],
    [tcpSequence, 0x89abcdef],
    [tcpAcknowledgement, 0xaa000001],
    [dataOffset, 24],
    [tcpFlags, TCP_CWR | TCP_ACK | TCP_PSH | TCP_FIN],
    [tcpWindow, 0x0123],
    [tcpChecksum, 0xbead],
    [tcpUrgentPointer, 0x0201],
  ];
  for (const [accessor, value] of fields) assert.equal(accessor(bytes, AT), value, accessor.name);
});

test('flags are the eight bits, lowest first', () => {
  const flags = [TCP_FIN, TCP_SYN, TCP_RST, TCP_PSH, TCP_ACK, TCP_URG, TCP_ECE, TCP_CWR];
  for (const [bit, flag] of flags.entries()) assert.equal(flag, 1 << bit);
});

test('impossible lengths are named', () => {
  const change = (value: number) => placed(Uint8Array.from(SEGMENT).with(12, value));
  assert.equal(checkTcp(placed(SEGMENT), AT, 0), TCP_TOO_SHORT);
  assert.equal(checkTcp(placed(SEGMENT), AT, 19), TCP_TOO_SHORT);
  assert.equal(checkTcp(placed(SEGMENT), AT, 23), TCP_BAD_DATA_OFFSET);
  assert.equal(checkTcp(placed(SEGMENT), AT, 24), 0);
  assert.equal(checkTcp(change(0x00), AT, 25), TCP_BAD_DATA_OFFSET);
  assert.equal(checkTcp(change(0x4f), AT, 25), TCP_BAD_DATA_OFFSET);
  assert.equal(checkTcp(change(0x50), AT, 20), 0);
  assert.equal(checkTcp(change(0x7f), AT, 27), TCP_BAD_DATA_OFFSET);
  assert.equal(checkTcp(change(0xf0), AT, 60), 0);
  assert.equal(checkTcp(change(0xf0), AT, 59), TCP_BAD_DATA_OFFSET);
});

test('every segment reads back', () => {
  const word = fc.integer({ min: 0, max: 0xffff });
  const double = fc.integer({ min: 0, max: 0xffffffff });
  const record = fc.record({
    sourcePort: word,
    destinationPort: word,
    sequence: double,
    acknowledgement: double,
    flags: fc.integer({ min: 0, max: 0xff }),
    window: word,
    urgentPointer: word,
    options: fc.uint8Array({ maxLength: 40 }),
  });
  fc.assert(
    fc.property(record, (fields) => {
      const bytes = placed(tcpSegment(Uint8Array.of(1, 2, 3), fields));
      assert.equal(checkTcp(bytes, AT, bytes.length - AT - 5), 0);
      assert.equal(dataOffset(bytes, AT), 20 + Math.ceil(fields.options.length / 4) * 4);
      assert.equal(tcpSourcePort(bytes, AT), fields.sourcePort);
      assert.equal(tcpDestinationPort(bytes, AT), fields.destinationPort);
      assert.equal(tcpSequence(bytes, AT), fields.sequence);
      assert.equal(tcpAcknowledgement(bytes, AT), fields.acknowledgement);
      assert.equal(tcpFlags(bytes, AT), fields.flags);
      assert.equal(tcpWindow(bytes, AT), fields.window);
      assert.equal(tcpUrgentPointer(bytes, AT), fields.urgentPointer);
    }),
    { seed },
  );
});

test('setters change their own field alone', () => {
  const bytes = placed(SEGMENT);
  setTcpSequence(bytes, AT, 0x12345678);
  setTcpFlags(bytes, AT, TCP_ACK);
  setTcpChecksum(bytes, AT, 0x9abc);
  const expected = placed(SEGMENT);
  expected.set([0x12, 0x34, 0x56, 0x78], AT + 4);
  expected.set([0x10], AT + 13);
  expected.set([0x9a, 0xbc], AT + 16);
  assert.deepEqual(bytes, expected);
});
