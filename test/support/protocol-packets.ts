/**
 * Packets of all that IPv4 carries, and how they arrive behind routers: TTL and header checksum
 * differ, and nothing else.
 */
import * as packets from './packets.ts';
import type { Random } from './random.ts';

/** From the pod of node 1 to the pod of node 2. */
export const IP = { source: '10.244.1.2', destination: '10.244.2.2' };
const MTU = 1472;
const STREAM_IDENTIFIER = Uint8Array.of(0x88, 4, 0x12, 0x34);
const ROUTER_ALERT = Uint8Array.of(0x94, 4, 0, 0);
const payload = packets.pattern(100);

/** Each kind by its name: the packets to send, in order. */
export function namedPackets(): Record<string, Uint8Array[]> {
  const large = packets.udp4(packets.pattern(5000), {}, IP);
  const zeroChecksum = packets.ipv4(packets.udpDatagram(payload), IP);
  return {
    'ICMP echo': [packets.icmp4(8, 0, payload, IP, 0x00070001)],
    'ICMP timestamp': [packets.icmp4(13, 0, new Uint8Array(12), IP)],
    'ICMP host unreachable': [packets.icmp4(3, 1, packets.udp4(payload, {}, IP), IP)],
    SCTP: [packets.sctp4(payload, IP)],
    GRE: [packets.gre4(packets.udp4(payload, {}, IP), IP)],
    'IP in IP': [packets.ipv4(packets.tcp4(payload, {}, IP), { ...IP, protocol: 4 })],
    ESP: [packets.ipv4(payload, { ...IP, protocol: 50 })],
    'an unassigned protocol': [packets.ipv4(payload, { ...IP, protocol: 253 })],
    'a header alone': [packets.ipv4(new Uint8Array(0), { ...IP, protocol: 253 })],
    'fragments in order': packets.fragments4(large, 1440, IP),
    'fragments backwards': packets.fragments4(large, 1440, IP).reverse(),
    'a lone middle fragment': packets.fragments4(large, 800, IP).slice(2, 3),
    'UDP without checksum': [zeroChecksum],
    'UDP with a wrong checksum': [zeroChecksum.with(27, 1)],
    'TCP with a wrong checksum': [packets.tcp4(payload, {}, IP).with(60, 7)],
    'TCP with every flag': [packets.tcp4(payload, { flags: 0xff, urgentPointer: 9 }, IP)],
    'TCP options of 40 bytes': [packets.tcp4(payload, { options: new Uint8Array(40).fill(1) }, IP)],
    'a stream identifier option': [
      packets.udp4(payload, {}, { ...IP, options: STREAM_IDENTIFIER }),
    ],
    'a router alert option': [packets.udp4(payload, {}, { ...IP, options: ROUTER_ALERT })],
    'a header of 60 bytes': [
      packets.udp4(payload, {}, { ...IP, options: new Uint8Array(40).fill(1) }),
    ],
    'DSCP EF and ECT(1)': [packets.tcp4(payload, {}, { ...IP, typeOfService: 0xb9 })],
    'congestion experienced': [packets.tcp4(payload, {}, { ...IP, typeOfService: 0x03 })],
    "the MTU's last byte": [packets.ipv4(packets.pattern(MTU - 20), { ...IP, dontFragment: true })],
  };
}

export function anyPacket(random: Random): Uint8Array {
  return packets.ipv4(random.bytes(random.between(0, MTU - 60)), {
    ...IP,
    protocol: random.between(100, 255),
    identification: random.below(65_536),
    typeOfService: random.below(256),
    dontFragment: random.oneIn(2),
    timeToLive: random.between(10, 255),
    options: new Uint8Array(4 * random.below(11)).fill(1),
  });
}

/** The packet as it should arrive: `hops` off its TTL, header checksum made right. */
export function hopped(packet: Uint8Array, hops: number): Buffer {
  const header = (packet[0]! & 0x0f) * 4;
  const bytes = Buffer.from(packet);
  bytes[8]! -= hops;
  bytes.writeUInt16BE(0, 10);
  let sum = 0;
  for (let at = 0; at < header; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  bytes.writeUInt16BE(~sum & 0xffff, 10);
  return bytes;
}

export function hex(packet: Uint8Array): string {
  return Buffer.from(packet).toString('hex');
}
