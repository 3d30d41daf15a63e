/**
 * Joins segments of one flow into trains (trains.ts), each of which becomes one superpacket for the
 * TUN.
 *
 * A join must be invisible: cutting the train again gives the packets that came (RFC 9293, and
 * the rules of the kernel's own GRO in tcp_gro_receive and udp_gro_receive). Trains leave in the
 * order in which their first packets came, and a flow's new packet meets only the flow's newest
 * train, so the order of a flow's data is kept. Data may pass a bare acknowledgement of its own
 * flow, so that the acknowledgements of a two-way flow do not break up its trains.
 */
import {
  fold,
  pseudoHeaderSum4,
  type Sum,
  sumHeader,
  transportChecksumValid4,
} from '../wire/checksum.ts';
import {
  fragmentField,
  headerLength,
  IPV4_DONT_FRAGMENT,
  IPV4_FRAGMENT_OFFSET_MASK,
  IPV4_HEADER_MINIMUM,
  IPV4_MORE_FRAGMENTS,
  identification,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  protocol,
  setTotalLength,
  writeHeaderChecksum,
} from '../wire/ipv4.ts';
import { dataOffset, TCP_ACK, TCP_ECE, TCP_HEADER_MINIMUM, TCP_PSH } from '../wire/tcp.ts';
import { UDP_HEADER_LENGTH } from '../wire/udp.ts';
import { createExtend, type Extend } from './extend.ts';
import { createFlowTable, hashFlow } from './flow.ts';
import { clearTrains, createTrains, fits, join, NO_TRAIN, TRAINS, type Trains } from './trains.ts';

/** What may be joined; a kernel that refuses a superpacket turns one off for good. */
export interface CoalesceWishes {
  tcp: boolean;
  udp: boolean;
}

export interface Coalescer {
  readonly trains: Trains;
  /** Takes a packet whose IPv4 header is valid and whose total length is `length`. */
  add(at: number, length: number): void;
  /** The short way for a packet that goes on where the one before it ended: see extend.ts. */
  readonly extend: Extend;
  /** Whether the batch must be written before another packet is added. */
  full(): boolean;
  /** Rewrites the first header of a train of several packets into that of a superpacket. */
  finish(train: number): void;
  /** Takes `finish` back: the first packet is again as it came, to be written by itself. */
  undo(train: number): void;
  /** Begins a new batch. */
  clear(): void;
}

export function createCoalescer(bytes: Uint8Array, sum: Sum, wishes: CoalesceWishes): Coalescer {
  const view = new DataView(bytes.buffer);
  const trains = createTrains();
  const flows = createFlowTable();
  const { nextSequence, nextIdentification, open, verified, unchecked, lastFlags } = trains;

  function add(at: number, length: number): void {
    const kind = protocol(bytes, at);
    const fragments = IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET_MASK;
    const plain =
      headerLength(bytes, at) === IPV4_HEADER_MINIMUM &&
      (fragmentField(bytes, at) & fragments) === 0;
    if (plain && kind === PROTOCOL_TCP && wishes.tcp) addTcp(at, length);
    else if (plain && kind === PROTOCOL_UDP && wishes.udp) addUdp(at, length);
    else addStranger(at, length);
  }

  /** Nobody can tell whose order a fragment or an unknown shape belongs to: all trains end. */
  function addStranger(at: number, length: number): void {
    flows.clear();
    begin(at, length, length);
  }

  function addTcp(at: number, length: number): void {
    const t = at + IPV4_HEADER_MINIMUM;
    const available = length - IPV4_HEADER_MINIMUM;
    if (available < TCP_HEADER_MINIMUM) {
      addStranger(at, length);
      return;
    }
    const header = IPV4_HEADER_MINIMUM + dataOffset(bytes, t);
    if (header < IPV4_HEADER_MINIMUM + TCP_HEADER_MINIMUM || header > length) {
      addStranger(at, length);
      return;
    }
    const payload = length - header;
    const flags = bytes[t + 13];
    const joinable = (flags & ~(TCP_PSH | TCP_ECE)) === TCP_ACK;
    // A bare acknowledgement takes its place and leaves its flow's train open.
    if (joinable && payload === 0) {
      begin(at, length, header);
      return;
    }
    const hash = hashAt(at);
    const train = joinable ? flows.find(hash) : -1;
    if (train >= 0 && joinsTcp(train, at, header, payload)) {
      join(trains, train, at, payload, flags);
      return;
    }
    const fresh = begin(at, length, header);
    flows.note(hash, fresh);
    trains.isTcp[fresh] = 1;
    open[fresh] = joinable && (flags & TCP_PSH) === 0 ? 1 : 0;
    lastFlags[fresh] = flags;
    nextSequence[fresh] = view.getInt32(t + 4) + payload;
  }

  function addUdp(at: number, length: number): void {
    const header = IPV4_HEADER_MINIMUM + UDP_HEADER_LENGTH;
    if (length < header) {
      addStranger(at, length);
      return;
    }
    const payload = length - header;
    const whole = view.getUint16(at + IPV4_HEADER_MINIMUM + 4) === length - IPV4_HEADER_MINIMUM;
    const hash = hashAt(at);
    const train = whole && payload > 0 ? flows.find(hash) : -1;
    if (train >= 0 && joinsUdp(train, at, payload)) {
      join(trains, train, at, payload, 0);
      return;
    }
    const fresh = begin(at, length, header);
    flows.note(hash, fresh);
    open[fresh] = whole && payload > 0 ? 1 : 0;
  }

  function hashAt(at: number): number {
    return hashFlow(view.getInt32(at + 12), view.getInt32(at + 16), view.getInt32(at + 20));
  }

  /** A train of one packet, sealed until its maker opens it. */
  function begin(at: number, length: number, header: number): number {
    const train = trains.count;
    trains.count = train + 1;
    trains.growing = NO_TRAIN;
    trains.at[train] = at;
    trains.firstLength[train] = length;
    trains.header[train] = header;
    trains.payload[train] = length - header;
    trains.packets[train] = 1;
    trains.size[train] = length - header;
    trains.isTcp[train] = 0;
    nextIdentification[train] = (identification(bytes, at) + 1) & 0xffff;
    open[train] = 0;
    verified[train] = 0;
    unchecked[train] = 0;
    return train;
  }

  function joinsTcp(train: number, at: number, header: number, payload: number): boolean {
    if (open[train] === 0 || trains.isTcp[train] === 0) return false;
    const first = trains.at[train];
    const t = at + IPV4_HEADER_MINIMUM;
    const f = first + IPV4_HEADER_MINIMUM;
    if (header !== trains.header[train] || !fits(trains, train, payload)) return false;
    if (view.getInt32(t + 4) !== nextSequence[train]) return false;
    if (view.getInt32(t + 8) !== view.getInt32(f + 8)) return false;
    // Data offset, flags and window in one word; PSH alone may differ, and ends the train.
    if (((view.getInt32(t + 12) ^ view.getInt32(f + 12)) & ~(TCP_PSH << 16)) !== 0) return false;
    if (view.getUint16(t + 18) !== view.getUint16(f + 18)) return false;
    for (let i = TCP_HEADER_MINIMUM; i < header - IPV4_HEADER_MINIMUM; i += 4) {
      if (view.getInt32(t + i) !== view.getInt32(f + i)) return false;
    }
    return sameIpv4(train, at) && bothVerified(train, at, header + payload);
  }

  function joinsUdp(train: number, at: number, payload: number): boolean {
    if (open[train] === 0 || trains.isTcp[train] !== 0 || !fits(trains, train, payload))
      return false;
    const field = IPV4_HEADER_MINIMUM + 6;
    const first = trains.at[train];
    const none = view.getUint16(at + field) === 0;
    if (none !== (view.getUint16(first + field) === 0)) return false;
    if (!sameIpv4(train, at)) return false;
    unchecked[train] = none ? 1 : 0;
    return none || bothVerified(train, at, IPV4_HEADER_MINIMUM + UDP_HEADER_LENGTH + payload);
  }

  /** Flow, ToS with its ECN bits, TTL and DF; identification too where DF is clear (RFC 6864). */
  function sameIpv4(train: number, at: number): boolean {
    const first = trains.at[train];
    const mine = view.getUint16(at + 6);
    return (
      view.getInt32(at + 12) === view.getInt32(first + 12) &&
      view.getInt32(at + 16) === view.getInt32(first + 16) &&
      view.getInt32(at + 20) === view.getInt32(first + 20) &&
      bytes[at + 1] === bytes[first + 1] &&
      bytes[at + 8] === bytes[first + 8] &&
      bytes[at + 9] === bytes[first + 9] &&
      mine === view.getUint16(first + 6) &&
      ((mine & IPV4_DONT_FRAGMENT) !== 0 || identification(bytes, at) === nextIdentification[train])
    );
  }

  /** A join replaces the checksums, so both must be right before: an error is never laundered. */
  function bothVerified(train: number, at: number, length: number): boolean {
    if (verified[train] === 0) {
      if (!transportChecksumValid4(bytes, sum, trains.at[train], trains.firstLength[train])) {
        open[train] = 0;
        return false;
      }
      verified[train] = 1;
    }
    return transportChecksumValid4(bytes, sum, at, length);
  }

  function finish(train: number): void {
    const at = trains.at[train];
    const t = at + IPV4_HEADER_MINIMUM;
    const length = trains.header[train] + trains.payload[train];
    const isTcp = trains.isTcp[train] !== 0;
    setTotalLength(bytes, at, length);
    writeHeaderChecksum(bytes, at);
    const body = length - IPV4_HEADER_MINIMUM;
    if (isTcp) bytes[t + 13] = lastFlags[train];
    else view.setUint16(t + 4, body);
    // Left for the kernel to finish: the field holds the pseudo-header's sum.
    const pseudo = fold(sumHeader(bytes, at + 12, 8) + bytes[at + 9] + body);
    view.setUint16(t + (isTcp ? 16 : 6), pseudo);
  }

  function undo(train: number): void {
    const at = trains.at[train];
    const t = at + IPV4_HEADER_MINIMUM;
    const length = trains.firstLength[train];
    const isTcp = trains.isTcp[train] !== 0;
    const field = t + (isTcp ? 16 : 6);
    setTotalLength(bytes, at, length);
    writeHeaderChecksum(bytes, at);
    // The first of several never had PSH, and its checksum was right: it is worked out again.
    if (isTcp) bytes[t + 13] &= ~TCP_PSH;
    else view.setUint16(t + 4, length - IPV4_HEADER_MINIMUM);
    view.setUint16(field, 0);
    if (unchecked[train] !== 0) return;
    const body = length - IPV4_HEADER_MINIMUM;
    const pseudo = pseudoHeaderSum4(bytes, at, bytes[at + 9], body);
    const checksum = ~fold(pseudo + sum(t, body)) & 0xffff;
    view.setUint16(field, checksum === 0 && !isTcp ? 0xffff : checksum);
  }

  return {
    trains,
    add,
    extend: createExtend(bytes, sum, trains),
    full() {
      return trains.count >= TRAINS;
    },
    finish,
    undo,
    clear() {
      clearTrains(trains);
      flows.clear();
    },
  };
}
