import { FILTER_WORDS } from '../../watch/filter.ts';
import { LEAST_SNAP_LENGTH, WHOLE_PACKET } from '../../watch/wish.ts';
import type { Parameter } from '../routes.ts';

/** One path whose answer goes on until a bound is reached, the client goes, or weft ends. */
export interface Stream {
  readonly path: string;
  readonly help: string;
  readonly contentType: string;
  readonly parameters: readonly Parameter[];
}

/** Limits of the parameters that are numbers, both ends included. */
export const LIMITS = {
  seconds: { least: 1, most: 86_400 },
  rate: { least: 1, most: 1_000 },
  count: { least: 1, most: 1_000_000_000 },
  snap: { least: LEAST_SNAP_LENGTH, most: WHOLE_PACKET },
  bytes: { least: 4_096, most: 1_000_000_000_000 },
} as const;

/** What holds where the client says nothing. */
export const DEFAULTS = { seconds: 3_600, rate: 20, snap: WHOLE_PACKET, bytes: 1e9 } as const;

const optional = (name: string, help: string): Parameter => ({ name, required: false, help });
const FILTER = optional('filter', `only packets that fit all of it: ${FILTER_WORDS}`);
const SECONDS = optional('seconds', `ends after so long (default: ${DEFAULTS.seconds})`);
const COUNT = optional('count', 'ends after so many packets');

/** Streams carry what packets carry, so they are served on the unix socket alone. */
export const STREAMS = {
  monitor: {
    path: '/v1/monitor',
    help: 'Samples of packets, and drops with their reason: a JSON object a line',
    contentType: 'application/x-ndjson',
    parameters: [
      FILTER,
      optional('rate', `at most so many packets a second (default: ${DEFAULTS.rate})`),
      COUNT,
      SECONDS,
    ],
  },
  capture: {
    path: '/v1/capture',
    help: 'Inner packets as pcapng; direction in its flags, peer and drop reason in comments',
    contentType: 'application/x-pcapng',
    parameters: [
      FILTER,
      optional('snap', `bytes kept of each packet (default: ${DEFAULTS.snap}, all)`),
      COUNT,
      optional('bytes', `ends before it would be longer (default: ${DEFAULTS.bytes})`),
      SECONDS,
    ],
  },
} as const satisfies Record<string, Stream>;

export type StreamName = keyof typeof STREAMS;
