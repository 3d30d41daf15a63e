import { displayColumns, escapeText } from '../../untrusted/text.ts';
import type { Paint, Shade } from './terminal.ts';

/** One column of a table: its head, and what it shows of a row. */
export interface Column<Row> {
  readonly head: string;
  readonly right?: boolean;
  readonly cell: (row: Row) => string;
  /** How the cell looks, where it is to stand out. */
  readonly shade?: (row: Row) => Shade | undefined;
}

const GAP = '  ';
/** A cell that takes more is no table's; what it holds was written to be long. */
const MOST_CELL_CHARACTERS = 300;

/** Lines of a table as wide as its content, once escaped; colour does not count. */
export function renderTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  paint: Paint,
): string[] {
  const cells = rows.map((row) =>
    columns.map(({ cell }) => escapeText(cell(row), MOST_CELL_CHARACTERS)),
  );
  const widths = columns.map(({ head }, index) =>
    cells.reduce((width, row) => Math.max(width, displayColumns(row[index]!)), head.length),
  );
  const pad = (text: string, index: number) => {
    const missing = ' '.repeat(Math.max(0, widths[index]! - displayColumns(text)));
    return columns[index]!.right === true ? missing + text : text + missing;
  };
  const head = columns.map((column, index) => paint('strong', pad(column.head, index)));
  const body = cells.map((texts, at) =>
    texts.map((text, index) => {
      const shade = columns[index]!.shade?.(rows[at]!);
      return shade === undefined ? pad(text, index) : paint(shade, pad(text, index));
    }),
  );
  return [head, ...body].map((texts) => texts.join(GAP).trimEnd());
}

/** A number of columns that everybody's terminal has. */
export const NARROW = 80;
/** A screen full: many faults of one thing, each with its cure. */
const MOST_WRAPPED_CHARACTERS = 4_000;

/** Breaks a text, once escaped, at its spaces; lines after the first begin with the indent. */
export function wrap(text: string, indent: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of escapeText(text, MOST_WRAPPED_CHARACTERS).split(' ')) {
    const whole = line === '' ? word : `${line} ${word}`;
    const room = width - indent.length;
    if (displayColumns(whole) <= room || line === '') line = whole;
    else {
      lines.push(line);
      line = word;
    }
  }
  lines.push(line);
  return lines.map((part) => `${indent}${part}`);
}
