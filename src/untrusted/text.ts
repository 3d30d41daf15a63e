/**
 * Text that somebody else wrote (lease keys and values, etcd's errors, names of interfaces and
 * files, requests) as it may be shown. A terminal obeys control characters, bidirectional controls
 * turn round what a person reads, invisible characters make two names look like one. All of it is
 * shown as JSON would write it, `\u001b`, so one form serves people and programs.
 */

/**
 * What is not shown as it is: controls (C0, DEL, C1), format characters (bidirectional controls,
 * joiners, byte order mark, tags), halves of surrogate pairs, separators of lines and paragraphs,
 * whatever else Unicode says may be ignored, noncharacters, spaces that are not U+0020, and marks
 * piled up on one letter. Sources: Unicode's general categories and UAX #44; UTR #36 on security.
 */
const NOT_SHOWN = new RegExp(
  [
    '[\\p{Cc}\\p{Cf}\\p{Cs}\\p{Zl}\\p{Zp}]',
    '\\p{Default_Ignorable_Code_Point}',
    '\\p{Noncharacter_Code_Point}',
    '(?! )\\p{Zs}',
    '(?<=\\p{M}\\p{M})\\p{M}',
  ].join('|'),
  'gu',
);
const PLAIN = /^[ -~]*$/;

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** An etcd key, a path or a sentence with its cure fits; what is longer was written to annoy. */
export const MOST_CHARACTERS = 1_000;

/**
 * A text as it may be shown on one line: no control of any kind, and at most so many UTF-16 units
 * of it. Doing it twice changes nothing more.
 */
export function escapeText(text: string, most = MOST_CHARACTERS): string {
  if (text.length <= most) return PLAIN.test(text) ? text : text.replace(NOT_SHOWN, escapeOne);
  const more = text.length - most;
  return `${text.slice(0, most).replace(NOT_SHOWN, escapeOne)}… (${more} more characters)`;
}

function escapeOne(character: string): string {
  return SHORT[character] ?? unicodeEscape(character);
}

/** A character as JSON may always write it, `\u001b`: each UTF-16 unit of it (RFC 8259 §7). */
export function unicodeEscape(character: string): string {
  let escaped = '';
  for (let at = 0; at < character.length; at++) {
    escaped += `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`;
  }
  return escaped;
}

/** JSON of the same value with nothing in it that a terminal obeys; line feeds between stay. */
export function escapeJson(json: string): string {
  return json.replace(NOT_SHOWN, (found) => (found === '\n' ? found : escapeOne(found)));
}

/** A value as JSON that may be shown, see `escapeJson`. */
export function toShownJson(value: unknown, indent?: number): string {
  return escapeJson(JSON.stringify(value, null, indent) ?? 'null');
}

/**
 * JSON whose strings, once parsed, are what `escapeText` makes of the former ones: for readers who
 * show them without another look.
 */
export function escapeStringsIn(json: string): string {
  const shown = escapeJson(json);
  return shown.includes('\\') ? shown.replace(/\\(?:u[\da-fA-F]{4}|.)/g, keepEscape) : shown;
}

/** Quotes and strokes are themselves again after parsing; all else stays written out. */
function keepEscape(written: string): string {
  return '"\\/'.includes(written[1]!) ? written : `\\${written}`;
}

const NO_COLUMN = /^\p{M}$/u;
/** Two columns each: UAX #11, East Asian Width W and F, by the scripts and blocks that have it. */
const TWO_COLUMNS = new RegExp(
  [
    '^[\\p{Script=Han}\\p{Script=Hangul}\\p{Script=Hiragana}\\p{Script=Katakana}',
    '\\p{Script=Bopomofo}\\p{Emoji_Presentation}\\u3001-\\u303e\\uff01-\\uff60\\uffe0-\\uffe6]$',
  ].join(''),
  'u',
);

/** Columns that a text takes on a terminal, once escaped. */
export function displayColumns(text: string): number {
  if (PLAIN.test(text)) return text.length;
  let columns = 0;
  for (const character of text) {
    if (!NO_COLUMN.test(character)) columns += TWO_COLUMNS.test(character) ? 2 : 1;
  }
  return columns;
}
