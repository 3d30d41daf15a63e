import { compact, LIMITS, splitObject } from '../../untrusted/json.ts';
import { quoted } from '../../untrusted/shown.ts';
import { bool, readMembers, refuse, text, type Values, whole } from '../go-json.ts';

/** `Backend` of the network config: which one, and what it is told. */
export interface BackendConfig {
  /** In lower case; `udp` where the config names no backend. */
  readonly type: string;
  readonly options: BackendOptions;
}

/** Backends that weft has, by flannel's names. */
export const BACKEND_TYPES = ['udp', 'vxlan', 'host-gw', 'alloc'] as const;
type BackendType = (typeof BACKEND_TYPES)[number];

/** flannel's names have at most 9 letters. */
const TYPE_LETTERS = 64;
/** Go's int, as far as a number of JavaScript is exact; what is no port or size is told below. */
const int = whole(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);

const TYPE = { Type: text(TYPE_LETTERS) };

/** Members of all backends that weft has. */
const FIELDS = { Port: int, VNI: int, MTU: int, GBP: bool, Learning: bool, DirectRouting: bool };

/** What a backend reads; the rest may be anything, as to flannel. */
const READ: Readonly<Record<BackendType, Partial<typeof FIELDS>>> = {
  udp: { Port: int },
  vxlan: FIELDS,
  'host-gw': {},
  alloc: {},
};

/** What `Backend` says besides its Type; absent where it says nothing. */
export type BackendOptions = Readonly<Values<typeof FIELDS>>;

/** `flannel.` and a VNI of more than seven digits is longer than IFNAMSIZ allows. */
const LARGEST_VNI = 9_999_999;

interface Bound {
  readonly member: 'Port' | 'VNI' | 'MTU';
  readonly least: number;
  readonly most: number;
  readonly why?: string;
}

const PORT_OR_0: Bound = { member: 'Port', least: 0, most: 65_535 };

const BOUNDS: Readonly<Record<BackendType, readonly Bound[]>> = {
  udp: [{ member: 'Port', least: 1, most: 65_535 }],
  vxlan: [
    PORT_OR_0,
    {
      member: 'VNI',
      least: 0,
      most: LARGEST_VNI,
      why: ', for the device is named flannel.VNI and a name has 15 letters',
    },
    { member: 'MTU', least: 0, most: 65_535 },
  ],
  'host-gw': [],
  alloc: [],
};

/**
 * Reads `Backend`, JSON as it stands in the config; undefined where the config has none, which is
 * `udp`. null is an object without Type, as to flannel. Every fault is named, those of the other
 * members too where the Type is none.
 */
export function readBackend(json: string | undefined, faults: string[]): BackendConfig {
  if (json === undefined) return { type: 'udp', options: {} };
  const members = splitObject(json === 'null' ? '{}' : compact(json), LIMITS.networkConfig);
  if (!members.ok) {
    faults.push(`Backend: ${refuse(json, `must be an object such as {"Type":"udp"}`).reason}`);
    return { type: '', options: {} };
  }
  const before = faults.length;
  const { Type = '' } = readMembers(members.value, TYPE, faults, 'Backend.');
  const type = Type.toLowerCase();
  const known = BACKEND_TYPES.find((each) => each === type);
  if (known === undefined && faults.length === before) faults.push(typeFault(Type, json));
  // What an unknown Type reads nobody can say; members that we know are looked at all the same.
  const fields: Partial<typeof FIELDS> = known === undefined ? FIELDS : READ[known];
  const options: BackendOptions = readMembers(
    members.value,
    fields as typeof FIELDS,
    faults,
    'Backend.',
  );
  const bounds = known === undefined ? [PORT_OR_0] : BOUNDS[known];
  for (const { member, least, most, why = '' } of bounds) {
    const value = options[member];
    if (value === undefined || (value >= least && value <= most)) continue;
    faults.push(`Backend.${member}: ${value} must be from ${least} to ${most}${why}`);
  }
  return { type, options };
}

function typeFault(type: string, json: string): string {
  const known = BACKEND_TYPES.join(', ');
  if (type !== '') {
    return `Backend.Type: ${quoted(type)} is no backend that weft has: name one of ${known}`;
  }
  const found = json === 'null' ? 'Backend is null and names none' : 'there is none';
  return `Backend.Type: ${found}: name one of ${known}, or leave Backend out, which is udp`;
}
