import type { Fault } from '../agent/fault.ts';
import type { ApiError } from '../api/client.ts';
import type { ConfigError } from '../config.ts';
import { tell } from './format/print.ts';
import { explainLimit } from './start/resource-limits.ts';

/** What the process says of its end to whoever started it. */
export const EXIT = {
  /** Ended because it was asked to. */
  ordered: 0,
  /** A mistake of weft's own. */
  unexpected: 1,
  /** Options that cannot work: starting again will not help. */
  configuration: 2,
  /** The host lacks something, or something is in the way. */
  environment: 3,
  /** Forwarding ended: a worker died, or the subnet is another. Starting again helps. */
  dataplane: 4,
  /** No weft answers on its socket, or it refuses. */
  unanswered: 5,
  /** A command that looks at things found something wrong. */
  trouble: 6,
} as const;

/** The same, for the end of the help. */
export const EXIT_HELP = `Exit codes:
  0  ended by SIGTERM or SIGINT, weft dataplane by SIGHUP too (a second signal kills at once)
  1  a mistake of weft's own; please report it
  2  options or files that cannot work
  3  the host: no /dev/net/tun, no CAP_NET_ADMIN, port or address taken, foreign route or device
  4  forwarding ended: a packet worker died, or the subnet is another; starting again helps`;

/** Tells each fault on a line of its own on stderr; the result is the exit code. */
export function explainEnd(error: unknown): number {
  const [code, lines] = classify(error);
  for (const line of lines) tell(line);
  // process.exit joins every thread first, and so would wait for the one that hangs.
  if (error instanceof Error && isHang(error)) process.kill(process.pid, 'SIGKILL');
  return code;
}

/** By the name of the error, so that a command loads only what it uses itself. */
function classify(error: unknown): [code: number, lines: readonly string[]] {
  if (!(error instanceof Error)) return [EXIT.unexpected, [`${error}`]];
  switch (error.name) {
    case 'ApiError':
      return [EXIT.unanswered, [error.message, (error as ApiError).cure]];
    case 'ConfigError':
    case 'SourceOptionsError':
      return [EXIT.configuration, (error as ConfigError).faults];
    case 'Fault': {
      const { kind } = error as Fault;
      return [EXIT[kind === 'hang' ? 'dataplane' : kind], [error.message]];
    }
    case 'NoRawSocket':
    case 'OutputError':
    case 'ListenError':
    case 'SocketError':
    case 'CommandError':
    case 'SyscallError':
      return [EXIT.environment, [error.message]];
    default:
      return classifyOther(error);
  }
}

/** A limit of the host's, or a mistake of ours. */
function classifyOther(error: Error): [code: number, lines: readonly string[]] {
  const limit = explainLimit(error);
  if (limit !== undefined) return [EXIT.environment, [limit]];
  return [EXIT.unexpected, unexpected(error)];
}

function isHang(error: Error): boolean {
  return error.name === 'Fault' && (error as Fault).kind === 'hang';
}

/** The message is one line, whatever somebody wrote into it; the frames of the stack are ours. */
function unexpected(error: Error): string[] {
  const frames = (error.stack ?? '').split('\n').filter((line) => /^ {4}at /.test(line));
  return [`${error.name}: ${error.message}`, ...frames];
}
