import type { EtcdLine } from './client.ts';
import { EtcdError } from './errors.ts';

/** What changes something in etcd. All of it throws EtcdError, and none of it is repeated here. */

/** What a key is to hold; `lease` "0" keeps it for ever. */
export interface Content {
  readonly value: string;
  readonly lease: string;
}

/** Numbers of etcd's `rpc.proto`: Compare.CompareTarget. */
const VERSION = 0;
const MOD_REVISION = 2;

/** A new etcd lease; seconds as etcd chose them, which may be more than asked for. */
export async function grantLease(
  line: EtcdLine,
  seconds: number,
): Promise<{ id: string; seconds: number }> {
  const { ID, TTL } = await line.ask(({ leaseClient }) => leaseClient.leaseGrant({ TTL: seconds }));
  return { id: ID, seconds: Number(TTL) };
}

/** Ends an etcd lease, and with it every key that goes with it. */
export async function revokeLease(line: EtcdLine, id: string): Promise<void> {
  await line.ask(({ leaseClient }) => leaseClient.leaseRevoke({ ID: id }));
}

/** Starts the time of an etcd lease anew; answers its seconds, or 0 where it has ended. */
export async function extendLease(line: EtcdLine, id: string, patienceMs: number): Promise<number> {
  const stream = await line.ask(({ leaseClient }) => leaseClient.leaseKeepAlive());
  try {
    return await new Promise((resolve, reject) => {
      const late = () => reject(line.error('silent', `extended no lease in ${patienceMs} ms`));
      const timer = setTimeout(late, patienceMs);
      const settle = (work: () => void) => {
        clearTimeout(timer);
        work();
      };
      stream.on('data', ({ TTL }) => settle(() => resolve(Number(TTL))));
      stream.on('error', (error) => settle(() => reject(line.explain(error))));
      stream.on('end', () => settle(() => reject(line.error('ended', 'ended the call'))));
      stream.write({ ID: id });
    });
  } finally {
    stream.end();
  }
}

/**
 * Writes a key where neither it nor one that begins with `guard` exists. Answers the revision of
 * the write, or null where somebody was there first.
 */
export async function createKey(
  line: EtcdLine,
  key: string,
  guard: string,
  content: Content,
): Promise<number | null> {
  const range = { key: Buffer.from(guard), range_end: after(guard) };
  return writeIf(line, { ...range, target: VERSION, version: 0 }, key, content);
}

/** Writes a key that has not changed since `revision`; answers like `createKey`. */
export async function replaceKey(
  line: EtcdLine,
  key: string,
  revision: number,
  content: Content,
): Promise<number | null> {
  const guard = { key: Buffer.from(key), target: MOD_REVISION, mod_revision: revision } as const;
  return writeIf(line, guard, key, content);
}

/** Deletes a key that has not changed since `revision`; answers whether it did. */
export async function deleteKey(line: EtcdLine, key: string, revision: number): Promise<boolean> {
  const name = Buffer.from(key);
  const answer = await line.ask(({ kv }) =>
    kv.txn({
      compare: [{ key: name, target: MOD_REVISION, mod_revision: revision }],
      success: [{ request_delete_range: { key: name } }],
    }),
  );
  return answer.succeeded;
}

interface Guard {
  readonly key: Buffer;
  readonly range_end?: Buffer;
  readonly target: typeof VERSION | typeof MOD_REVISION;
  readonly version?: number;
  readonly mod_revision?: number;
}

async function writeIf(
  line: EtcdLine,
  guard: Guard,
  key: string,
  { value, lease }: Content,
): Promise<number | null> {
  const put = { key: Buffer.from(key), value: Buffer.from(value), lease };
  const answer = await line.ask(({ kv }) =>
    kv.txn({ compare: [guard], success: [{ request_put: put }] }),
  );
  return answer.succeeded ? Number(answer.header.revision) : null;
}

/** The first key after all that begin with the text, whose last letter has one after it. */
function after(text: string): Buffer {
  const end = Buffer.from(text);
  end[end.length - 1] = end[end.length - 1]! + 1;
  return end;
}

export interface Grant {
  readonly id: string;
  readonly seconds: number;
  /** When it runs out, on the clock of performance.now(). */
  readonly ends: number;
}

/**
 * Etcd leases made for a key that is not written yet. One that was not used is used for the next
 * try, over lines that break in between, or revoked: none is left behind in etcd.
 */
export class Grants {
  readonly #seconds: number;
  #spare: (Grant & { readonly bestBefore: number }) | null = null;

  constructor(seconds: number) {
    this.#seconds = seconds;
  }

  /**
   * The spare one if it is fresh, else a new one. The spare one at any age if the key to be written
   * goes with it already, for a write of ours that seemed lost came through.
   */
  async take(line: EtcdLine, inUse = ''): Promise<Grant> {
    const spare = this.#spare;
    const isFresh = spare !== null && performance.now() < spare.bestBefore;
    if (spare !== null && (isFresh || spare.id === inUse)) return spare;
    await this.giveUp(line);
    const asked = performance.now();
    const { id, seconds } = await grantLease(line, this.#seconds);
    const lasts = seconds * 1000;
    this.#spare = { id, seconds, ends: asked + lasts, bestBefore: asked + lasts / 4 };
    return this.#spare;
  }

  /** The spare one goes with a key now. */
  used(): void {
    this.#spare = null;
  }

  /** Revokes the spare one. Where that fails it ends by itself, for nothing extends it. */
  async giveUp(line: EtcdLine): Promise<void> {
    const spare = this.#spare;
    this.#spare = null;
    if (spare !== null) await revokeQuietly(line, spare.id);
  }
}

/** Revokes an etcd lease that no key goes with; it would end by itself. */
export async function revokeQuietly(line: EtcdLine, id: string): Promise<void> {
  try {
    await revokeLease(line, id);
  } catch (error) {
    if (!(error instanceof EtcdError)) throw error;
  }
}
