import type { IncomingMessage } from 'node:http';
import { isIPv4, isIPv6 } from 'node:net';
import { escapeText } from '../untrusted/text.ts';

/** A request that is not answered, and why. */
export interface HostRefusal {
  readonly status: 400 | 421;
  readonly sentence: string;
}

const OPTION = '--http-allowed-host';
const MOST_SHOWN_CHARACTERS = 100;

/**
 * Whether a request is meant for us by its Host (RFC 9110 §7.2): an address, `localhost`, or a name
 * that the operator allowed. A page of somebody else's, whose name was bound to our address after
 * it was loaded (DNS rebinding), asks by that name, for a browser lets no script choose another.
 * @param allowed names in lower case; `*.example.com` is every name below it
 */
export function judgeHost(
  request: Pick<IncomingMessage, 'rawHeaders' | 'httpVersion' | 'url'>,
  allowed: readonly string[],
): HostRefusal | undefined {
  const { rawHeaders, httpVersion, url = '' } = request;
  const hosts = rawHeaders.filter((_, at) => {
    return at % 2 === 1 && rawHeaders[at - 1]!.toLowerCase() === 'host';
  });
  if (!url.startsWith('/')) {
    return { status: 400, sentence: 'this is no proxy: ask for a path, such as /metrics' };
  }
  if (hosts.length > 1) return { status: 400, sentence: 'more than one Host: send one' };
  // Browsers speak HTTP/1.1 and always send one; probes by hand may do neither.
  if (hosts.length === 0 && httpVersion === '1.0') return undefined;
  const name = nameOf(hosts[0] ?? '');
  if (name === undefined) {
    const shown = escapeText(hosts[0] ?? '', MOST_SHOWN_CHARACTERS);
    return { status: 400, sentence: `'${shown}' is no Host: send an address or a name` };
  }
  if (isAddress(name) || name === 'localhost' || isAllowed(name, allowed)) return undefined;
  const sentence =
    `this weft does not answer to the name ${name}: ask by its address, ` +
    `or start weft with ${OPTION} ${name}`;
  return { status: 421, sentence };
}

/** Host without its port, in lower case and without a final dot; undefined for what is none. */
function nameOf(host: string): string | undefined {
  const parts = /^(\[[\da-f:.]+\]|[\w.-]{1,253}?)\.?(?::\d{0,5})?$/i.exec(host);
  return parts?.[1]?.toLowerCase();
}

/** Whether a name is an IPv4 address as it is usually written, or an IPv6 address in brackets. */
function isAddress(name: string): boolean {
  return isIPv4(name) || isIPv6(/^\[(.*)\]$/.exec(name)?.[1] ?? '');
}

function isAllowed(name: string, allowed: readonly string[]): boolean {
  return allowed.some((one) => {
    return one === name || (one.startsWith('*.') && name.endsWith(one.slice(1)));
  });
}
