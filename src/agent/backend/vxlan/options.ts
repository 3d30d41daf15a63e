import { z } from 'zod';
import type { BackendConfig } from '../../../lease/network.ts';
import type { Logger } from '../../../log.ts';
import { Fault } from '../../fault.ts';
import type { Uplink } from '../../uplink.ts';
import { readBackendOptions } from '../options.ts';

/** Outer Ethernet, IPv4, UDP and VXLAN headers (RFC 7348 §5): 14 + 20 + 8 + 8. */
const ENCAPSULATION_BYTES = 50;
/** The least that carries IPv4 (RFC 791). */
const LEAST_MTU = 68;
/** The port that Linux had before IANA gave out 4789; flannel's cannot change any more. */
const DEFAULT_PORT = 8472;
/** `flannel.` and a VNI of more than seven digits is longer than IFNAMSIZ allows. */
const LARGEST_VNI = 9_999_999;

/** flannel's members of a `vxlan` Backend, with its defaults filled in. */
export interface VxlanOptions {
  readonly vni: number;
  readonly port: number;
  /** The underlay's MTU as the operator says it; 0 for the uplink's own. */
  readonly underlayMtu: number;
  readonly groupPolicy: boolean;
  readonly learning: boolean;
  readonly directRouting: boolean;
}

const FIELDS = z.object({
  VNI: z
    .int()
    .min(0)
    .max(LARGEST_VNI, `too large: a device flannel.<VNI> must not exceed ${LARGEST_VNI}`)
    .nullish(),
  Port: z.int().min(0).max(65535).nullish(),
  MTU: z.int().min(0).max(65535).nullish(),
  GBP: z.boolean().nullish(),
  Learning: z.boolean().nullish(),
  DirectRouting: z.boolean().nullish(),
});

/** @throws Fault that names every fault */
export function readVxlanOptions(given: BackendConfig['options']): VxlanOptions {
  const { VNI, Port, MTU, GBP, Learning, DirectRouting } = readBackendOptions(
    'vxlan',
    FIELDS,
    given,
  );
  return {
    vni: VNI ?? 1,
    port: Port || DEFAULT_PORT,
    underlayMtu: MTU ?? 0,
    groupPolicy: GBP ?? false,
    learning: Learning ?? false,
    directRouting: DirectRouting ?? false,
  };
}

/**
 * The MTU of the device and of pods. More than the uplink carries is cut down to it, as the kernel
 * would do to the device without telling the pods.
 * @throws Fault where IPv4 does not fit
 */
export function chooseVxlanMtu(
  underlayMtu: number,
  uplink: Uplink,
  log: Pick<Logger, 'warn'>,
): number {
  if (underlayMtu > uplink.mtu) {
    log.warn(
      `Backend MTU ${underlayMtu} of the network config is more than the ${uplink.mtu} of ` +
        `${uplink.name}: taking ${uplink.mtu}`,
    );
  }
  const underlay = Math.min(underlayMtu || uplink.mtu, uplink.mtu);
  const mtu = underlay - ENCAPSULATION_BYTES;
  if (mtu >= LEAST_MTU) return mtu;
  throw new Fault(
    'environment',
    `no room for packets: MTU ${underlay} less ${ENCAPSULATION_BYTES} for vxlan is ${mtu}`,
  );
}
