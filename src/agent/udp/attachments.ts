/** What others have hung on a link that may hold packets up, and which weft does not set itself. */
import { jsonRows, type Run } from '../../linux/command.ts';
import type { Link } from '../../linux/link.ts';

/** Queueing disciplines that hold nothing back: the kernel's defaults and distributions' own. */
const PLAIN_QDISCS: ReadonlySet<string> = new Set([
  ...['', 'noop', 'noqueue', 'mq', 'pfifo_fast', 'fq_codel', 'fq', 'sfq', 'fq_pie', 'cake'],
]);
/** Hooks for classifiers and programs, at whichever side of the link. */
const HOOKS: ReadonlySet<string> = new Set(['clsact', 'ingress']);

/** One thing attached: what it is, and the command that takes it off again. */
export interface Attachment {
  readonly what: string;
  readonly cure: string;
}

/** What the link itself tells. Pure. */
export function attachmentsOf({ name, attached }: Link): Attachment[] {
  const { qdisc, master, xdp } = attached;
  const off = `ip link set dev ${name}`;
  return [
    ...(master === undefined ? [] : [{ what: `master ${master}`, cure: `${off} nomaster` }]),
    ...(xdp ? [{ what: 'an XDP program', cure: `${off} xdp off` }] : []),
    ...(PLAIN_QDISCS.has(qdisc) ? [] : [ofQdisc(name, qdisc, 'root')]),
  ];
}

function ofQdisc(name: string, kind: string, where: string): Attachment {
  return { what: `qdisc ${kind}`, cure: `tc qdisc delete dev ${name} ${where}` };
}

/** The same with what only tc(8) tells: hooks of filters, and disciplines below the root's. */
export async function listAttachments(run: Run, link: Link): Promise<Attachment[]> {
  const own = attachmentsOf(link);
  // Who has no tc has set nothing by it.
  const argv = ['tc', '-json', 'qdisc', 'show', 'dev', link.name];
  const text = await run(argv).catch(() => '');
  const more = jsonRows<{ kind: string; root?: boolean }>(argv, text)
    .filter(({ kind, root }) => root !== true && (HOOKS.has(kind) || !PLAIN_QDISCS.has(kind)))
    .map(({ kind }) => ofQdisc(link.name, kind, HOOKS.has(kind) ? kind : 'root'));
  return [...own, ...more];
}

/** For a device on which something hangs, and stays. */
export function warnOf(name: string, attached: readonly Attachment[]): string {
  const what = attached.map((attachment) => attachment.what).join(', ');
  const cures = attached.map(({ cure }) => cure).join('; ');
  return `${name} carries ${what}, which weft did not set and which may hold packets up (${cures})`;
}
