import { type Command, InvalidArgumentError } from 'commander';
import { FILTER_WORDS, FilterError, parseFilter } from '../../watch/filter.ts';

export const FILTER_HELP = `Filter, all of which must hold ('and' may be left out):
  host A            source or destination
  net A/LENGTH      source or destination within
  port N            source or destination port, tcp and udp
  tcp | udp | icmp  or proto NAME, proto NUMBER
  peer A            the other node, by its public address
  drops             only packets that were dropped`;

/** The words of a filter as arguments; they are read here, so that a slip is told without weft. */
export function withFilter(command: Command): Command {
  return command
    .argument('[filter...]', `which packets: ${FILTER_WORDS}`)
    .addHelpText('after', `\n${FILTER_HELP}`);
}

/** The filter as it was typed. Ends the command where it cannot be read. */
export function filterOf(command: Command, more: readonly string[] = []): string | undefined {
  const words = [...command.args, ...more].join(' ');
  try {
    parseFilter(words);
  } catch (error) {
    if (error instanceof FilterError) command.error(error.message);
    throw error;
  }
  return words === '' ? undefined : words;
}

interface Limits {
  readonly least: number;
  readonly most: number;
}

/** Reads an option that is a whole number within limits. */
export function whole({ least, most }: Limits): (text: string) => string {
  return (text) => {
    const value = Number(text);
    if (/^\d{1,15}$/.test(text) && value >= least && value <= most) return text;
    throw new InvalidArgumentError(`It takes a whole number from ${least} to ${most}.`);
  };
}

const UNITS: Readonly<Record<string, number>> = { '': 1, k: 1e3, M: 1e6, G: 1e9 };

/** Reads a size such as 500k or 2G, in steps of 1000. */
export function size({ least, most }: Limits): (text: string) => string {
  return (text) => {
    const [, digits, unit] = /^(\d{1,12})([kMG]?)$/.exec(text) ?? [];
    const bytes = Number(digits) * (UNITS[unit ?? ''] ?? 1);
    if (digits !== undefined && bytes >= least && bytes <= most) return `${bytes}`;
    throw new InvalidArgumentError(`It takes ${least} to ${most} bytes, such as 500k, 100M, 2G.`);
  };
}
