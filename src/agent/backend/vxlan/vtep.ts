/** What vxlan nodes tell one another in BackendData: flannel's {"VNI":1,"VtepMAC":"aa:bb:..."}. */
import { randomBytes } from 'node:crypto';
import { between, type Field, readMembers, refuse, whole } from '../../../lease/go-json.ts';
import { LIMITS, splitObject } from '../../../untrusted/json.ts';

/** flannel's hardwareAddr: letters between quotes as they stand, and null is none. */
const macAddressField: Field<string> = (json) => {
  const macAddress = parseMacAddress(between(json));
  if (macAddress !== undefined) return { ok: true, value: macAddress };
  return refuse(json, 'is not the address of one station');
};

const FIELDS = { VNI: whole(0, 0xffffffff), VtepMAC: macAddressField };

/** Group bit of the first octet (IEEE 802): set, the address stands for many stations. */
const MULTICAST = 0x01;
/** Given out by administrators, not by the maker of a card. */
const LOCAL = 0x02;

/** BackendData as flannel writes it, byte for byte. */
export function vtepData(vni: number, macAddress: string): string {
  return JSON.stringify({ VNI: vni, VtepMAC: macAddress });
}

/**
 * The VtepMAC of a peer's BackendData, in lower case with colons. What the VNI in it is does not
 * matter, as to flannel on Linux.
 * @param backendData JSON, whatever it says
 */
export function readVtep(
  backendData: string | undefined,
): { readonly ok: true; readonly macAddress: string } | { readonly ok: false; reason: string } {
  if (backendData === undefined || backendData === 'null') {
    return { ok: false, reason: 'its lease has no BackendData' };
  }
  const members = splitObject(backendData, LIMITS.leaseValue);
  if (!members.ok) return { ok: false, reason: `its BackendData is ${members.reason}` };
  const faults: string[] = [];
  const { VtepMAC } = readMembers(members.value, FIELDS, faults, 'its BackendData: ');
  if (faults.length > 0) return { ok: false, reason: faults.join('; ') };
  if (VtepMAC === undefined) return { ok: false, reason: 'its BackendData has no VtepMAC' };
  return { ok: true, macAddress: VtepMAC };
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
