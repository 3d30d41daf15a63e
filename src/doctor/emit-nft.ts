import { parseAddress4 } from '../wire/address.ts';
import type { Subject } from './check.ts';

/** Longer lists of elements are broken over lines. */
const A_LINE = 4;

/**
 * A ruleset that admits datagrams from peers alone, and keeps the outer flow out of conntrack. It
 * is a table of its own: `nft -f` puts it in place at once, also over an older one, and `nft delete
 * table inet weft` takes it away.
 */
export function emitNft({ peers, port }: Pick<Subject, 'peers'> & { port: number }): string {
  // Goes to `nft -f -`: nothing but an address may stand there, whoever answered.
  const named = peers.map(({ publicAddress }) => publicAddress);
  const addresses = [...new Set(named.filter((text) => parseAddress4(text) !== undefined))].sort();
  const lines: string[] = [];
  for (let at = 0; at < addresses.length; at += A_LINE) {
    lines.push(`      ${addresses.slice(at, at + A_LINE).join(', ')}`);
  }
  const elements = lines.length === 0 ? '' : `\n    elements = {\n${lines.join(',\n')}\n    }`;
  return `# weft doctor --emit-nft | nft -f -     again whenever nodes come or go
table inet weft
delete table inet weft
table inet weft {
  set peers {
    type ipv4_addr${elements}
  }
  chain input {
    type filter hook input priority filter - 5; policy accept;
    udp dport ${port} ip saddr @peers accept
    udp dport ${port} drop
  }
  chain prerouting {
    type filter hook prerouting priority raw; policy accept;
    udp dport ${port} notrack
  }
  chain output {
    type filter hook output priority raw; policy accept;
    udp dport ${port} notrack
  }
}`;
}
