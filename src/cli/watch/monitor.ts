import type { IncomingMessage } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { ApiError } from '../../api/client.ts';
import { openStream, readLines } from '../../api/stream/client.ts';
import { DEFAULTS, LIMITS } from '../../api/stream/paths.ts';
import type { MonitorLine, MonitorSummary } from '../../api/stream/schema.ts';
import { EXIT } from '../exit.ts';
import { print, printJson, tell } from '../format/print.ts';
import { type Look, lookCommand, withSocket } from '../show/asking.ts';
import { packetHead, packetLine, summaryText } from './packet-line.ts';
import { filterOf, whole, withFilter } from './terms.ts';
import { untilAborted } from './until-aborted.ts';

/** Without --follow a look is this long unless said otherwise. */
const LOOK_SECONDS = 10;
/** A weft that is away is asked again this often, with --follow. */
const AGAIN_MS = 1_000;
/** What is left out is told among the packets this often at most. */
const NOTE_EVERY_SECONDS = 10;

export const monitorCommand = lookCommand(
  {
    name: 'monitor',
    summary: 'watch packets and drops go by, a few a second',
    description:
      'Shows samples of the packets that a running weft carries, and those that it drops,\n' +
      `with the reason. Ends after ${LOOK_SECONDS} s unless told otherwise. At most --rate a\n` +
      'second are shown: under load weft looks at one of so many, and says of how many.\n' +
      'Forwarding never waits.',
    examples: `  weft monitor                               ten seconds of what goes by
  weft monitor --drops --follow              every drop with its reason, until Ctrl-C
  weft monitor host 10.244.2.2 and tcp port 80
  weft monitor --drops -o json | jq .reason`,
  },
  (command) =>
    withSocket(withFilter(command))
      .option('-d, --drops', 'only packets that were dropped')
      .option('-f, --follow', 'until Ctrl-C; a weft that is away is waited for')
      .option('-c, --count <packets>', 'end after so many', whole(LIMITS.count))
      .option('-t, --seconds <seconds>', 'end after so long', whole(LIMITS.seconds))
      .option(
        '-r, --rate <packets>',
        `show at most so many a second (default: ${DEFAULTS.rate})`,
        whole(LIMITS.rate),
      ),
  async (look, command) => {
    const options = command.opts<MonitorOptions>();
    const filter = filterOf(command, options.drops === true ? ['drops'] : []);
    const { count, rate, follow } = options;
    if (follow === true && options.seconds !== undefined) {
      command.error('--follow goes on until Ctrl-C: leave out --seconds, or --follow');
    }
    const seconds = options.seconds ?? `${follow === true ? LIMITS.seconds.most : LOOK_SECONDS}`;
    return await new Watching(look).run({ filter, count, rate, seconds }, follow === true);
  },
);

interface MonitorOptions {
  readonly drops?: true;
  readonly follow?: true;
  readonly count?: string;
  readonly seconds?: string;
  readonly rate?: string;
}

/** A summary comes once a second; who wants to end does not wait much longer. */
const LAST_SUMMARY_MS = 1_500;

/** One run of the command: prints until the stream, the reader of the output, or we end. */
class Watching {
  private readonly look: Look;
  /** Asked to end: what was left out is still told, with the next summary. */
  private readonly asked = new AbortController();
  /** Ended, whatever comes. */
  private readonly over = new AbortController();
  private headShown = false;
  private noteAtSeconds = 0;
  private leftOutNoted = 0;

  constructor(look: Look) {
    this.look = look;
    const { asked, over } = this;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => asked.abort());
    asked.signal.addEventListener('abort', () => {
      setTimeout(() => over.abort(), LAST_SUMMARY_MS).unref();
    });
  }

  async run(
    parameters: Readonly<Record<string, string | undefined>>,
    follow: boolean,
  ): Promise<number> {
    let last: MonitorSummary | undefined;
    let wasAway = false;
    while (!this.asked.signal.aborted) {
      try {
        const stream = await openStream(this.look.socket, 'monitor', parameters);
        wasAway = false;
        last = (await this.print(stream)) ?? last;
        if (last?.ended === 'count' || (last?.ended === 'time' && !follow)) break;
        if (!follow && !this.asked.signal.aborted) throw cutOff();
      } catch (error) {
        if (!follow || !(error instanceof ApiError) || !isAway(error)) throw error;
        if (!wasAway) tell(`${error.message}; waiting for it`);
        wasAway = true;
      }
      if (follow) await pause(AGAIN_MS, undefined, { signal: this.asked.signal }).catch(() => {});
    }
    if (last !== undefined) await this.printEnd(last);
    return EXIT.ordered;
  }

  /** The last summary of the stream. */
  private async print(stream: IncomingMessage): Promise<MonitorSummary | undefined> {
    const destroy = () => stream.destroy();
    this.over.signal.addEventListener('abort', destroy, { once: true });
    if (this.over.signal.aborted) destroy();
    await this.printHead();
    let last: MonitorSummary | undefined;
    for await (const line of readLines(stream)) {
      if (line.kind === 'packet') {
        await this.printPacket(line);
        continue;
      }
      last = line;
      if (this.asked.signal.aborted) break;
      this.note(line);
    }
    stream.destroy();
    this.over.signal.removeEventListener('abort', destroy);
    return last;
  }

  private async printHead(): Promise<void> {
    if (this.look.output === 'table' && !this.headShown) {
      await this.taken(print([packetHead(this.look.paint)]));
    }
    this.headShown = true;
  }

  private async printPacket(packet: Extract<MonitorLine, { kind: 'packet' }>): Promise<void> {
    const { output, paint } = this.look;
    await this.taken(output === 'json' ? printJson(packet) : print([packetLine(packet, paint)]));
  }

  /** Waits where the reader of our output is slow; weft counts what we then miss. */
  private async taken(printed: Promise<boolean>): Promise<void> {
    if (await untilAborted(printed, this.over.signal)) return;
    // Whoever reads us has seen enough: `| head`.
    this.asked.abort();
    this.over.abort();
  }

  private note(summary: MonitorSummary): void {
    const { byRate, ringFull, slowReader } = summary.leftOut;
    const leftOut = byRate + ringFull + slowReader;
    const early = summary.atSeconds - this.noteAtSeconds < NOTE_EVERY_SECONDS;
    if (this.look.output === 'json' || summary.ended !== null || early) return;
    if (leftOut === this.leftOutNoted) return;
    this.noteAtSeconds = summary.atSeconds;
    this.leftOutNoted = leftOut;
    tell(summaryText(summary));
  }

  private async printEnd(summary: MonitorSummary): Promise<void> {
    if (this.look.output === 'json') await this.taken(printJson(summary));
    else tell(summaryText(summary));
  }
}

const isAway = ({ kind }: ApiError): boolean => kind !== 'broken';

function cutOff(): ApiError {
  return new ApiError('absent', 'weft ended while we watched', 'see its log');
}
