import { createSocket } from 'node:dgram';
import { CommandError, type Run } from '../linux/command.ts';

/** What became of a few echo requests; `tooLong` where a router or this host named a lower MTU. */
export interface Echo {
  readonly answered: boolean;
  readonly tooLong: boolean;
}

/** iputils' ping cannot be run here: not installed, or not allowed. */
export class NoPing extends Error {}

const IP_AND_ICMP_BYTES = 28;

/**
 * Sends a few echo requests; one answer is enough.
 * @param bytes of the whole IPv4 packet, sent with DF; left out, a small one
 * @param seconds to wait in all
 * @throws NoPing
 */
export async function echo(run: Run, address: string, bytes?: number, seconds = 2): Promise<Echo> {
  const size = bytes === undefined ? [] : ['-M', 'do', '-s', `${bytes - IP_AND_ICMP_BYTES}`];
  try {
    const times = ['-c', '2', '-i', '0.2', '-w', `${seconds}`, '-W', '1'];
    const argv = ['ping', '-n', ...times, ...size, address];
    const text = await run(argv);
    return { answered: true, tooLong: isTooLong(text) };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const text = `${error.stderr}\n${error.stdout}`;
    if (/sendmsg: Operation not permitted/.test(text)) {
      throw new NoPing('a rule of this host drops echo requests');
    }
    if (/no program|not permitted|invalid option/i.test(text)) throw new NoPing(error.stderr);
    return { answered: false, tooLong: isTooLong(text) };
  }
}

/** In the words of ping(8): from this host, and from a router on the way. */
function isTooLong(text: string): boolean {
  return /message too long|frag needed/i.test(text);
}

/** The largest packet in bytes that is answered, between a size that is and one that is not. */
export async function largestEcho(
  run: Run,
  address: string,
  passes: number,
  fails: number,
): Promise<number> {
  while (fails - passes > 1) {
    const middle = (passes + fails) >> 1;
    if ((await echo(run, address, middle, 1)).answered) passes = middle;
    else fails = middle;
  }
  return passes;
}

/** Linux sends one port unreachable a second to a host (icmp(7), icmp_ratelimit), so try on. */
const KNOCK_EVERY_MS = 600;
const KNOCKS = 5;

/**
 * Sends single bytes to a UDP port, which weft counts as `weft_sentinel_datagrams_total`: no loss.
 * @returns whether the host said that nobody listens there (ICMP port unreachable, udp(7))
 */
export function isRefused(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    let left = KNOCKS;
    const knock = () => {
      if (left === 0) return end(false);
      left -= 1;
      socket.send(Buffer.of(0));
    };
    let timer: NodeJS.Timeout | undefined;
    const end = (refused: boolean) => {
      clearInterval(timer);
      socket.removeAllListeners('error').on('error', () => undefined);
      socket.close();
      resolve(refused);
    };
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code === 'ECONNREFUSED'));
    // Where no route leads there, connect fails, and an 'error' says so.
    socket.once('connect', () => {
      timer = setInterval(knock, KNOCK_EVERY_MS);
      knock();
    });
    socket.connect(port, address);
  });
}
