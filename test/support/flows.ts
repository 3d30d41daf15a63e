/** Packets of many flows, interleaved, with loss, repeats, corruption and fragments among them. */
import { fragments4, type Ipv4Options, type TcpOptions, tcp4, udp4 } from './packets.ts';
import type { Random } from './random.ts';

export interface Flow {
  tcp: boolean;
  size: number;
  checksummed: boolean;
  fields: TcpOptions & { sequence: number };
  ip: Ipv4Options & { identification: number };
}

export function createFlow(random: Random): Flow {
  return {
    tcp: !random.oneIn(3),
    size: random.pick([1, 2, 33, 64, 200, 536, 1400]),
    checksummed: !random.oneIn(4),
    fields: {
      sourcePort: random.below(65_536),
      destinationPort: random.pick([53, 443, 5201]),
      sequence: random.oneIn(4) ? 2 ** 32 - random.below(2000) : random.uint32(),
      acknowledgement: random.uint32(),
      options: random.bytes(4 * random.below(4)),
    },
    ip: {
      source: `10.244.1.${random.below(3)}`,
      dontFragment: !random.oneIn(3),
      identification: random.oneIn(4) ? 0xffff - random.below(4) : random.below(65_536),
      typeOfService: random.pick([0, 0, 2]),
    },
  };
}

/** Sometimes something about a flow changes for good that its packets must not be joined over. */
function drift(flow: Flow, random: Random): void {
  const changes = [
    () => (flow.fields.acknowledgement = random.uint32()),
    () => (flow.fields.window = random.below(65_536)),
    () => (flow.fields.options = random.bytes(4 * random.below(4))),
    () => (flow.ip.typeOfService = random.pick([0, 1, 2, 3, 0xb8])),
    () => (flow.ip.timeToLive = random.between(60, 64)),
    () => (flow.ip.dontFragment = !flow.ip.dontFragment),
    () => (flow.ip.identification = random.below(65_536)),
    () => (flow.checksummed = !flow.checksummed),
  ];
  random.pick(changes)();
}

/** The flow's next packet: mostly whole and plain, else short, empty, pushed or marked. */
function nextPacket(flow: Flow, random: Random): Uint8Array {
  const { fields, ip, tcp } = flow;
  const length = random.oneIn(12) ? random.below(flow.size + 1) : flow.size;
  const payload = random.bytes(length);
  const odd = random.oneIn(15) ? random.pick([0x18, 0x11, 0x12, 0x14, 0x30, 0x50, 0x90]) : 0x10;
  const packet = tcp ? tcp4(payload, { ...fields, flags: odd }, ip) : udp4(payload, fields, ip);
  fields.sequence = (fields.sequence + length) % 2 ** 32;
  ip.identification = (ip.identification + 1) % 2 ** 16;
  return tcp || flow.checksummed ? packet : packet.with(26, 0).with(27, 0);
}

/** One bit after the IP header is turned: in ports, lengths, checksum or payload. */
function corrupted(packet: Uint8Array, random: Random): Uint8Array {
  const at = random.between(20, packet.length - 1);
  return packet.with(at, packet[at] ^ (1 << random.below(8)));
}

export function createBatch(flows: readonly Flow[], random: Random, length: number): Uint8Array[] {
  const packets: Uint8Array[] = [];
  const stays = random.pick([1, 2, 8, 40]);
  const trouble = random.pick([8, 30, 1000]);
  let flow = random.pick(flows);
  while (packets.length < length) {
    if (random.oneIn(stays)) flow = random.pick(flows);
    if (random.oneIn(trouble)) drift(flow, random);
    const packet = nextPacket(flow, random);
    if (random.oneIn(trouble)) continue;
    packets.push(random.oneIn(trouble) ? corrupted(packet, random) : packet);
    if (random.oneIn(trouble)) packets.push(random.pick(packets));
    if (random.oneIn(2 * trouble)) packets.push(...fragments4(packet, 400, flow.ip));
  }
  return packets.slice(0, length);
}
