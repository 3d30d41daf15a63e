/** A tunnel in a tunnel ends at its second level; what pods carry passes. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Answer } from '../../src/dataplane/answer.ts';
import { BLOCK_SLOTS, TX_LOOP } from '../../src/dataplane/counters.ts';
import { createEncap, REFUSED } from '../../src/dataplane/out/encap.ts';
import { tableCapacity } from '../../src/forwarding/compile.ts';
import { parseAddress4, parsePrefix4 } from '../../src/wire/address.ts';
import { compile } from '../support/ipv4-peers.ts';

const SILENT: Answer = {
  unreachable: () => {},
  timeExceeded: () => {},
  tooBig: () => {},
} as unknown as Answer;
const NODE = '192.0.2.1';
const PEER = '192.0.2.2';
/** The device's address, which masquerading puts in place of the node's. */
const DEVICE = '10.244.1.0';
const POD = '10.244.1.7';

const network = parsePrefix4('10.244.0.0/16')!;
const table = new Int32Array(tableCapacity(network, 4));
const row = (subnet: string, peer: string) => {
  return { ...parsePrefix4(subnet)!, peer: parseAddress4(peer)! };
};
// The second one's node is inside the first one's subnet: a route changed after it was admitted.
const rows = [row('10.244.2.0/24', PEER), row('10.244.3.0/24', '10.244.2.9')];
compile(table, rows, parsePrefix4('10.244.1.0/24')!, network);

interface Shape {
  readonly from: string;
  readonly to?: string;
  readonly protocol?: number;
  readonly port?: number;
  readonly fragment?: number;
  readonly payload?: readonly number[];
}

function build(shape: Shape): Uint8Array {
  const { from, to = '10.244.2.5', protocol = 17, port = 8285, fragment = 0 } = shape;
  const { payload = [0x45, 0, 0, 20] } = shape;
  const length = 28 + payload.length;
  const bytes = Uint8Array.of(
    ...[
      0x45,
      0,
      length >> 8,
      length & 255,
      0,
      0,
      fragment >> 8,
      fragment & 255,
      64,
      protocol,
      0,
      0,
    ],
    ...from.split('.').map(Number),
    ...to.split('.').map(Number),
    ...[0x20, 0x5d, port >> 8, port & 255, 0, 8 + payload.length, 0, 0],
    ...payload,
  );
  return bytes;
}

/** The rule in words, slowly: ours by source, and by what it is. */
function loops({ from, to = '', protocol = 17, port = 8285, fragment = 0, payload }: Shape) {
  if (from !== NODE && from !== DEVICE) return false;
  if (to === PEER || to === '10.244.2.9') return true;
  const first = payload === undefined ? 4 : payload.length === 0 ? 0 : payload[0]! >> 4;
  return protocol === 17 && (fragment & 0x1fff) === 0 && port === 8285 && first === 4;
}

describe('our own datagram inside the overlay', () => {
  const values = {
    from: [NODE, DEVICE, POD, '10.244.1.1', '198.51.100.9'],
    to: ['10.244.2.5', '10.244.2.9', '10.244.3.1'],
    protocol: [17, 6, 1, 47],
    port: [8285, 8286, 53],
    fragment: [0, 0x2000, 0x2001, 0x0009, 0x4000],
    payload: [[0x45, 0, 0, 20], [0x60], [0], []],
  };
  const shapes: Shape[] = values.from.flatMap((from) =>
    values.to.flatMap((to) =>
      values.protocol.flatMap((protocol) =>
        values.port.flatMap((port) =>
          values.fragment.flatMap((fragment) =>
            values.payload.map((payload) => ({ from, to, protocol, port, fragment, payload })),
          ),
        ),
      ),
    ),
  );

  test(`is dropped as loop, and nothing else is, by ${shapes.length} packets`, () => {
    const bytes = new Uint8Array(256);
    const block = new Float64Array(BLOCK_SLOTS);
    const rules = { timeToLive: 'keep', bindAddress: NODE, port: 8285 } as const;
    const encap = createEncap(bytes, block, SILENT, rules);
    for (const shape of shapes) {
      const packet = build(shape);
      bytes.fill(0xff);
      bytes.set(packet, 16);
      const before = block[TX_LOOP];
      const slot = encap.route(table, 16, packet.length, 3);
      const looped = block[TX_LOOP] - before;
      assert.equal(looped, loops(shape) ? 3 : 0, JSON.stringify(shape));
      assert.equal(slot === REFUSED, loops(shape), JSON.stringify(shape));
    }
  });
});
