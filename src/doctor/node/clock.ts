import { get } from 'node:http';
import {
  type Check,
  doubtful,
  type Finding,
  fine,
  type Subject,
  unknown,
  wrong,
} from '../check.ts';

/** A renewal comes an hour before the end as flannel does it; less than this is close. */
const LEAST_LEFT_SECONDS = 600;
/** Clocks kept by NTP differ by milliseconds; certificates and logs suffer from more than this. */
const MOST_SKEW_SECONDS = 5;
const DEADLINE_MS = 2_000;

/** The end of our lease, and our clock beside etcd's. */
export const clockCheck: Check = {
  name: 'clock',
  look: async (subject) => [...leaseEnd(subject), ...(await skews(subject))],
};

function leaseEnd({ status }: Subject): Finding[] {
  const lease = status?.lease;
  if (status === null || lease === null || lease === undefined) return [];
  if (lease.expiresSeconds === null) return [];
  const left = Math.round(lease.expiresSeconds - status.nowSeconds);
  if (left >= LEAST_LEFT_SECONDS) return [fine(`our lease lasts ${left} s more`)];
  return [
    wrong(
      `our lease of ${lease.subnet} ends in ${left} s, and was not renewed`,
      'when it ends every peer forgets this node, and another may get its subnet',
      'is the clock of this host right (timedatectl)? does etcd answer? see the log of the agent',
    ),
  ];
}

async function skews({ options }: Subject): Promise<Finding[]> {
  const endpoints = options.get('leases') ? '' : (options.get('etcd-endpoints') ?? '');
  const plain = endpoints.split(',').filter((url) => url.startsWith('http://'));
  if (plain.length === 0) return [fine('there is no etcd to compare the clock with')];
  return await Promise.all(plain.map(skew));
}

/** etcd dates its answers (RFC 9110 §6.6.1) by its own clock, to the second. */
async function skew(endpoint: string): Promise<Finding> {
  const theirs = await dateOf(endpoint);
  if (theirs === undefined) {
    return unknown(`${endpoint} tells no time`, `curl -i ${endpoint}/version; is etcd up?`);
  }
  const seconds = Math.round(Date.now() / 1000 - theirs);
  if (Math.abs(seconds) <= MOST_SKEW_SECONDS) return fine(`our clock is that of ${endpoint}`);
  return doubtful(
    `our clock is ${Math.abs(seconds)} s ${seconds > 0 ? 'ahead of' : 'behind'} ${endpoint}`,
    'leases are renewed by our clock and end by its: too late a renewal loses the subnet',
    'timedatectl set-ntp true, on both',
  );
}

function dateOf(endpoint: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    const request = get(`${endpoint}/version`, { timeout: DEADLINE_MS }, (answer) => {
      answer.resume();
      const date = Date.parse(answer.headers.date ?? '');
      resolve(Number.isNaN(date) ? undefined : date / 1000);
    });
    request.once('timeout', () => request.destroy(new Error('too late')));
    request.once('error', () => resolve(undefined));
  });
}
