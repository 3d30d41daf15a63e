import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { outerFields } from '../../src/dataplane/out/lane.ts';
import * as packets from '../support/packets.ts';
import { withSeed } from '../support/random.ts';

const INHERIT = -1;
const EXPEDITED = 46;
const LANES = 8;
const FLOWS = 400;

const tosOf = (packet: Uint8Array, dscp: number, lanes = 1) =>
  outerFields(packet, 0, dscp, lanes) & 0xff;
const laneOf = (packet: Uint8Array, lanes = LANES) => outerFields(packet, 0, 0, lanes) >>> 8;

/** One flow's packets, alike in nothing but addresses, protocol and ports. */
function flow(port: number, ip: packets.Ipv4Options = {}): Uint8Array[] {
  const ports = { sourcePort: port, destinationPort: 80 };
  return [
    packets.tcp4(packets.pattern(9), { ...ports, sequence: 7 }, ip),
    packets.tcp4(packets.pattern(900), { ...ports, sequence: 9999, flags: 0x18 }, ip),
    packets.tcp4(packets.pattern(9), ports, { ...ip, identification: 3, typeOfService: 0xb8 }),
    packets.tcp4(packets.pattern(9), ports, { ...ip, options: new Uint8Array(8).fill(1) }),
  ];
}

describe('the outer TOS byte', () => {
  it('has the DSCP that was asked for, and never an ECN field', () => {
    for (let tos = 0; tos < 256; tos++) {
      const packet = packets.udp4(packets.pattern(8), {}, { typeOfService: tos });
      for (const lanes of [1, LANES]) {
        assert.equal(tosOf(packet, 0, lanes), 0);
        assert.equal(tosOf(packet, EXPEDITED, lanes), 0xb8);
        assert.equal(tosOf(packet, 63, lanes), 0xfc);
        assert.equal(tosOf(packet, INHERIT, lanes), tos & 0xfc);
      }
    }
  });
});

describe('the lane', () => {
  it('is the first where there is one', () => {
    for (const packet of flow(1)) assert.equal(laneOf(packet, 1), 0);
  });

  it('is the same for all packets of a flow', () => {
    withSeed((random) => {
      for (let i = 0; i < FLOWS; i++) {
        const source = `10.244.${random.below(256)}.${random.below(256)}`;
        const lanes = random.between(2, 16);
        const found = new Set(flow(random.below(65_536), { source }).map((p) => laneOf(p, lanes)));
        assert.equal(found.size, 1);
        assert.ok([...found][0]! < lanes);
      }
    });
  });

  it('spreads flows that differ in a port alone', () => {
    const counts = new Array<number>(LANES).fill(0);
    for (let port = 0; port < FLOWS; port++) counts[laneOf(flow(30_000 + port)[0]!)]!++;
    for (const count of counts) assert.ok(count > FLOWS / LANES / 2, counts.join(' '));
  });

  it('is the same for all fragments of a packet, whatever stands where ports would', () => {
    withSeed((random) => {
      for (let i = 0; i < FLOWS; i++) {
        const ports = { sourcePort: random.below(65_536), destinationPort: random.below(65_536) };
        const whole = packets.udp4(random.bytes(3000), ports);
        const found = packets.fragments4(whole, 1400).map((packet) => laneOf(packet));
        assert.equal(found.length, 3);
        assert.equal(new Set(found).size, 1, found.join(' '));
      }
    });
  });

  it('does not take the bytes behind another protocol for ports', () => {
    const protocols = [1, 47, 132];
    withSeed((random) => {
      for (let i = 0; i < FLOWS; i++) {
        const protocol = random.pick(protocols);
        const found = [random.bytes(40), random.bytes(40)].map((body) => {
          return laneOf(packets.ipv4(body, { protocol }));
        });
        assert.equal(found[0], found[1]);
      }
    });
  });
});
