/** What vxlan nodes tell one another in BackendData: flannel's {"VNI":1,"VtepMAC":"aa:bb:..."}. */
import { randomBytes } from 'node:crypto';
import { foldKeys, spellings } from '../../../lease/go-json.ts';

const MEMBERS = spellings(['VNI', 'VtepMAC']);

/** Group bit of the first octet (IEEE 802): set, the address stands for many stations. */
const MULTICAST = 0x01;
/** Given out by administrators, not by the maker of a card. */
const LOCAL = 0x02;

/** BackendData as flannel writes it, byte for byte once it is JSON. */
export function vtepData(vni: number, macAddress: string): unknown {
  return { VNI: vni, VtepMAC: macAddress };
}

/**
 * The VtepMAC of a peer's BackendData, in lower case with colons. The VNI in it is not looked at,
 * as flannel does not on Linux.
 */
export function readVtep(
  backendData: unknown,
): { readonly ok: true; readonly macAddress: string } | { readonly ok: false; reason: string } {
  if (typeof backendData !== 'object' || backendData === null) {
    return { ok: false, reason: 'its lease has no BackendData' };
  }
  const { VtepMAC } = foldKeys(backendData as Record<string, unknown>, MEMBERS);
  if (typeof VtepMAC !== 'string') return { ok: false, reason: 'its BackendData has no VtepMAC' };
  const macAddress = parseMacAddress(VtepMAC);
  if (macAddress !== undefined) return { ok: true, macAddress };
  const shown = JSON.stringify(VtepMAC.slice(0, 40));
  return { ok: false, reason: `its VtepMAC ${shown} is not the address of one station` };
}

/**
 * A unicast address in any of the spellings that Go's net.ParseMAC takes for 48 bits: by colons,
 * hyphens, or in three groups with dots.
 */
export function parseMacAddress(text: string): string | undefined {
  const plain =
    /^(?:[0-9a-f]{2}(?:(?::[0-9a-f]{2}){5}|(?:-[0-9a-f]{2}){5})|(?:[0-9a-f]{4}\.){2}[0-9a-f]{4})$/i;
  if (!plain.test(text)) return undefined;
  const octets = text.replace(/[:.-]/g, '').toLowerCase().match(/../g)!;
  const multicast = (Number.parseInt(octets[0]!, 16) & MULTICAST) !== 0;
  if (multicast || octets.every((octet) => octet === '00')) return undefined;
  return octets.join(':');
}

/** A unicast address of local administration, as flannel takes. */
export function randomMacAddress(): string {
  const bytes = randomBytes(6);
  bytes[0] = (bytes[0]! | LOCAL) & ~MULTICAST;
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
