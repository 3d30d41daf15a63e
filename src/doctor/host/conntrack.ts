import { readFileSync } from 'node:fs';
import { type Check, type Finding, fine, type Subject, wrong } from '../check.ts';

/** A table fuller than this drops new flows at the next burst. */
const FULL = 0.9;

/**
 * Whether conntrack's table is about to be full. That it tracks the outer flow is no trouble by
 * itself: it costs a look-up a datagram, and most nodes do so.
 */
export const conntrackCheck: Check = {
  name: 'conntrack',
  look: async (subject) => {
    const [count, most] = ['count', 'max'].map((name) =>
      Number(subject.sysctl(`net/netfilter/nf_conntrack_${name}`) ?? Number.NaN),
    );
    if (count! >= most! * FULL) return [full(subject, count!, most!)];
    if (Number.isNaN(count! + most!)) return [fine('nothing is tracked on this host')];
    return [fine(`conntrack holds ${count} of at most ${most} flows`)];
  },
};

function full(subject: Subject, count: number, most: number): Finding {
  const tracked = tracksTunnel(subject);
  const ours =
    tracked === false
      ? 'new flows of pods are dropped when it is full; the one between nodes is not tracked'
      : 'new flows are dropped when it is full, those between nodes among them';
  const setting = `net.netfilter.nf_conntrack_max=${most * 2}`;
  const cure = `sysctl -w ${setting}, and the same in /etc/sysctl.d/`;
  const notrack = '; weft run --notrack keeps the tunnel out of it';
  return wrong(
    `conntrack holds ${count} of at most ${most} flows`,
    ours,
    tracked === false ? cure : `${cure}${notrack}`,
  );
}

/** /proc/net/nf_conntrack has a flow a line, both ways of it; undefined where it is not shown. */
function tracksTunnel({ carrier }: Subject): boolean | undefined {
  const port = carrier?.port;
  if (port === undefined) return false;
  try {
    const flows = readFileSync('/proc/self/net/nf_conntrack', 'latin1');
    const ours = new RegExp(`\\budp\\b.*\\bdport=${port}\\b`);
    return flows.split('\n').some((line) => ours.test(line));
  } catch {
    return undefined;
  }
}
