import { kernelAtLeast, manglesEqualRuns } from '../../dataplane/features.ts';
import { type Check, doubtful, type Finding, fine, wrong } from '../check.ts';

const OLDEST = [5, 4] as const;
const WANTED: readonly (readonly [major: number, minor: number, what: string])[] = [
  [5, 12, 'UDP_GRO'],
  [6, 2, 'UDP superpackets from the TUN'],
];

/** What this kernel can do for weft, and the versions that harm packets. */
export const kernelCheck: Check = {
  name: 'kernel',
  look: async ({ kernel }) => judgeKernel(kernel),
};

/** @param kernel as `uname -r` */
export function judgeKernel(kernel: string): Finding[] {
  if (!kernelAtLeast(...OLDEST, kernel)) {
    const what = `Linux ${kernel} is older than ${OLDEST.join('.')}`;
    return [wrong(what, 'weft is not made for it, and nobody tests it there', 'a newer kernel')];
  }
  if (manglesEqualRuns(kernel)) {
    return [
      doubtful(
        `Linux ${kernel} mangles UDP_SEGMENT sends of equal size (7.0.0 to 7.1.4)`,
        'weft leaves udp_gso off there and sends each datagram by itself, at more CPU',
        'Linux 7.1.5 or newer; or --offload udp_gso=on, once your distribution has the fix',
      ),
    ];
  }
  const lacking = WANTED.filter(([major, minor]) => !kernelAtLeast(major, minor, kernel));
  if (lacking.length === 0) return [fine(`Linux ${kernel} has every offload that weft uses`)];
  return lacking.map(([major, minor, what]) =>
    doubtful(
      `Linux ${kernel} has no ${what}`,
      'packets go one by one there, at more CPU',
      `Linux ${major}.${minor} or newer`,
    ),
  );
}
