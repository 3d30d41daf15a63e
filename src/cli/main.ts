import { Command, CommanderError } from 'commander';
import { agentCommand, runCommand } from './agent.ts';
import { type MakeCommand, readCommandLine } from './arguments.ts';
import { readVersions } from './build.ts';
import { completionCommand } from './complete/command.ts';
import { dataplaneCommand } from './dataplane.ts';
import { EXIT, EXIT_HELP, explainEnd } from './exit.ts';
import { flagsCommand } from './flags.ts';
import { printText, tell, tellText } from './format/print.ts';
import type { ReadCommandLine } from './go-flags.ts';
import { checkConfigCommand } from './show/check-config.ts';
import { doctorCommand } from './show/doctor.ts';
import { peersCommand } from './show/peers.ts';
import { pingCommand } from './show/ping.ts';
import { statusCommand } from './show/status.ts';
import { traceCommand } from './show/trace.ts';
import { captureCommand } from './watch/capture.ts';
import { monitorCommand } from './watch/monitor.ts';

/** In the order of the help. */
const COMMANDS: readonly MakeCommand[] = [
  runCommand,
  agentCommand,
  dataplaneCommand,
  statusCommand,
  peersCommand,
  traceCommand,
  pingCommand,
  monitorCommand,
  captureCommand,
  doctorCommand,
  checkConfigCommand,
  completionCommand,
  flagsCommand,
];

/** The words come without the program's own name. */
const FROM_USER = { from: 'user' } as const;

/**
 * Runs one command of weft to its end.
 * @param words the command line without the program
 * @returns the exit code, see EXIT
 */
export async function main(
  words: readonly string[],
  environment: NodeJS.ProcessEnv,
): Promise<number> {
  let code: number = EXIT.ordered;
  const end = (exitCode: number) => {
    code = exitCode;
  };
  const line = readCommandLine(words, environment);
  let shown = '';
  const program = createProgram(environment, end, line, (text) => {
    shown += text;
  });
  try {
    if (words.length === 0) program.outputHelp({ error: true });
    else await program.parseAsync(line.versionAsked ? ['--version'] : [...line.words], FROM_USER);
    return words.length === 0 ? EXIT.configuration : code;
  } catch (error) {
    if (!(error instanceof CommanderError)) return explainEnd(error);
    return shown === '' ? explainUsage(error) : await printShown(shown);
  }
}

/** All of `weft` as commander has it: what completion and the manual are made from, too. */
export function createProgram(
  environment: NodeJS.ProcessEnv,
  end: (exitCode: number) => void,
  line: ReadCommandLine = readCommandLine([], environment),
  writeOut: (text: string) => void = () => {},
): Command {
  const program = new Command('weft')
    .description("flannel's UDP overlay, rebuilt for throughput")
    .version(readVersions().version, '-V, --version', 'show the version')
    .helpOption('-h, --help', 'show this help')
    .addHelpText('after', `\n'weft <command> --help' lists its options.\n\n${EXIT_HELP}`);
  for (const make of COMMANDS) program.addCommand(make(environment, end, line));
  for (const command of [program, ...program.commands]) {
    // Commander writes its errors itself; ours all come out of one place, in one form.
    command.exitOverride().configureOutput({ outputError: () => {}, writeErr: tellText, writeOut });
  }
  return program;
}

/** What --help and --version show arrives here once it is whole. */
async function printShown(text: string): Promise<number> {
  try {
    await printText(text);
    return EXIT.ordered;
  } catch (error) {
    return explainEnd(error);
  }
}

function explainUsage(error: CommanderError): number {
  if (error.code !== 'commander.help') {
    for (const line of error.message.replace(/^error: /, '').split('\n')) tell(line);
  }
  return EXIT.configuration;
}
