/** tcpdump in a namespace: what passed a device, as raw IPv4 packets. Format: pcap-savefile(5). */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Background } from './process.ts';
import { inside, type Topology } from './topology.ts';

const FILE_HEADER = 24;
const RECORD_HEADER = 16;
const RECORD_LENGTH = 8;
const ETHERNET_HEADER = 14;
const LINKTYPE = 20;
const LINKTYPE_ETHERNET = 1;
let captures = 0;

export class Capture {
  private readonly file: string;
  private readonly process: Background;

  private constructor(file: string, process: Background) {
    this.file = file;
    this.process = process;
  }

  /**
   * Resolves when the capture sees every packet from here on. The filter is pcap-filter(7)'s. The
   * kernel keeps a slot for the longest packet there could be, and no more than 32 of these; who
   * awaits more at once says how long they may be.
   */
  static async start(
    topology: Topology,
    namespace: string,
    device: string,
    filter: string,
    { longest = 262_144 } = {},
  ): Promise<Capture> {
    captures += 1;
    const file = join(topology.directory, `capture-${captures}.pcap`);
    const how = ['-n', '-p', '-U', '--immediate-mode', '-Z', 'root', '-s', String(longest)];
    const flags = ['-i', device, ...how, '-w', file];
    const process = new Background(inside(namespace, ['tcpdump', ...flags, filter]));
    await process.waitForOutput(/listening on/);
    return new Capture(file, process);
  }

  /** Packets seen so far, without the link's header. */
  packets(): Buffer[] {
    return readPackets(readFileSync(this.file));
  }

  async stop(): Promise<Buffer[]> {
    await this.process.stop('SIGINT');
    return this.packets();
  }
}

function readPackets(bytes: Buffer): Buffer[] {
  if (bytes.length < FILE_HEADER) return [];
  const skip = bytes.readUInt32LE(LINKTYPE) === LINKTYPE_ETHERNET ? ETHERNET_HEADER : 0;
  const packets: Buffer[] = [];
  let at = FILE_HEADER;
  while (at + RECORD_HEADER <= bytes.length) {
    const end = at + RECORD_HEADER + bytes.readUInt32LE(at + RECORD_LENGTH);
    if (end > bytes.length) break; // tcpdump is still writing this one
    packets.push(bytes.subarray(at + RECORD_HEADER + skip, end));
    at = end;
  }
  return packets;
}
