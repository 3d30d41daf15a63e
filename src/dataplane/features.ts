/**
 * What main and `weft doctor` know of features without touching one: which kernels lie, what the
 * loss of a feature costs, and what cures it. native-notes/features.md has the sources.
 */
import type { Feature } from './messages.ts';

/** Whether a kernel is of this version or newer. */
export function kernelAtLeast(major: number, minor: number, kernel: string): boolean {
  const [a = 0, b = 0] = kernel.split(/[.-]/).map(Number);
  return a > major || (a === major && b >= minor);
}

/**
 * Linux 7.0.0 to 7.1.4 mangle the headers of a UDP_SEGMENT send whose segments are all equal, which
 * no local probe can see; there every datagram is sent by itself, unless the operator knows better:
 * distributions keep the release and take the fix.
 */
export function manglesEqualRuns(kernel: string): boolean {
  const [major = 0, minor = 0, patch = 0] = kernel.split(/[.-]/).map(Number);
  if (major !== 7) return false;
  return minor === 0 || (minor === 1 && patch <= 4);
}

/** What to say at the start of an override; undefined where it changes nothing. */
export function overrideNotice(forced: readonly Feature[], kernel: string): string | undefined {
  if (!forced.includes('udp_gso') || !manglesEqualRuns(kernel)) return undefined;
  return (
    `udp_gso is in use on Linux ${kernel} because --offload udp_gso=on says so; without the ` +
    "distribution's fix, peers drop most of what is sent: bad_checksum, bad_length there"
  );
}

const SUPERPACKETS_CURE =
  'a kernel that takes superpackets at the TUN (6.6.44 and 6.10.3 do not), then restart weft';

/** What goes on worse without a feature, and how to get it back. */
const LOSSES: Readonly<Record<Feature, { readonly cost: string; readonly cure: string }>> = {
  tun_vnet_hdr: {
    cost: 'each packet crosses the TUN by itself',
    cure: 'restart weft',
  },
  tun_tso: {
    cost: 'the kernel cuts TCP before weft reads it, at more CPU for each byte sent',
    cure: 'restart weft',
  },
  tun_uso: {
    cost: 'the kernel cuts UDP before weft reads it, at more CPU for each byte sent',
    cure: 'restart weft',
  },
  udp_gso: {
    cost: 'each datagram leaves by itself, at several times the CPU for each byte sent',
    cure:
      'checksum offload on the underlay device (ethtool -K DEVICE tx on), no XDP program and no ' +
      'IPsec policy on the way to the peers, then restart weft',
  },
  udp_gro: {
    cost: 'each datagram is received by itself, at more CPU for each byte received',
    cure: 'restart weft',
  },
  coalesce_tcp: {
    cost: 'each TCP segment enters the TUN by itself, at several times the CPU for each byte',
    cure: SUPERPACKETS_CURE,
  },
  coalesce_udp: {
    cost: 'each UDP packet enters the TUN by itself, at more CPU for each',
    cure: SUPERPACKETS_CURE,
  },
};

/** The line logged when the kernel refuses a feature at run time, after it was in force. */
export function lossNotice(feature: Feature): string {
  const { cost, cure } = LOSSES[feature];
  return `the kernel refused ${feature}: ${cost}; cure: ${cure}`;
}
