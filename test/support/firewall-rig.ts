/**
 * What a ruleset really does with a datagram: one is sent over a veth pair, through rules at either
 * end. That it did not come is known without waiting: the sender is held on one CPU, and a second
 * datagram, over the loopback of a namespace without rules, goes through the same queue of that CPU
 * (softnet_data, net/core/dev.c) behind it.
 */
import { createNamespace, type Namespace } from '../linux/namespace.ts';
import { attempt, Background, run } from './process.ts';
import { inside } from './topology.ts';
import { waitFor } from './waitfor.ts';

export const FROM = '192.0.2.1';
export const TO = '192.0.2.2';
export const PORT = 8285;

/** Which programs set the rules of a case; each text is empty where it has none. */
export interface Ruleset {
  readonly nft: string;
  readonly iptables: string;
  readonly legacy: string;
}

export interface FirewallRig {
  readonly sender: Namespace;
  readonly receiver: Namespace;
  /** Puts these rules in place of all others, at that end. @returns what was refused, or nothing */
  load(space: Namespace, ruleset: Ruleset): string;
  /** Whether a datagram from that port comes to the receiver's socket. */
  arrives(sourcePort: number): Promise<boolean>;
  close(): Promise<void>;
}

/** Reads a command a line: `send PORT ADDRESS PORT`, or `poll`; says what came. */
const HELPER = `
const { createSocket } = require('node:dgram');
const [port] = process.argv.slice(1).map(Number);
const came = [];
const listener = createSocket('udp4');
listener.on('message', (text) => came.push(String(text)));
listener.bind(port, () => console.log('ready'));
const later = (turns, act) => turns === 0 ? act() : setTimeout(() => later(turns - 1, act), 1);
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const [word, from, address, to] = line.split(' ');
  // What is in the socket when the command comes is read within two turns of the loop.
  if (word === 'poll') return later(2, () => console.log('came ' + came.splice(0).join(' ') + '.'));
  const socket = createSocket('udp4').on('error', () => {});
  const done = () => { socket.close(); console.log('sent ' + from + '.'); };
  socket.bind(Number(from), () => socket.send(from, Number(to), address, done));
}).on('close', () => process.exit(0));
`;

/** Two namespaces and their link, with permanent neighbours, so that ARP has no part in it. */
export async function buildFirewallRig(): Promise<FirewallRig> {
  const [sender, receiver, quiet] = [createNamespace(), createNamespace(), createNamespace()];
  const [first, second] = ['02:00:00:00:00:01', '02:00:00:00:00:02'];
  const peer = `peer name eth0 address ${second} netns ${receiver.name}`;
  sender.ip(`link add eth0 address ${first} type veth ${peer}
    addr add ${FROM}/24 dev eth0
    link set eth0 up
    link set lo up
    neigh add ${TO} lladdr ${second} dev eth0 nud permanent\n`);
  receiver.ip(`addr add ${TO}/24 dev eth0
    link set eth0 up
    link set lo up
    neigh add ${FROM} lladdr ${first} dev eth0 nud permanent\n`);
  quiet.ip('link set lo up\n');
  // With GRO a veth has a queue of its own in place of the CPU's.
  for (const space of [sender, receiver]) {
    run(inside(space.name, ['ethtool', '-K', 'eth0', 'gro', 'off']));
  }
  const helper = ({ name }: Namespace, prefix: readonly string[]) =>
    new Background(inside(name, [...prefix, process.execPath, '-e', HELPER, `${PORT}`]));
  const pinned = ['taskset', '-c', firstCpu()];
  const [from, to, behind] = [helper(sender, pinned), helper(receiver, []), helper(quiet, pinned)];
  for (const each of [from, to, behind]) await each.waitForOutput(/ready/);
  const arrives = async (sourcePort: number) => {
    await ask(from, `send ${sourcePort} ${TO} ${PORT}`);
    await ask(behind, `send ${sourcePort} 127.0.0.1 ${PORT}`);
    // Its own arrival there proves that the CPU's queue is done with what came before.
    await waitFor('the second datagram', async () => /\d/.test(await ask(behind, 'poll')));
    return (await ask(to, 'poll')).includes(`${sourcePort}`);
  };
  const close = async () => {
    for (const each of [from, to, behind]) each.endInput();
    await Promise.all([from, to, behind].map((each) => each.wait()));
    for (const space of [sender, receiver, quiet]) space.remove();
  };
  return { sender, receiver, load, arrives, close };
}

function firstCpu(): string {
  return /^Cpus_allowed_list:\s*(\d+)/m.exec(run(['cat', '/proc/self/status']))?.[1] ?? '0';
}

/** Sends a command and waits for its answer, which ends with a full stop. */
async function ask(helper: Background, command: string): Promise<string> {
  const seen = helper.stdout.length;
  helper.write(`${command}\n`);
  return await waitFor(
    `an answer to ${command}`,
    () => {
      if (helper.end) throw new Error(helper.describe());
      return /^(?:sent|came) .*\.$/m.exec(helper.stdout.slice(seen))?.[0];
    },
    { every: 1 },
  );
}

function load({ name }: Namespace, { nft, iptables, legacy }: Ruleset): string {
  const sets: [string[], string][] = [[['nft', '-f', '-'], `flush ruleset\n${nft}\n`]];
  if (iptables !== '') sets.push([['iptables-nft-restore'], iptables]);
  // A kernel may have no legacy tables at all, and then none have to be emptied.
  if (legacy !== '' || usedLegacy.has(name)) {
    sets.push([['iptables-legacy-restore'], legacy === '' ? NO_LEGACY : legacy]);
    usedLegacy.add(name);
  }
  for (const [argv, input] of sets) {
    const { status, stderr } = attempt(inside(name, argv), { input });
    if (status !== 0) return `${argv[0]}: ${stderr}`;
  }
  return '';
}

/** Namespaces that have legacy tables now: an empty one is none the less there. */
const usedLegacy = new Set<string>();
const NO_LEGACY =
  '*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n';
