import type { PingResult } from '../../probe/ping.ts';

export interface Hop {
  /** The node by its PublicIP, its device through the overlay, the pod behind it. */
  readonly name: 'underlay' | 'device' | 'pod';
  readonly address: string;
}

/** What this node's counters did meanwhile; null where they are not kept by peer. */
export interface Moved {
  readonly left: number | null;
  readonly cameBack: number | null;
  /** `tx no_route 3`. */
  readonly drops: readonly string[];
}

export interface HopResult extends Hop, PingResult {
  /** Bytes of the inner packet; `bytes` has the outer headers too on the underlay. */
  readonly inner: number;
  readonly moved: Moved;
}

export interface PingVerdict {
  readonly well: boolean;
  /** The hop that loses packets, and the size from which it does. */
  readonly lostAt: Hop['name'] | 'here' | null;
  readonly lines: readonly string[];
}

/** Says which hop loses packets. Pure; results are in the order of the way, small sizes first. */
export function judgePing(results: readonly HopResult[], peer: string): PingVerdict {
  const through = results.filter(({ name }) => name !== 'underlay');
  const bad = through.find(({ received, count }) => received < count);
  if (bad === undefined) {
    const sizes = [...new Set(through.map(({ inner }) => inner))].join(' and ');
    return { well: true, lostAt: null, lines: [`every echo of ${sizes} bytes was answered`] };
  }
  const lost = `${bad.count - bad.received} of ${bad.count} echoes of ${bad.inner} bytes lost`;
  const [lostAt, reason, cure] = explain(results, bad, peer);
  return { well: false, lostAt, lines: [`${lost}: ${reason}`, `-> ${cure}`] };
}

type Explanation = readonly [lostAt: Hop['name'] | 'here', reason: string, cure: string];

function explain(results: readonly HopResult[], bad: HopResult, peer: string): Explanation {
  const small = results.find(({ name, received }) => name === bad.name && received > 0);
  const tooLong = small !== undefined && small.inner < bad.inner && bad.received === 0;
  if (bad.name === 'pod') {
    if (tooLong) {
      const cure = 'the MTU of the pod and of its bridge must be that of the device, on that node';
      return ['pod', `the device of ${peer} answers that size, the pod does not`, cure];
    }
    const cure = `on ${peer}: is the pod there? ip route get ${bad.address}; its network policy`;
    return ['pod', `the device of ${peer} answers, ${bad.address} behind it does not`, cure];
  }
  return explainDevice(results, bad, peer, tooLong);
}

function explainDevice(
  results: readonly HopResult[],
  bad: HopResult,
  peer: string,
  tooLong: boolean,
): Explanation {
  const { left, cameBack, drops } = bad.moved;
  const underlay = results.find(({ name, inner }) => name === 'underlay' && inner === bad.inner);
  const said = bad.errors.length === 0 ? '' : ` (${bad.errors.join('; ')})`;
  if (left === 0) {
    const counted = drops.length === 0 ? '' : `, dropped here: ${drops.join(', ')}`;
    return ['here', `nothing left this node${counted}${said}`, `weft trace ${bad.address}`];
  }
  if ((cameBack ?? 0) > bad.received && drops.length > 0) {
    const reason = `answers came back and were dropped here: ${drops.join(', ')}`;
    return ['here', reason, 'docs/metrics.md says what each reason means; weft doctor'];
  }
  if (tooLong) {
    const cure = 'lower --mtu on every node and in the pods, or mend the link that carries less';
    return ['underlay', `smaller ones pass: the path to ${peer} carries less${said}`, cure];
  }
  if (underlay !== undefined && underlay.received === 0) {
    const reason = `${peer} does not answer on the underlay either${said}`;
    return ['underlay', reason, 'is the node up? does the underlay route there?'];
  }
  const cure = `on ${peer}: weft status, weft doctor; is UDP open between the nodes?`;
  return ['device', `${peer} answers on the underlay, nothing comes back through UDP${said}`, cure];
}
