/**
 * How Go's encoding/json reads an object into a struct, which is how flanneld reads its keys and
 * values: names in any letter case, of repeated ones each is read and the last stays, unknown ones
 * are passed over, and one that cannot be read spoils the whole. Source: that package's
 * documentation and flannel's UnmarshalJSON methods (`pkg/ip`), held against a real flannel build.
 */
import { decodeString, kindOf, type Member, type Parsed } from '../untrusted/json.ts';
import { shown } from '../untrusted/shown.ts';
import { unicodeEscape } from '../untrusted/text.ts';
import { parseAddress4, parseAddress6 } from '../wire/address.ts';

/** Reads the JSON of one value; undefined where it leaves the field as it is (mostly null). */
export type Field<T> = (json: string) => Parsed<T> | undefined;

/** What the fields of an object hold after it was read; absent where nothing was said. */
export type Values<Fields extends Readonly<Record<string, Field<unknown>>>> = {
  -readonly [Name in keyof Fields]?: Fields[Name] extends Field<infer T> ? T : never;
};

/**
 * Reads members into fields.
 * @param faults takes one sentence for each member that cannot be read, `NAME: what and why`
 * @param path before the names in these sentences: `Backend.`
 */
export function readMembers<Fields extends Readonly<Record<string, Field<unknown>>>>(
  members: readonly Member[],
  fields: Fields,
  faults: string[],
  path = '',
): Values<Fields> {
  const names = namesOf(fields);
  const values: Record<string, unknown> = {};
  for (const member of members) {
    const name = names.get(fold(member.name));
    const read = name === undefined ? undefined : fields[name]!(member.text);
    if (name === undefined || read === undefined) continue;
    if (read.ok) values[name] = read.value;
    else faults.push(`${path}${name}: ${read.reason}`);
  }
  return values as Values<Fields>;
}

/** Made once for each set of fields: there are tens of thousands of leases. */
const NAMES = new WeakMap<object, ReadonlyMap<string, string>>();

function namesOf(fields: object): ReadonlyMap<string, string> {
  let names = NAMES.get(fields);
  if (names === undefined) {
    names = new Map(Object.keys(fields).map((name) => [fold(name), name]));
    NAMES.set(fields, names);
  }
  return names;
}

/** One spelling for all that Go takes for one name: K is also the Kelvin sign, S the long s. */
function fold(name: string): string {
  return name.toLowerCase().replaceAll('\u017f', 's');
}

/** `true` or `false`. */
export const bool: Field<boolean> = (json) => {
  if (json === 'null') return undefined;
  if (json === 'true' || json === 'false') return { ok: true, value: json === 'true' };
  return refuse(json, 'must be true or false, without quotes');
};

/** A string of at most so many letters. */
export const text =
  (most: number): Field<string> =>
  (json) => {
    if (json === 'null') return undefined;
    if (json[0] !== '"') return refuse(json, 'must be a text in quotes');
    const value = decodeString(json);
    if (value.length <= most) return { ok: true, value };
    return refuse(json, `is longer than ${most} letters`);
  };

/**
 * A whole number in plain digits, as Go's int and uint: no point, no exponent, and 0 has no sign
 * where there are none below it.
 */
export const whole =
  (least: number, most: number): Field<number> =>
  (json) => {
    if (json === 'null') return undefined;
    const plain = least < 0 ? /^-?[0-9]+$/ : /^[0-9]+$/;
    if (plain.test(json)) {
      const value = Number(json);
      if (value >= least && value <= most) return { ok: true, value: value === 0 ? 0 : value };
      const bound = value < least ? `is under ${least}` : `is over ${most}`;
      return { ok: false, reason: `${shown(json)} ${bound}` };
    }
    const range = most === Number.MAX_SAFE_INTEGER ? '' : ` from ${least} to ${most}`;
    return refuse(json, `must be a whole number${range}, in plain digits`);
  };

/** Any JSON, as it stands there. */
export const raw: Field<string> = (json) => ({ ok: true, value: json });

/**
 * An IPv4 address as a host-order uint32, by flannel's ip.IP4: the letters between the quotes as
 * they are, escapes not undone, and null is none. IPv4 inside of IPv6 is taken (net.ParseIP).
 */
export const address4: Field<number> = (json) => {
  const given = between(json);
  const value = parseAddress4(given) ?? mapped4(given);
  return value === undefined ? refuse(json, 'is not an IPv4 address') : { ok: true, value };
};

/** An IPv6 address as its 16 bytes, by flannel's *ip.IP6; null unsets it, IPv4 is mapped. */
export const address6: Field<Uint8Array | null> = (json) => {
  if (json === 'null') return { ok: true, value: null };
  const given = between(json);
  const value = parseAddress6(parseAddress4(given) === undefined ? given : `::ffff:${given}`);
  return value === undefined ? refuse(json, 'is not an IPv6 address') : { ok: true, value };
};

/** What flannel's methods see of a string: `bytes.Trim(json, "\"")`. Of no string nothing. */
export function between(json: string): string {
  return json[0] === '"' ? json.replace(/^"+|"+$/g, '') : '';
}

/** RFC 4291 §2.5.5.2. */
function mapped4(text: string): number | undefined {
  if (!text.includes(':')) return undefined;
  const bytes = parseAddress6(text);
  if (bytes === undefined || bytes[10] !== 0xff || bytes[11] !== 0xff) return undefined;
  if (bytes.subarray(0, 10).some((byte) => byte !== 0)) return undefined;
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(12);
}

/** A fault of one value: what was found, and why that is none. */
export function refuse(json: string, why: string): { ok: false; reason: string } {
  const found = /^[[{]/.test(json) ? kindOf(json) : shown(json);
  return { ok: false, reason: `${found} ${why}` };
}

/** JSON text as Go's encoder writes it inside of a larger one: safe for HTML. */
export function escapeAsGo(json: string): string {
  return json.replace(/[<>&\u2028\u2029]/g, unicodeEscape);
}
