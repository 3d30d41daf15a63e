/** Sources as plain text for the tidy test: no compiler API, which a new compiler may move. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

export interface Source {
  /** Relative to the repository, such as src/tun/read.ts. */
  readonly path: string;
  readonly text: string;
  /** Lines with comments blanked out. */
  readonly lines: readonly string[];
}

export function source(path: string, text: string): Source {
  return { path, text, lines: blankComments(text).split('\n') };
}

/** Sources below a folder whose names end in one of the endings, by path. */
export function readSources(root: string, folder: string, endings: readonly string[]): Source[] {
  const entries = readdirSync(join(root, folder), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && endings.some((ending) => entry.name.endsWith(ending)))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort()
    .map((file) => source(relative(root, file), readFileSync(file, 'utf8')));
}

const STRINGS = /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/;
const COMMENTS = /\/\*[\s\S]*?\*\/|\/\/[^\n]*/;
const EITHER = new RegExp(`${STRINGS.source}|${COMMENTS.source}`, 'g');

/** Comments become empty, lines stay lines. */
export function blankComments(text: string): string {
  return text.replace(EITHER, (found) => (found.startsWith('/') ? keepLines(found) : found));
}

/** Strings become empty as well; for checks that look at structure alone. */
export function blankStrings(text: string): string {
  return text.replace(EITHER, (found) => (found.startsWith('/') ? keepLines(found) : "''"));
}

function keepLines(text: string): string {
  return text.replace(/[^\n]/g, '');
}

export interface Span {
  readonly name: string;
  /** Line indices, both included. */
  readonly first: number;
  readonly last: number;
}

const NAMED = /\bfunction\*? (\w+)|^\s*(?:export )?const (\w+) = .*=> \{$/;
const METHOD = /^\s+(?:(?:private|public|protected|static|async|override|get|set) )*(\w+)\(.*\{$/;
const STATEMENT = /^\s*(?:\} )?(?:if|else|for|while|switch|do|try|catch|describe)\b/;

/**
 * Functions as line spans, found by the layout that the formatter gives them: a head that ends in
 * `{` and the first line behind it, at the same indent, that begins with `}`.
 */
export function functions(lines: readonly string[]): Span[] {
  const spans: Span[] = [];
  lines.forEach((line, index) => {
    if (!line.endsWith('{') || STATEMENT.test(line)) return;
    const head = /^\s*\)/.test(line) ? headStart(lines, index) : index;
    const start = lines[head]!;
    const isFunction = /\bfunction\b|=> \{$/.test(`${start} ${line}`) || METHOD.test(line);
    if (!isFunction && !/^\s*\).*\{$/.test(line)) return;
    if (STATEMENT.test(start)) return;
    const name = NAMED.exec(start) ?? METHOD.exec(start) ?? /(\w+)\($/.exec(start);
    const last = closing(lines, index);
    spans.push({ name: name?.slice(1).find(Boolean) ?? '', first: head, last });
  });
  return spans;
}

/** The line of a head that the formatter broke over several: same indent, ends in `(`. */
function headStart(lines: readonly string[], index: number): number {
  const indent = indentOf(lines[index]!);
  for (let i = index - 1; i >= 0; i--) {
    if (lines[i] !== '' && indentOf(lines[i]!) === indent) return i;
  }
  return index;
}

function closing(lines: readonly string[], index: number): number {
  const indent = indentOf(lines[index]!);
  for (let i = index + 1; i < lines.length; i++) {
    if (lines[i]!.trimStart().startsWith('}') && indentOf(lines[i]!) === indent) return i;
  }
  return lines.length - 1;
}

function indentOf(line: string): number {
  return line.length - line.trimStart().length;
}
