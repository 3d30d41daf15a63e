/**
 * JSON that others wrote. Nothing here builds a tree or calls itself: a text is measured, then gone
 * over once from left to right (RFC 8259), and cut into the texts of its members. So work and
 * memory go with the length, which is bounded, and never with how deep or wide the text is.
 */
import { shown } from './shown.ts';

/** A parsed thing, or why it could not be parsed, in words for an operator. */
export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly reason: string };

/** How much of a foreign text is looked at. */
export interface JsonLimit {
  /** Of the text in UTF-8. */
  readonly bytes: number;
  /** Objects and lists within each other, the outermost counted. */
  readonly depth: number;
  /** Of the outermost object, repeated names too; left out where the bytes alone keep them few. */
  readonly members?: number;
}

/** flannel's own values are 2 deep, what people add by hand 4. */
const DEPTH = 16;

/** A /8 cut into /24 has 65,536, and each may lie there under both forms of its key. */
const LEASES = 131_072;

/** Every bound on what others write, in one place, each with its reason. */
export const LIMITS = {
  /** The longest that flannel writes, vxlan on both families, has 250 bytes; etcd takes 1.5 MB. */
  leaseValue: { bytes: 4 * 1024, depth: DEPTH },
  /** Names of members as well as values: an extension backend has whole commands in it. */
  networkConfig: { bytes: 64 * 1024, depth: DEPTH },
  /** All leases that there may be, at 250 bytes each; one level more than a value has. So many
   *  bytes hold five million members of no use, which are half a minute's work. */
  leaseFile: { bytes: 32 * 1024 * 1024, depth: DEPTH + 1, members: LEASES },
  /** Answers of the API: 65,536 peers of 400 bytes and the counters around them. */
  apiAnswer: { bytes: 64 * 1024 * 1024, depth: 32 },
  /** `nft -j`: rulesets of others, nested as deep as expressions are in them. */
  program: { bytes: 256 * 1024 * 1024, depth: 128 },
  /** The longest key of both families has 62 bytes; etcd takes 1.5 MB. */
  leaseKeyBytes: 128,
  leases: LEASES,
  /** Four lines, or some more of others. */
  subnetFileBytes: 64 * 1024,
  /** All roots of a distribution are 220 kB. */
  pemBytes: 1024 * 1024,
  passwordBytes: 4 * 1024,
} as const;

/** One member of an object. */
export interface Member {
  /** As JSON means it, escapes undone. */
  readonly name: string;
  /** The JSON of its value as it stands in the text: a slice, which keeps all of the text alive. */
  readonly text: string;
}

/**
 * Cuts an object into its members, in their order, repeated names too. What is no JSON, no object,
 * too long or too deep is refused with the place of the fault.
 */
export function splitObject(text: string, limit: JsonLimit): Parsed<Member[]> {
  return scan(text, limit, (scanner) => {
    if (scanner.peek() === '{') return scanner.object(limit.members);
    scanner.value();
    scanner.end();
    return scanner.fail(`not a JSON object but ${kindOf(text)}`);
  });
}

/** Whether a text is JSON within the limit: then `JSON.parse` can do no harm. */
export function checkJson(text: string, limit: JsonLimit): Parsed<undefined> {
  return scan(text, limit, (scanner) => {
    scanner.value();
    scanner.end();
    return undefined;
  });
}

/** The tree of a text, for what our own programs answered. */
export function parseJson(text: string, limit: JsonLimit): Parsed<unknown> {
  const checked = checkJson(text, limit);
  return checked.ok ? { ok: true, value: JSON.parse(text) } : checked;
}

/**
 * The last line of defence: a mistake of ours that a foreign text has found costs that text alone,
 * and not the process.
 */
export function guarded<T>(read: () => Parsed<T>): Parsed<T> {
  try {
    return read();
  } catch (error) {
    const reason = `weft cannot handle it (please report it): ${shown(String(error))}`;
    return { ok: false, reason };
  }
}

/** What a JSON string means; half surrogate pairs become U+FFFD, as Go's decoder has it. */
export function decodeString(json: string): string {
  const text: string = JSON.parse(json);
  return /[\ud800-\udfff]/.test(text) ? Buffer.from(text).toString() : text;
}

/** `a list`, `a text`...: what a valid JSON text is, for a sentence. */
export function kindOf(json: string): string {
  const first = json.trimStart()[0] ?? '';
  const kinds: Readonly<Record<string, string>> = {
    ...{ '{': 'an object', '[': 'a list', '"': 'a text' },
    ...{ t: 'true', f: 'false', n: 'null' },
  };
  return kinds[first] ?? 'a number';
}

/** JSON without blanks outside of its strings, in memory of its own. */
export function compact(json: string): string {
  const pieces: string[] = [];
  let from = 0;
  for (let at = 0; at < json.length; at++) {
    const letter = json[at]!;
    if (letter === '"') at = endOfString(json, at) - 1;
    else if (BLANK.includes(letter)) {
      pieces.push(json.slice(from, at));
      from = at + 1;
    }
  }
  pieces.push(json.slice(from));
  // A slice, or a text joined of one, would keep what it was cut from.
  return Buffer.from(pieces.join('')).toString();
}

const BLANK = ' \t\n\r';
const SCALAR = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null/y;
const ESCAPE = /["\\/bfnrt]|u[0-9a-fA-F]{4}/y;

/** Where a string ends, after its last quote; of one without an end, the text's. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === '"') return at + 1;
  }
  return text.length;
}

/** Why a text is refused; never leaves this file. */
class Refusal extends Error {}

function scan<T>(text: string, limit: JsonLimit, work: (scanner: Scanner) => T): Parsed<T> {
  // A text has at least as many bytes as letters, so most long ones need no counting.
  const bytes = text.length > limit.bytes ? text.length : Buffer.byteLength(text);
  if (bytes > limit.bytes) return { ok: false, reason: tooLong(bytes, limit.bytes) };
  try {
    return { ok: true, value: work(new Scanner(text, limit.depth)) };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { ok: false, reason: error.message };
  }
}

/** The sentence on what is longer than a limit. */
export function tooLong(bytes: number, limit: number): string {
  return `too long: ${bytes} bytes, where at most ${limit} are taken`;
}

class Scanner {
  readonly #text: string;
  readonly #depth: number;
  #at = 0;

  constructor(text: string, depth: number) {
    this.#text = text;
    this.#depth = depth;
  }

  /** The next letter that is no blank, or undefined at the end. */
  peek(): string | undefined {
    while (BLANK.includes(this.#text[this.#at] ?? '.')) this.#at += 1;
    return this.#text[this.#at];
  }

  object(most = Number.POSITIVE_INFINITY): Member[] {
    const members: Member[] = [];
    this.#at += 1;
    if (this.peek() === '}') this.#at += 1;
    else {
      do {
        const name = this.#name();
        this.peek();
        const start = this.#at;
        this.value(1);
        if (members.length === most) this.fail(`longer than ${most} entries`);
        members.push({ name: decodeString(name), text: this.#text.slice(start, this.#at) });
      } while (this.#goesOn('}'));
    }
    this.end();
    return members;
  }

  /** Passes over one value, which lies in so many objects and lists already. */
  value(outer = 0): void {
    const open: ('}' | ']')[] = [];
    for (;;) {
      const first = this.peek();
      if (first === '{' || first === '[') {
        const close = first === '{' ? '}' : ']';
        if (outer + open.length >= this.#depth) this.fail(`nested more than ${this.#depth} deep`);
        this.#at += 1;
        if (this.peek() !== close) {
          open.push(close);
          if (close === '}') this.#name();
          continue;
        }
        this.#at += 1;
      } else this.#scalar(first);
      for (;;) {
        const close = open.at(-1);
        if (close === undefined) return;
        if (this.#goesOn(close)) {
          if (close === '}') this.#name();
          break;
        }
        open.pop();
      }
    }
  }

  end(): void {
    if (this.peek() !== undefined) this.#unexpected('after the value');
  }

  fail(reason: string): never {
    throw new Refusal(reason);
  }

  /** After a value: true for a comma, false for the end of what it lies in. */
  #goesOn(close: '}' | ']'): boolean {
    const next = this.peek();
    if (next !== ',' && next !== close) this.#unexpected(`in place of , or ${close}`);
    this.#at += 1;
    return next === ',';
  }

  /** The name of a member with its quotes, and the colon after it. */
  #name(): string {
    if (this.peek() !== '"') this.#unexpected('in place of a name in quotes');
    const start = this.#at;
    this.#string();
    const name = this.#text.slice(start, this.#at);
    if (this.peek() !== ':') this.#unexpected('in place of :');
    this.#at += 1;
    return name;
  }

  #scalar(first: string | undefined): void {
    if (first === '"') {
      this.#string();
      return;
    }
    SCALAR.lastIndex = this.#at;
    if (!SCALAR.test(this.#text)) this.#unexpected('in place of a value');
    this.#at = SCALAR.lastIndex;
  }

  #string(): void {
    for (this.#at += 1; ; this.#at += 1) {
      const code = this.#text.charCodeAt(this.#at);
      if (code === 0x22) break;
      if (code < 0x20 || Number.isNaN(code)) this.#unexpected('in a text in quotes');
      if (code !== 0x5c) continue;
      ESCAPE.lastIndex = this.#at + 1;
      if (!ESCAPE.test(this.#text)) this.#unexpected('begins an escape that JSON does not know');
      this.#at = ESCAPE.lastIndex - 1;
    }
    this.#at += 1;
  }

  #endOfLine(from: number): number {
    const end = this.#text.indexOf('\n', from);
    return end < 0 ? this.#text.length : end;
  }

  #unexpected(what: string): never {
    let line = 1;
    let start = 0;
    for (let end = this.#endOfLine(0); end < this.#at; end = this.#endOfLine(start)) {
      line += 1;
      start = end + 1;
    }
    const column = this.#at - start + 1;
    const found = this.#text[this.#at];
    const letter = found === undefined ? 'it ends' : shown(found);
    this.fail(`not JSON: line ${line}, column ${column}: ${letter} ${what}`);
  }
}
