/** What flanneld's JSON looks like, for Go's encoding/json made it; source: that package's doc. */

/** A parsed thing, or why it could not be parsed, in words for an operator. */
export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly reason: string };

/** Text to a JSON object (not a list, not null). */
export function parseObject(text: string): Parsed<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { ok: false, reason: `not JSON: ${(error as Error).message}` };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { ok: false, reason: 'not a JSON object' };
  }
  return { ok: true, value: value as Record<string, unknown> };
}

/** Names of members by their lower-case spelling, for `foldKeys`. */
export function spellings(names: readonly string[]): ReadonlyMap<string, string> {
  return new Map(names.map((name) => [name.toLowerCase(), name]));
}

/**
 * Picks the named members as Go's decoder does: letter case does not matter, of several spellings
 * the last in the text wins, other members are ignored.
 */
export function foldKeys(
  object: Record<string, unknown>,
  names: ReadonlyMap<string, string>,
): Record<string, unknown> {
  const picked: Record<string, unknown> = {};
  for (const key of Object.keys(object)) {
    const name = names.get(key.toLowerCase());
    if (name !== undefined) picked[name] = object[key];
  }
  return picked;
}

/** JSON as Go's encoder writes it: compact, and safe inside HTML, which JSON.stringify is not. */
export function formatAsGo(value: unknown): string {
  return JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
