/**
 * Which packets somebody wants to see: a few words of pcap-filter(7), `peer` and `drops`, all of
 * which must hold. Pure.
 */
import type { TappedPacket } from '../dataplane/tap/reader.ts';
import {
  contains,
  formatPrefix4,
  type Prefix4,
  parseAddress4,
  parseInterface4,
  parsePrefix4,
} from '../wire/address.ts';
import * as ipv4 from '../wire/ipv4.ts';
import { PROTOCOLS, readPorts } from './describe.ts';

/** All of it must hold; what is empty or undefined holds for any packet. */
export interface PacketFilter {
  /** Source or destination lies in it; of each. */
  readonly networks: readonly Prefix4[];
  /** Source or destination port of TCP or UDP; each. */
  readonly ports: readonly number[];
  readonly protocol: number | undefined;
  /** Public address of the other node, in canonical text. */
  readonly peer: string | undefined;
  readonly dropsOnly: boolean;
}

/** What is wrong with a filter, and what may be said instead. */
export class FilterError extends Error {
  override readonly name = 'FilterError';
}

export const ANY_PACKET: PacketFilter = {
  networks: [],
  ports: [],
  protocol: undefined,
  peer: undefined,
  dropsOnly: false,
};

export const FILTER_WORDS =
  'host A, net A/LENGTH, port N, proto NAME, tcp, udp, icmp, peer A, drops, and';
/** Words beyond which a filter is a mistake, and a burden on every packet. */
const MOST_WORDS = 32;
/** What pcap-filter(7) has and we do not. */
const FOREIGN = ['or', 'not', 'src', 'dst', '!', '||', '(', ')', 'ip6', 'ip', 'portrange', 'ether'];

type Draft = { -readonly [Key in keyof PacketFilter]: PacketFilter[Key] };

/**
 * Reads a filter, such as `host 10.244.2.2 and tcp and port 80`; an empty text is every packet.
 * `and` between two terms may be left out.
 * @throws FilterError
 */
export function parseFilter(text: string): PacketFilter {
  const words = text.split(/\s+/).filter((word) => word !== '');
  if (words.length > MOST_WORDS) throw new FilterError(`a filter has at most ${MOST_WORDS} words`);
  const draft: Draft = { ...ANY_PACKET };
  let termBefore = false;
  for (let at = 0; at < words.length; ) {
    if (words[at] === 'and' || words[at] === '&&') {
      const last = at === words.length - 1;
      if (last || !termBefore)
        throw new FilterError(`'and' joins two terms: nothing is ${last ? 'after' : 'before'} it`);
      termBefore = false;
      at += 1;
    } else {
      at += addTerm(draft, words[at]!, words[at + 1]);
      termBefore = true;
    }
  }
  if (draft.ports.length > 0 && draft.protocol !== undefined && !hasPorts(draft.protocol)) {
    throw new FilterError(`only tcp and udp have ports: no packet could match '${text.trim()}'`);
  }
  return draft;
}

/** Adds one term; the result is how many words it took. */
function addTerm(draft: Draft, word: string, value: string | undefined): number {
  if (word === 'drops') {
    draft.dropsOnly = true;
    return 1;
  }
  if (Object.hasOwn(PROTOCOLS, word)) {
    setProtocol(draft, PROTOCOLS[word]!);
    return 1;
  }
  const add = Object.hasOwn(TERMS, word) ? TERMS[word] : undefined;
  if (add === undefined) throw new FilterError(explainUnknown(word));
  if (value === undefined) throw new FilterError(`${word} needs a value after it`);
  add(draft, value);
  return 2;
}

const TERMS: Readonly<Record<string, (draft: Draft, value: string) => void>> = {
  host(draft, value) {
    const network = parseAddress4(value);
    if (network === undefined) {
      throw new FilterError(
        `host takes an IPv4 address, not '${value}'; a network is net A/LENGTH`,
      );
    }
    draft.networks = [...draft.networks, { network, length: 32 }];
  },
  net(draft, value) {
    const prefix = parsePrefix4(value);
    if (prefix === undefined) {
      throw new FilterError(`net takes a network such as 10.244.2.0/24, not '${value}'`);
    }
    if (parseInterface4(value)!.address !== prefix.network) {
      const meant = formatPrefix4(prefix);
      throw new FilterError(`${value} has bits beyond its length: net ${meant}, or host A`);
    }
    draft.networks = [...draft.networks, prefix];
  },
  port(draft, value) {
    const port = Number(value);
    if (!/^\d{1,5}$/.test(value) || port < 1 || port > 65_535) {
      throw new FilterError(`port takes a number from 1 to 65535, not '${value}'`);
    }
    draft.ports = [...draft.ports, port];
  },
  proto(draft, value) {
    const number = Object.hasOwn(PROTOCOLS, value) ? PROTOCOLS[value]! : Number(value);
    if (
      !Object.hasOwn(PROTOCOLS, value) &&
      (!/^\d{1,3}$/.test(value) || number < 1 || number > 255)
    ) {
      const names = Object.keys(PROTOCOLS).join(', ');
      throw new FilterError(`proto takes ${names} or a number from 1 to 255, not '${value}'`);
    }
    setProtocol(draft, number);
  },
  peer(draft, value) {
    const address = parseAddress4(value);
    if (address === undefined || address === 0) {
      throw new FilterError(`peer takes the public address of a node, not '${value}': weft peers`);
    }
    if (draft.peer !== undefined && draft.peer !== value) {
      throw new FilterError('a packet has one peer: no packet could match two');
    }
    draft.peer = value;
  },
};

function setProtocol(draft: Draft, protocol: number): void {
  if (draft.protocol !== undefined && draft.protocol !== protocol) {
    throw new FilterError('a packet has one protocol: no packet could match two');
  }
  draft.protocol = protocol;
}

function explainUnknown(word: string): string {
  if (!FOREIGN.includes(word)) return `'${word}' is no word of a filter; there are ${FILTER_WORDS}`;
  const cure = "capture more, and leave the rest to 'tshark -r FILE -Y ...'";
  return `'${word}' is tcpdump's, not ours; there are ${FILTER_WORDS}: ${cure}`;
}

const hasPorts = (protocol: number): boolean =>
  protocol === ipv4.PROTOCOL_TCP || protocol === ipv4.PROTOCOL_UDP;

/** Whether the packet is one of those; its kept bytes must reach beyond its ports. */
export function matches(filter: PacketFilter, packet: TappedPacket): boolean {
  const { networks, ports, protocol, peer, dropsOnly } = filter;
  if (dropsOnly && packet.reason === undefined) return false;
  if (peer !== undefined && peer !== packet.peer) return false;
  if (networks.length === 0 && ports.length === 0 && protocol === undefined) return true;
  const { bytes } = packet;
  if (bytes.length < ipv4.IPV4_HEADER_MINIMUM || ipv4.version(bytes, 0) !== 4) return false;
  if (protocol !== undefined && ipv4.protocol(bytes, 0) !== protocol) return false;
  const [source, destination] = [ipv4.source(bytes, 0), ipv4.destination(bytes, 0)];
  const within = (network: Prefix4) => contains(network, source) || contains(network, destination);
  if (!networks.every(within)) return false;
  if (ports.length === 0) return true;
  const found = readPorts(bytes);
  return found !== undefined && ports.every((port) => found.includes(port));
}
