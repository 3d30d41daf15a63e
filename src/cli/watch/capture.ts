import type { IncomingMessage } from 'node:http';
import { Command } from 'commander';
import { ApiError } from '../../api/client.ts';
import { isCut, openStream } from '../../api/stream/client.ts';
import { DEFAULTS, LIMITS } from '../../api/stream/paths.ts';
import { BlockCutter, BrokenStream, type StreamTotals } from '../../watch/blocks.ts';
import { interfaceStatistics } from '../../watch/pcapng.ts';
import type { MakeCommand } from '../arguments.ts';
import { EXIT } from '../exit.ts';
import { isTerminal, tell } from '../format/print.ts';
import { formatBytes } from '../format/quantity.ts';
import { socketOf, withSocket } from '../show/asking.ts';
import { openFile, type Sink, STDOUT_SINK } from './sink.ts';
import { filterOf, size, whole, withFilter } from './terms.ts';
import { untilAborted } from './until-aborted.ts';

const STDOUT = '-';

const DESCRIPTION = `Writes the inner packets of a running weft as pcapng, with their direction,
and in comments the peer and why a packet was dropped. Ends with Ctrl-C or at a bound. Packets that
find no room on their way here are counted at the end and in the file; forwarding never waits.`;

const EXAMPLES = `Examples:
  weft capture -w cut.pcapng net 10.244.2.0/24 and tcp     then: tshark -r cut.pcapng
  weft capture -w - drops | tshark -r - -T fields -e frame.comment -e ip.src -e ip.dst
  weft capture -w head.pcapng --snap 128 -t 60 --size 100M peer 192.0.2.7

A packet that the TUN hands over for many (TSO) is one packet of up to 64 KiB here, as in
tcpdump -i flannel0.`;

const EXIT_HELP = `Exit codes:
  0  captured until Ctrl-C, a bound, or the end of who reads -
  1  a mistake of weft's own; please report it
  2  the command line cannot work
  3  the output cannot be written
  5  no weft answers on the socket, it refuses, or it ended meanwhile`;

export const captureCommand: MakeCommand = (environment, end) => {
  const command = new Command('capture')
    .summary('write packets to a pcapng file or pipe')
    .description(DESCRIPTION);
  withSocket(withFilter(command))
    .option('-w, --write <file>', 'the file, replaced if it is there; - is standard output', STDOUT)
    .option('-c, --count <packets>', 'end after so many', whole(LIMITS.count))
    .option(
      '-t, --seconds <seconds>',
      `end after so long (default: ${DEFAULTS.seconds})`,
      whole(LIMITS.seconds),
    )
    .option('-s, --snap <bytes>', 'keep so much of each packet (default: all)', whole(LIMITS.snap))
    .option(
      '--size <bytes>',
      'end before the file is longer, such as 500k or 2G (default: 1G)',
      size(LIMITS.bytes),
    )
    .addHelpText('after', `\n${EXAMPLES}\n\n${EXIT_HELP}`)
    .helpOption('-h, --help', 'show this help');
  return command.action(async () => {
    const options = command.opts<Record<string, string | undefined>>();
    const { count, seconds, snap, size: bytes, write: path = STDOUT } = options;
    if (path === STDOUT && isTerminal()) {
      command.error(
        'this is a terminal, and pcapng is no text: -w FILE, or a pipe such as | tshark -r -',
      );
    }
    const parameters = { filter: filterOf(command), count, seconds, snap, bytes };
    const socket = socketOf(options.apiSocket, environment);
    // First the stream: where there is none, no file is replaced.
    const stream = await openStream(socket, 'capture', parameters);
    end(await writeTo(path, stream));
  });
};

async function writeTo(path: string, stream: IncomingMessage): Promise<number> {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  try {
    const sink = path === STDOUT ? STDOUT_SINK : await openFile(path);
    tell(`capturing to ${sink.name}; Ctrl-C ends it`);
    const totals = await copy(stream, sink, stop);
    await sink.close();
    return report(sink.name, totals, stop);
  } catch (error) {
    stream.destroy();
    if (!(error instanceof BrokenStream)) throw error;
    const cure = 'weft and this command are of different versions: update one of them';
    throw new ApiError('broken', error.message, cure);
  }
}

/** Copies whole blocks until either end ends, and closes the file where weft did not. */
async function copy(
  stream: IncomingMessage,
  sink: Sink,
  stop: AbortController,
): Promise<StreamTotals> {
  const { signal } = stop;
  const cutter = new BlockCutter();
  const beganMicros = Date.now() * 1000;
  const destroy = () => stream.destroy();
  signal.addEventListener('abort', destroy, { once: true });
  if (signal.aborted) destroy();
  try {
    for await (const piece of stream as AsyncIterable<Buffer>) {
      const blocks = cutter.take(piece);
      if (blocks.length > 0) await write(sink, blocks, stop);
    }
  } catch (error) {
    if (!signal.aborted && !isCut(error)) throw error;
  }
  const totals = cutter.totals();
  if (totals.closed || totals.bytes === 0) return totals;
  const received = totals.packets + totals.lost;
  const times = { startMicros: beganMicros, endMicros: Date.now() * 1000 };
  const closing = interfaceStatistics({ ...times, received, dropped: totals.lost });
  await write(sink, closing, stop);
  return totals;
}

/**
 * Waits where the sink is slow; meanwhile weft counts what there is no room for. A reader who has
 * seen enough ends the capture. @throws OutputError
 */
async function write(sink: Sink, bytes: Uint8Array, stop: AbortController): Promise<void> {
  const { signal } = stop;
  const taken = sink.write(bytes);
  // The last of it is written after the signal.
  const goesOn = await (signal.aborted ? taken : untilAborted(taken, signal));
  if (!goesOn) stop.abort();
}

/** Tells what became of it; the result is the exit code. */
function report(where: string, totals: StreamTotals, stop: AbortController): number {
  const { packets, bytes, lost, closed } = totals;
  tell(`${packets} packets, ${formatBytes(bytes)} to ${where}`);
  if (lost > 0) {
    tell(`${lost} packets lost: no room for copies; a filter takes fewer, --snap less of each`);
  }
  if (closed || stop.signal.aborted) return EXIT.ordered;
  tell('weft ended meanwhile; the file is good up to there');
  return EXIT.unanswered;
}
