import { Fault } from '../agent/fault.ts';
import { ApiError } from '../api/client.ts';
import { SocketError } from '../api/server.ts';
import { ConfigError } from '../config.ts';
import { SourceOptionsError } from '../lease/source.ts';
import { CommandError } from '../linux/command.ts';
import { ListenError } from '../observe/http.ts';
import { NoRawSocket } from '../probe/socket.ts';
import { OutputError, tell } from './format/print.ts';

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
  if (error instanceof Fault && error.kind === 'hang') process.kill(process.pid, 'SIGKILL');
  return code;
}

function classify(error: unknown): [code: number, lines: readonly string[]] {
  if (error instanceof NoRawSocket || error instanceof OutputError) {
    return [EXIT.environment, [error.message]];
  }
  if (error instanceof ApiError) return [EXIT.unanswered, [error.message, error.cure]];
  if (error instanceof ConfigError || error instanceof SourceOptionsError) {
    return [EXIT.configuration, error.faults];
  }
  if (error instanceof Fault) {
    return [EXIT[error.kind === 'hang' ? 'dataplane' : error.kind], [error.message]];
  }
  if (
    error instanceof ListenError ||
    error instanceof SocketError ||
    error instanceof CommandError
  ) {
    return [EXIT.environment, [error.message]];
  }
  if (error instanceof Error && error.name === 'SyscallError') {
    return [EXIT.environment, [error.message]];
  }
  return [EXIT.unexpected, unexpected(error)];
}

/** The message is one line, whatever somebody wrote into it; the frames of the stack are ours. */
function unexpected(error: unknown): string[] {
  if (!(error instanceof Error)) return [`${error}`];
  const frames = (error.stack ?? '').split('\n').filter((line) => /^ {4}at /.test(line));
  return [`${error.name}: ${error.message}`, ...frames];
}
