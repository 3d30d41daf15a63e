import { setTimeout as pause } from 'node:timers/promises';
import { Command, Option } from 'commander';
import { ApiError } from '../../api/client.ts';
import { DEFAULT_SOCKET } from '../../api/server.ts';
import type { MakeCommand } from '../arguments.ts';
import { EXIT } from '../exit.ts';
import { isTerminal, print, printInPlace, printJson } from '../format/print.ts';
import { type Paint, paintFor } from '../format/terminal.ts';

/** What the help of a command that looks says. */
export interface LookHelp {
  readonly name: string;
  readonly summary: string;
  readonly description: string;
  readonly examples: string;
}

/** What every such command was told. */
export interface Look {
  readonly socket: string;
  readonly output: 'table' | 'json';
  readonly paint: Paint;
  readonly environment: NodeJS.ProcessEnv;
}

/** One answer in both forms, and what it means for the exit code. */
export interface Seen {
  readonly json: unknown;
  readonly lines: readonly string[];
  readonly exit: number;
}

export const LOOK_EXIT_HELP = `Exit codes:
  0  looked, and found nothing wrong
  1  a mistake of weft's own; please report it
  2  the command line cannot work
  3  this host lacks what the command needs, or the output cannot be written
  5  no weft answers on the socket, or it refuses
  6  looked, and something is wrong; the output says what`;

const VARIABLE = 'WEFT_API_SOCKET';

/** A command that looks and says what it sees; `configure` adds its own options and arguments. */
export function lookCommand(
  { name, summary, description, examples }: LookHelp,
  configure: (command: Command) => Command,
  act: (look: Look, command: Command) => Promise<number>,
): MakeCommand {
  return (environment, end) => {
    const command = new Command(name)
      .summary(summary)
      .description(description)
      .addOption(outputOption())
      .addHelpText('after', `\nExamples:\n${examples}\n\n${LOOK_EXIT_HELP}`)
      .helpOption('-h, --help', 'show this help');
    return configure(command).action(async () => {
      const options = command.opts<{ output: Look['output']; apiSocket?: string }>();
      const paint = paintFor(isTerminal(), environment);
      const socket = socketOf(options.apiSocket, environment);
      const { output } = options;
      const found = { socket, output, paint, environment };
      end(await act(found, command));
    });
  };
}

/** What every command that looks can be asked for. */
export function outputOption(): Option {
  return new Option('-o, --output <form>', 'for people or for programs')
    .choices(['table', 'json'])
    .default('table');
}

/** The option of commands that ask a running weft. */
export function withSocket(command: Command): Command {
  const help = `where weft serves its API (default: ${DEFAULT_SOCKET}, or ${VARIABLE})`;
  return command.option('--api-socket <path>', help);
}

/** The option of commands that can be looked at for a while. */
export function withWatch(command: Command): Command {
  return command.option('-w, --watch [seconds]', 'look again every so often, 2 s if not said');
}

/** Where weft is asked: what was said, else the environment, else where it is by default. */
export function socketOf(given: string | undefined, environment: NodeJS.ProcessEnv): string {
  return (given ?? environment[VARIABLE] ?? '') || DEFAULT_SOCKET;
}

/** Writes one answer to stdout; the result is its exit code. */
export async function show({ output }: Look, { json, lines, exit }: Seen): Promise<number> {
  if (output === 'json') await printJson(json, 2);
  else await print(lines);
  return exit;
}

/**
 * Looks once, or until Ctrl-C with --watch: in place on a terminal, one after the other elsewhere,
 * and a line of JSON each with -o json. A weft that is away for a while is waited for.
 */
export async function showOrWatch(
  look: Look,
  command: Command,
  see: () => Promise<Seen>,
): Promise<number> {
  const { watch } = command.opts<{ watch?: true | string }>();
  if (watch === undefined) return await show(look, await see());
  const seconds = watch === true ? 2 : Number(watch);
  if (!(seconds >= 0.1 && seconds <= 3_600)) {
    command.error(`--watch takes 0.1 to 3600 seconds, not '${watch}'`);
  }
  const stop = new AbortController();
  const asked = () => stop.abort();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, asked);
  while (!stop.signal.aborted) {
    if (!(await printAgain(look, await seeOrExplain(look, see)))) break;
    await pause(seconds * 1000, undefined, { signal: stop.signal }).catch(() => undefined);
  }
  return EXIT.ordered;
}

/** @returns whether somebody still reads */
function printAgain({ output }: Look, { json, lines }: Seen): Promise<boolean> {
  if (output === 'json') return printJson(json);
  return isTerminal() ? printInPlace(lines) : print([...lines, '']);
}

async function seeOrExplain({ paint }: Look, see: () => Promise<Seen>): Promise<Seen> {
  try {
    return await see();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const { message, cure } = error;
    const json = { error: message, cure };
    return { json, lines: [paint('bad', message), cure], exit: EXIT.unanswered };
  }
}
