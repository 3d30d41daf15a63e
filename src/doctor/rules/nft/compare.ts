/** The right side of a match: whether a value of a packet is in it. */
import { contains, parsePrefix4 } from '../../../wire/address.ts';
import type { Packet } from '../packet.ts';
import { every, not, some, type Truth } from '../truth.ts';
import { type Field, type Json, readField, readNumber } from './field.ts';

/** Elements of a named set or map; undefined where rules themselves change it as packets pass. */
export type SetOf = (name: string) => readonly unknown[] | undefined;

type Known = Extract<Field, { is: 'known' }>;

/** An answer, and what was not understood where it is null. */
export interface Compared {
  readonly truth: Truth;
  readonly why: string;
}

/** One `match` of libnftables-json(5). */
export function compare(packet: Packet, { op, left, right }: Json, setOf: SetOf): Compared {
  const { fields, why, absent } = readKey(packet, left);
  if (absent) return { truth: false, why };
  if (fields === undefined) return { truth: null, why };
  const [first] = fields;
  if (fields.length === 1 && first!.kind === 'state') {
    return { truth: compareState(op, first!, right, setOf), why: 'ct state' };
  }
  if (op === '==' || op === 'in') return { truth: within(fields, right, setOf), why: text(left) };
  if (op === '!=') return { truth: differs(fields, right, setOf), why: text(left) };
  return { truth: fields.length === 1 ? ordered(op, first!, right) : null, why: text(left) };
}

/** Where a hook has no such side, older kernels end the rule, newer ones compare with no name. */
function differs(fields: readonly Known[], right: unknown, setOf: SetOf): Truth {
  const truth = not(within(fields, right, setOf));
  const sideless = fields.some(({ kind, value }) => kind === 'interface' && value === '');
  return truth === true && sideless ? null : truth;
}

const text = (value: unknown): string => JSON.stringify(value);

/** What a concatenation or a single expression looks up. */
export function readKey(packet: Packet, left: unknown) {
  const parts = (left as Json).concat as unknown[] | undefined;
  const fields = (parts ?? [left]).map((part) => readField(packet, part));
  const absent = fields.some(({ is }) => is === 'absent');
  const unknown = fields.find((field) => field.is === 'unknown');
  const why = unknown?.is === 'unknown' ? unknown.why : '';
  return { absent, why, fields: unknown === undefined ? (fields as Known[]) : undefined };
}

/** Whether the key is what stands on the right: a value, a range, a set, ... */
export function within(fields: readonly Known[], right: unknown, setOf: SetOf): Truth {
  if (typeof right === 'string' && right.startsWith('@')) {
    const elements = setOf(right.slice(1));
    return elements === undefined ? null : within(fields, { set: elements }, setOf);
  }
  if (Array.isArray(right)) return some(right.map((item) => within(fields, item, setOf)));
  const { set, concat } = (typeof right === 'object' && right !== null ? right : {}) as Json;
  if (set !== undefined) {
    const elements = Array.isArray(set) ? set : [set];
    return some(elements.map((element) => isElement(fields, element)));
  }
  if (concat !== undefined) return isElement(fields, right);
  return fields.length === 1 ? equals(fields[0]!, right) : null;
}

/** Members of an element that say nothing of whether it matches. */
const REMARKS = new Set(['val', 'timeout', 'expires', 'comment', 'counter']);

/** An element alone, or with what was said of it. `*` is whatever no other element is. */
export function isElement(fields: readonly Known[], element: unknown): Truth {
  if (element === '*') return true;
  const { elem, concat } = (typeof element === 'object' && element !== null ? element : {}) as Json;
  if (elem !== undefined) {
    const members = elem as Json;
    const truth = isElement(fields, members.val);
    const plain = Object.keys(members).every((name) => REMARKS.has(name));
    return plain || truth === false ? truth : null;
  }
  if (concat === undefined) return fields.length === 1 ? equals(fields[0]!, element) : null;
  const parts = concat as unknown[];
  if (parts.length !== fields.length) return null;
  return every(fields.map((field, index) => equals(field, parts[index])));
}

function equals(field: Known, wanted: unknown): Truth {
  const { kind, value } = field;
  if (typeof wanted === 'object' && wanted !== null) return inInterval(field, wanted as Json);
  if (kind === 'interface') return isInterface(`${value}`, wanted);
  if (kind === 'word' || kind === 'state') {
    return typeof wanted === 'string' && /^[a-z]/.test(wanted) ? value === wanted : null;
  }
  const number = readNumber(kind, wanted);
  // A name of /etc/protocols that is not UDP's.
  if (number === undefined && kind === 'protocol' && /^[a-z][\w.-]*$/.test(`${wanted}`)) {
    return false;
  }
  return number === undefined ? null : number === value;
}

/** nft shows a name with a trailing `*` where any ending will do, and an index that has no name. */
function isInterface(name: string, wanted: unknown): Truth {
  if (typeof wanted !== 'string' || /\\|^\d+$/.test(wanted)) return null;
  return wanted.endsWith('*') ? name.startsWith(wanted.slice(0, -1)) : name === wanted;
}

function inInterval({ kind, value }: Known, { prefix, range }: Json): Truth {
  if (prefix !== undefined && kind === 'address') {
    const { addr, len } = prefix as Json;
    const outer = parsePrefix4(`${addr}/${len}`);
    return outer === undefined ? null : contains(outer, value as number);
  }
  if (range === undefined || typeof value !== 'number') return null;
  const [low, high] = (range as unknown[]).map((end) => readNumber(kind, end));
  return low === undefined || high === undefined ? null : low <= value && value <= high;
}

function ordered(op: unknown, { kind, value }: Known, right: unknown): Truth {
  const other = readNumber(kind, right);
  if (other === undefined || typeof value !== 'number') return null;
  if (op === '<') return value < other;
  if (op === '>') return value > other;
  if (op === '<=') return value <= other;
  return op === '>=' ? value >= other : null;
}

/**
 * States are bits, of which a packet has one. `in`: it is one of these; `!`: none of them; with
 * `==` and `!=` the bits of several are one value that no packet has.
 */
function compareState(op: unknown, field: Known, right: unknown, setOf: SetOf): Truth {
  const { set, '|': together } = (typeof right === 'object' && right !== null ? right : {}) as Json;
  if (together !== undefined) return op === '==' ? false : op === '!=' ? true : null;
  const isSet = set !== undefined || (typeof right === 'string' && right.startsWith('@'));
  const among = within([field], right, setOf);
  if (op === 'in' || op === '==') return among;
  if (op === '!') return not(among);
  return op === '!=' && (isSet || !Array.isArray(right)) ? not(among) : null;
}
