import { Command, CommanderError } from 'commander';
import { type MakeCommand, readCommandLine } from './arguments.ts';
import { EXIT, EXIT_HELP } from './exit.ts';
import { printText, tell, tellText } from './format/print.ts';
import type { ReadCommandLine } from './go-flags.ts';
import { ownVersion } from './start/versions.ts';

type Loader = () => Promise<MakeCommand>;

/** In the order of the help; each command is loaded only where it is wanted. */
const COMMANDS: Readonly<Record<string, Loader>> = {
  run: async () => (await import('./agent.ts')).runCommand,
  agent: async () => (await import('./agent.ts')).agentCommand,
  dataplane: async () => (await import('./dataplane.ts')).dataplaneCommand,
  status: async () => (await import('./show/status.ts')).statusCommand,
  peers: async () => (await import('./show/peers.ts')).peersCommand,
  trace: async () => (await import('./show/trace.ts')).traceCommand,
  ping: async () => (await import('./show/ping.ts')).pingCommand,
  monitor: async () => (await import('./watch/monitor.ts')).monitorCommand,
  capture: async () => (await import('./watch/capture.ts')).captureCommand,
  doctor: async () => (await import('./show/doctor.ts')).doctorCommand,
  'check-config': async () => (await import('./show/check-config.ts')).checkConfigCommand,
  completion: async () => (await import('./complete/command.ts')).completionCommand,
  flags: async () => (await import('./flags.ts')).flagsCommand,
};

/** The words come without the program's own name. */
const FROM_USER = { from: 'user' } as const;

/** What a program is made for. */
export interface Purpose {
  readonly environment: NodeJS.ProcessEnv;
  /** Told the exit code of the command that ran. */
  readonly end: (exitCode: number) => void;
  readonly line?: ReadCommandLine;
  /** Takes what --help and --version show. */
  readonly writeOut?: (text: string) => void;
  /** The one command that is needed; all of them where it is left out. */
  readonly only?: string | undefined;
}

/**
 * Runs the command that the words name to its end.
 * @returns the exit code, see EXIT
 * @throws what the command throws
 */
export async function runProgram(
  words: readonly string[],
  environment: NodeJS.ProcessEnv,
): Promise<number> {
  let code: number = EXIT.ordered;
  const end = (exitCode: number) => {
    code = exitCode;
  };
  const line = readCommandLine(words, environment);
  let shown = '';
  const writeOut = (text: string) => {
    shown += text;
  };
  const only = soleCommand(words);
  const program = await createProgram({ environment, end, line, writeOut, only });
  try {
    if (words.length === 0) program.outputHelp({ error: true });
    else await program.parseAsync(line.versionAsked ? ['--version'] : [...line.words], FROM_USER);
    return words.length === 0 ? EXIT.configuration : code;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (shown === '') return explainUsage(error);
    await printText(shown);
    return EXIT.ordered;
  }
}

/** A completion knows of all commands, and so do the help and whoever looks for a name like it. */
function soleCommand([first = '']: readonly string[]): string | undefined {
  return Object.hasOwn(COMMANDS, first) && first !== 'completion' ? first : undefined;
}

/** All of `weft` as commander has it: what completion and the manual are made from, too. */
export async function createProgram(purpose: Purpose): Promise<Command> {
  const { environment, end, only } = purpose;
  const { line = readCommandLine([], environment), writeOut = () => {} } = purpose;
  const program = new Command('weft')
    .description("flannel's UDP overlay, rebuilt for throughput")
    .version(ownVersion(), '-V, --version', 'show the version')
    .helpOption('-h, --help', 'show this help')
    .addHelpText('after', `\n'weft <command> --help' lists its options.\n\n${EXIT_HELP}`);
  const wanted = Object.entries(COMMANDS).filter(([name]) => only === undefined || name === only);
  const makers = await Promise.all(wanted.map(([, load]) => load()));
  for (const make of makers) program.addCommand(make(environment, end, line));
  for (const command of [program, ...program.commands]) {
    // Commander writes its errors itself; ours all come out of one place, in one form.
    command.exitOverride().configureOutput({ outputError: () => {}, writeErr: tellText, writeOut });
  }
  return program;
}

function explainUsage(error: CommanderError): number {
  if (error.code !== 'commander.help') {
    // Commander's own second line; what was typed may hold others.
    const lines = error.message.replace(/^error: /, '').split(/\n(?=\(Did you mean )/);
    for (const line of lines) tell(line);
  }
  return EXIT.configuration;
}
