import { readFileSync } from 'node:fs';
import {
  type Check,
  doubtful,
  type Finding,
  fine,
  type Subject,
  unknown,
  wrong,
} from '../check.ts';

/** A table fuller than this drops new flows at the next burst. */
const FULL = 0.9;

/** Whether the outer flow is looked up in conntrack for every packet, and whether that is full. */
export const conntrackCheck: Check = {
  name: 'conntrack',
  look: async (subject) => [...fullness(subject), tracked(subject)],
};

function fullness({ sysctl }: Subject): Finding[] {
  const [count, most] = ['count', 'max'].map((name) =>
    Number(sysctl(`net/netfilter/nf_conntrack_${name}`) ?? Number.NaN),
  );
  if (!(count! >= most! * FULL)) return [];
  return [
    wrong(
      `conntrack holds ${count} of at most ${most} flows`,
      'new flows are dropped when it is full, ours among them',
      `sysctl -w net.netfilter.nf_conntrack_max=${most! * 2}`,
    ),
  ];
}

/** proc: /proc/net/nf_conntrack, a flow a line, both ways of it. */
function tracked({ port }: Subject): Finding {
  let flows: string;
  try {
    flows = readFileSync('/proc/self/net/nf_conntrack', 'latin1');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return fine('this kernel keeps no list of tracked flows');
    return unknown(`tracked flows cannot be read: ${code}`, 'as root: weft doctor');
  }
  const ours = flows
    .split('\n')
    .filter((line) => / udp /.test(` ${line}`) && new RegExp(`dport=${port}\\b`).test(line));
  if (ours.length === 0) return fine(`UDP ${port} is not tracked`);
  return doubtful(
    `conntrack tracks the outer flow: ${ours.length} entries for UDP ${port}`,
    'every datagram is looked up there, and lost when the table is full',
    'nft add table ip weft-raw; weft doctor --emit-nft prints rules with notrack',
  );
}
