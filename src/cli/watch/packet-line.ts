import type { MonitorSummary, SeenPacket } from '../../api/stream/schema.ts';
import { UNKNOWN } from '../format/quantity.ts';
import type { Paint } from '../format/terminal.ts';

/** Widths that most rows fit; rows come one by one, so none can be adjusted later. */
const WIDTHS = { time: 15, direction: 3, length: 6, peer: 15, result: 19 };

/** The head of the table. */
export function packetHead(paint: Paint): string {
  const { time, direction, length, peer, result } = WIDTHS;
  const cells = [
    'TIME'.padEnd(time),
    'DIR'.padEnd(direction),
    'LENGTH'.padStart(length),
    'PEER'.padEnd(peer),
    'RESULT'.padEnd(result),
    'PACKET',
  ];
  return cells.map((cell) => paint('strong', cell)).join('  ');
}

/** One packet, one line. */
export function packetLine(packet: SeenPacket, paint: Paint): string {
  const { reason, direction, length, peer } = packet;
  const result = (reason ?? 'passed').padEnd(WIDTHS.result);
  return [
    clock(packet.atSeconds),
    direction.padEnd(WIDTHS.direction),
    `${length}`.padStart(WIDTHS.length),
    (peer ?? UNKNOWN).padEnd(WIDTHS.peer),
    reason === null ? paint('quiet', result) : paint('bad', result),
    packetText(packet),
  ].join('  ');
}

/** `10.244.1.2:40000 > 10.244.2.2:80 tcp SYN seq 1`. */
function packetText(packet: SeenPacket): string {
  const { protocol, source, destination, detail, segmentBytes } = packet;
  if (source === null || destination === null) return detail;
  const end = (address: string, port: number | null) =>
    port === null ? address : `${address}:${port}`;
  const from = end(source, packet.sourcePort);
  const to = end(destination, packet.destinationPort);
  const superpacket = segmentBytes === null ? '' : ` in segments of ${segmentBytes}`;
  return `${from} > ${to} ${protocol ?? ''} ${detail}`.trimEnd() + superpacket;
}

/** Local time to the microsecond, as tcpdump has it. */
function clock(seconds: number): string {
  const at = new Date(seconds * 1000);
  const micros = Math.floor((seconds % 1) * 1e6);
  const two = (value: number) => `${value}`.padStart(2, '0');
  const day = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return `${day}.${`${micros}`.padStart(6, '0')}`;
}

/** What was shown and what was not, as one sentence. */
export function summaryText(summary: MonitorSummary): string {
  const { shown, passed, dropped, oneOf, leftOut } = summary;
  const parts = [`${shown} shown; meanwhile ${passed} packets passed and ${dropped} were dropped`];
  if (oneOf.packets > 1) parts.push(`looking at one packet of ${oneOf.packets}`);
  if (oneOf.drops > 1) parts.push(`looking at one drop of ${oneOf.drops}`);
  if (leftOut.byRate > 0) parts.push(`${leftOut.byRate} left out to keep the rate (--rate)`);
  if (leftOut.ringFull > 0) parts.push(`up to ${leftOut.ringFull} lost: no room for copies`);
  if (leftOut.slowReader > 0) parts.push(`${leftOut.slowReader} lost: this end read too slowly`);
  return parts.join('; ');
}
