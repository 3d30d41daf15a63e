/**
 * What the demo prints: headings, one line a step, tables. Colours and the moving mark of a step
 * under way appear only on a terminal, and colours only without NO_COLOR (no-color.org); anywhere
 * else each step is exactly one line, written when it is done.
 */
const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const FRAME_MILLISECONDS = 100;
const ERASE_LINE = '\r\u001b[2K';

type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow';
const STYLES: Record<Style, string> = { bold: '1', dim: '2', red: '31', green: '32', yellow: '33' };

/** A line of the result table: what was tried, what came of it, and whether that is as it should be. */
export interface Outcome {
  readonly what: string;
  readonly result: string;
  readonly good: boolean;
}

export interface Screen {
  heading(text: string): void;
  /** Prints lines as they are, indented. */
  lines(lines: readonly string[]): void;
  /**
   * Does `work` under one line: its title, then ✓ and how `work` sums itself up, or ✗. A fault is
   * passed on to the caller after the line is written.
   */
  step<T>(title: string, work: () => Promise<T>, summary?: (value: T) => string): Promise<T>;
  /** A step whose outcome is a finding, not a fault: ✗ does not throw. */
  check(title: string, work: () => Promise<Outcome>): Promise<Outcome>;
  table(rows: readonly (readonly string[])[]): void;
  outcomes(outcomes: readonly Outcome[]): void;
  paint(style: Style, text: string): string;
}

/** A screen on the stream; the stream's own `isTTY` decides what it may do. */
export function createScreen(out: NodeJS.WriteStream, environment: NodeJS.ProcessEnv): Screen {
  const alive = out.isTTY === true && environment.TERM !== 'dumb';
  const coloured = alive && !environment.NO_COLOR;
  const paint = (style: Style, text: string) =>
    coloured ? `\u001b[${STYLES[style]}m${text}\u001b[0m` : text;
  const mark = (good: boolean) => (good ? paint('green', '✓') : paint('red', '✗'));
  const print = (line: string) => out.write(`${line}\n`);
  const finish = (good: boolean, title: string, rest: string) =>
    print(`${alive ? ERASE_LINE : ''}  ${mark(good)} ${title}${rest && paint('dim', `  ${rest}`)}`);

  async function line<T>(
    title: string,
    work: () => Promise<T>,
    judge: (value: T) => { good: boolean; rest: string },
  ): Promise<T> {
    const stopSpinning = alive ? spin(out, title) : () => undefined;
    try {
      const value = await work();
      stopSpinning();
      const { good, rest } = judge(value);
      finish(good, title, rest);
      return value;
    } catch (error) {
      stopSpinning();
      finish(false, title, '');
      throw error;
    }
  }

  return {
    heading: (text) => print(`\n${paint('bold', text)}`),
    lines: (lines) => {
      for (const line of lines) print(line === '' ? '' : `  ${line}`);
    },
    step: (title, work, summary) =>
      line(title, work, (value) => ({ good: true, rest: summary?.(value) ?? '' })),
    check: (title, work) =>
      line(title, work, (outcome) => ({ good: outcome.good, rest: outcome.result })),
    table: (rows) => {
      for (const line of aligned(rows)) print(`  ${line}`);
    },
    outcomes: (outcomes) => {
      const texts = aligned(outcomes.map(({ what, result }) => [what, result]));
      texts.forEach((text, row) => {
        print(`  ${mark(outcomes[row]!.good)} ${text}`);
      });
    },
    paint,
  };
}

/** Turns the mark of a line under way until the result is called. */
function spin(out: NodeJS.WriteStream, title: string): () => void {
  let frame = 0;
  const draw = () => out.write(`\r  ${FRAMES[frame++ % FRAMES.length]} ${title}`);
  draw();
  const timer = setInterval(draw, FRAME_MILLISECONDS);
  return () => clearInterval(timer);
}

/** Rows with every column but the first flush right where it holds numbers, else flush left. */
function aligned(rows: readonly (readonly string[])[]): string[] {
  const columns = Math.max(...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  const numeric = widths.map(
    (_, column) => column > 0 && rows.slice(1).every((row) => /^[\d,. ]*$/.test(row[column] ?? '')),
  );
  return rows.map((row) =>
    row
      .map((cell, column) =>
        numeric[column] ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
      )
      .join('  ')
      .trimEnd(),
  );
}
