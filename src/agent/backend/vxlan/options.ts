import type { BackendOptions } from '../../../lease/network/backend.ts';
import type { Logger } from '../../../log.ts';
import { Fault } from '../../fault.ts';
import type { Uplink } from '../../uplink.ts';

/** Outer Ethernet, IPv4, UDP and VXLAN headers (RFC 7348 §5): 14 + 20 + 8 + 8. */
const ENCAPSULATION_BYTES = 50;
/** The least that carries IPv4 (RFC 791). */
const LEAST_MTU = 68;
/** The port that Linux had before IANA gave out 4789; flannel's cannot change any more. */
const DEFAULT_PORT = 8472;

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

/** The members of `Backend`, which were checked when the config was read, with the defaults. */
export function readVxlanOptions(given: BackendOptions): VxlanOptions {
  return {
    vni: given.VNI ?? 1,
    port: given.Port || DEFAULT_PORT,
    underlayMtu: given.MTU ?? 0,
    groupPolicy: given.GBP ?? false,
    learning: given.Learning ?? false,
    directRouting: given.DirectRouting ?? false,
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
