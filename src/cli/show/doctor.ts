import { release } from 'node:os';
import { ApiError, ask } from '../../api/client.ts';
import { findCarrier } from '../../doctor/carrier.ts';
import type { Finding, Outcome, Subject } from '../../doctor/check.ts';
import { CHECKS, type Examined, examine } from '../../doctor/doctor.ts';
import { emitNft } from '../../doctor/emit-nft.ts';
import { commandRunner } from '../../linux/command.ts';
import { mayConfigureNetwork } from '../../linux/proc.ts';
import { readSysctl } from '../../linux/sysctl.ts';
import { EXIT } from '../exit.ts';
import { printText } from '../format/print.ts';
import { wrap } from '../format/table.ts';
import type { Paint, Shade } from '../format/terminal.ts';
import { type Look, lookCommand, show, withSocket } from './asking.ts';

/** flannel's, for a ruleset that is asked for before anybody carries packets. */
const DEFAULT_PORT = 8285;
const NAMES = CHECKS.map(({ name }) => name);

interface Options {
  readonly verbose?: true;
  readonly only?: string;
  readonly peers: string;
  readonly emitNft?: true;
}

export const doctorCommand = lookCommand(
  {
    name: 'doctor',
    summary: 'what makes the overlay slow or dead on this node, and the cure',
    description:
      'Checks this host, its weft and the way to its peers, and says for each thing: fine, or\n' +
      'what is wrong, why it matters, and what cures it. Changes nothing; sends a few packets.',
    examples: `  weft doctor
  weft doctor --verbose              what is fine, too
  weft doctor --only peers,mtu
  weft doctor --emit-nft | nft -f -  let nobody but peers reach the port`,
  },
  (command) =>
    withSocket(command)
      .option('-v, --verbose', 'show what is fine, too')
      .option('--only <checks>', `some of ${NAMES.join(', ')}; separated by commas`)
      .option('--peers <count>', 'ask at most so many peers', '16')
      .option('--emit-nft', 'print an nftables ruleset that admits peers alone, and do no more'),
  async (look, command) => {
    const options = command.opts<Options>();
    const only = options.only?.split(',') ?? NAMES;
    const strange = only.find((name) => !NAMES.includes(name));
    if (strange !== undefined) {
      command.error(`there is no check '${strange}': there are ${NAMES.join(', ')}`);
    }
    if (!/^\d{1,5}$/.test(options.peers)) {
      command.error(`--peers is a whole number, not '${options.peers}'`);
    }
    const subject = await subjectOf(look, Number(options.peers), options.emitNft === true);
    if (options.emitNft === true) {
      const port = subject.carrier?.port ?? subject.status?.underlay?.port ?? DEFAULT_PORT;
      await printText(emitNft({ ...subject, port }));
      return EXIT.ordered;
    }
    const examined = await examine(
      subject,
      CHECKS.filter(({ name }) => only.includes(name)),
    );
    const well = examined.every(({ findings }) => !findings.some(isTrouble));
    const lines = render(examined, look.paint, options.verbose === true);
    const exit = well ? EXIT.ordered : EXIT.trouble;
    return show(look, { json: { well, checks: examined }, lines, exit });
  },
);

const isTrouble = ({ outcome }: Finding): boolean => outcome === 'wrong';

/** What weft says of itself; a weft that does not answer is a finding, unless it is needed. */
async function subjectOf({ socket }: Look, mostPeers: number, needed: boolean): Promise<Subject> {
  const run = commandRunner();
  const host = {
    run,
    sysctl: (path: string) => readSysctl(path),
    kernel: release(),
    privileged: mayConfigureNetwork(),
    mostPeers,
  };
  try {
    const [status, { peers }, { options }] = await Promise.all([
      ask(socket, 'status'),
      ask(socket, 'peers'),
      ask(socket, 'config'),
    ]);
    const carrier = await findCarrier(status, peers, run);
    const values = new Map(options.map(({ name, value }) => [name, value]));
    return { ...host, status, peers, options: values, carrier, unanswered: null };
  } catch (error) {
    if (!(error instanceof ApiError) || needed) throw error;
    const unanswered = error.kind === 'refused' ? 'forbidden' : error.kind;
    return { ...host, status: null, peers: [], options: new Map(), carrier: null, unanswered };
  }
}

const SHADES: Readonly<Record<Outcome, Shade>> = {
  fine: 'good',
  wrong: 'bad',
  doubtful: 'doubtful',
  unknown: 'quiet',
};
const INDENT = 20;
const WIDTH = 100;

/** One block a check: fine ones in a line, the rest with reason and cure. */
function render(examined: readonly Examined[], paint: Paint, verbose: boolean): string[] {
  const lines = examined.flatMap(({ check, findings }) => {
    const told = verbose ? findings : findings.filter(({ outcome }) => outcome !== 'fine');
    // What was found here is told with its cause.
    if (findings.length === 0) return [];
    if (told.length === 0) return [line('fine', check, findings[0]!.what, paint)];
    return told.flatMap((finding) => block(check, finding, paint));
  });
  const all = examined.flatMap(({ findings }) => findings);
  const count = (outcome: Outcome) => all.filter((finding) => finding.outcome === outcome).length;
  const [wrong, doubtful, unknown] = [count('wrong'), count('doubtful'), count('unknown')];
  const sum = `${wrong} wrong, ${doubtful} doubtful, ${unknown} not known`;
  return [...lines, '', paint(wrong > 0 ? 'bad' : 'good', sum)];
}

function line(outcome: Outcome, check: string, what: string, paint: Paint): string {
  return `${paint(SHADES[outcome], outcome.padEnd(9))} ${check.padEnd(INDENT - 10)}${what}`;
}

function block(
  check: string,
  { outcome, what, why, cure, explains = [] }: Finding,
  paint: Paint,
): string[] {
  const indent = ' '.repeat(INDENT);
  const [first = '', ...rest] = wrap(what, indent, WIDTH);
  return [
    line(outcome, check, first.trimStart(), paint),
    ...rest,
    ...(why === '' ? [] : wrap(`why:  ${why}`, indent, WIDTH)),
    ...(explains.length === 0 ? [] : wrap(`so also: ${explains.join(', ')}`, indent, WIDTH)),
    ...(cure === ''
      ? []
      : wrap(`cure: ${cure}`, indent, WIDTH).map((text) => paint('strong', text))),
  ];
}
