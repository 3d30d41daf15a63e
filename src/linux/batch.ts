import { assert } from '../assert.ts';
import { CommandError, type Run } from './command.ts';

/** Programs that take commands line by line on stdin: `-batch -`. */
export type BatchProgram = 'ip' | 'bridge';

/** One process's share: some milliseconds of work a hundred lines, far below its deadline. */
const LINES_A_PROCESS = 1024;
/**
 * Processes that one call may spend on finding lines that end the program. Ten suspects of a
 * thousand lines each take a dozen; more than that is a fault of the host, not of a line.
 */
const SEARCH_PROCESSES = 128;

/** What a batch reads as one word: no quote, no comment, no continuation (iproute2 lib/utils.c). */
const WORD = /^[\w.:@/+-]+$/;

/** Whether a name (of an interface) may stand in a line of a batch. */
export function isBatchWord(text: string): boolean {
  return WORD.test(text);
}

/**
 * Runs every line, each by itself: one that fails holds up no other.
 * @returns why, by index, for the lines that failed
 * @throws CommandError if the program cannot be run or does not answer; some lines may have run
 */
export async function runBatch(
  run: Run,
  program: BatchProgram,
  lines: readonly string[],
): Promise<Map<number, string>> {
  for (const line of lines) {
    assert(line.split(' ').every(isBatchWord), `not a line for a batch: ${line}`);
  }
  const failures = new Map<number, string>();
  const search = new Search(run, program, lines, failures);
  for (let at = 0; at < lines.length; at += LINES_A_PROCESS) {
    await search.runRange(at, Math.min(at + LINES_A_PROCESS, lines.length));
  }
  return failures;
}

/**
 * With -force a program goes on after most failures and names their lines. But some end it on the
 * spot, without a number: `ip neighbour` exits when the kernel refuses. Then the range is halved
 * until the culprit stands alone; lines that run twice do no harm, for they say `replace`, or
 * `delete` what may be gone.
 */
class Search {
  private readonly run: Run;
  private readonly program: BatchProgram;
  private readonly lines: readonly string[];
  private readonly failures: Map<number, string>;
  private left = SEARCH_PROCESSES;

  constructor(
    run: Run,
    program: BatchProgram,
    lines: readonly string[],
    failures: Map<number, string>,
  ) {
    this.run = run;
    this.program = program;
    this.lines = lines;
    this.failures = failures;
  }

  async runRange(first: number, end: number): Promise<void> {
    const death = await this.runOnce(first, end);
    if (death === undefined) return;
    if (end - first === 1) {
      this.failures.set(first, death);
    } else if (this.left < 2) {
      for (let at = first; at < end; at++) this.failures.set(at, `held up by others: ${death}`);
    } else {
      this.left -= 2;
      const middle = (first + end) >> 1;
      await this.runRange(first, middle);
      await this.runRange(middle, end);
    }
  }

  /** @returns what ended the program before its last line; undefined if nothing did */
  private async runOnce(first: number, end: number): Promise<string | undefined> {
    const input = `${this.lines.slice(first, end).join('\n')}\n`;
    for (let at = first; at < end; at++) this.failures.delete(at);
    try {
      await this.run([this.program, '-force', '-batch', '-'], input);
      return undefined;
    } catch (error) {
      if (!(error instanceof CommandError) || error.end === undefined) throw error;
      const { numbered, rest } = readFailures(error.end.stderr);
      for (const [line, reason] of numbered) this.failures.set(first + line - 1, reason);
      // A batch with failures that came to its end exits with 1, its last words being a number.
      if (error.end.code === 1 && rest === '') return undefined;
      return rest === '' ? `ended with code ${error.end.code}` : rest;
    }
  }
}

/** Splits stderr at `Command failed -:LINE`, which follows what was wrong with the line. */
export function readFailures(stderr: string): { numbered: Map<number, string>; rest: string } {
  const numbered = new Map<number, string>();
  let words: string[] = [];
  for (const line of stderr.split('\n')) {
    const match = /^Command failed [^:]*:(\d+)$/.exec(line.trim());
    if (match === null) {
      const said = line.trim().replace(/^(?:RTNETLINK answers|Error): /, '');
      if (said !== '') words.push(said);
    } else {
      numbered.set(Number(match[1]), words.join('; ') || 'refused without a reason');
      words = [];
    }
  }
  return { numbered, rest: words.join('; ') };
}
