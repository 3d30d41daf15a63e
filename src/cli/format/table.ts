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

/** Lines of a table as wide as its content; colour does not count. */
export function renderTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  paint: Paint,
): string[] {
  const cells = rows.map((row) => columns.map(({ cell }) => cell(row)));
  const widths = columns.map(({ head }, index) =>
    cells.reduce((width, row) => Math.max(width, row[index]!.length), head.length),
  );
  const pad = (text: string, index: number) =>
    columns[index]!.right === true ? text.padStart(widths[index]!) : text.padEnd(widths[index]!);
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

/** Breaks a text at its spaces; lines after the first begin with the indent. */
export function wrap(text: string, indent: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    const whole = line === '' ? word : `${line} ${word}`;
    const room = width - indent.length;
    if (whole.length <= room || line === '') line = whole;
    else {
      lines.push(line);
      line = word;
    }
  }
  lines.push(line);
  return lines.map((part) => `${indent}${part}`);
}
