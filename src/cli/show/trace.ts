import { ask } from '../../api/client.ts';
import type { Trace, TraceStep } from '../../api/schema.ts';
import { EXIT } from '../exit.ts';
import type { Paint, Shade } from '../format/terminal.ts';
import { lookCommand, show, withSocket } from './asking.ts';

export const traceCommand = lookCommand(
  {
    name: 'trace',
    summary: 'what would happen to a packet, step by step',
    description:
      'Follows a packet from this node to DST without sending it: route to the device, lease,\n' +
      'peer, path MTU, and what the far end checks; says why it would fail, and what to do.',
    examples: `  weft trace 10.244.2.2
  weft trace 10.244.2.2 --from 10.244.1.7    as a pod of this node would send it`,
  },
  (command) =>
    withSocket(command)
      .argument('<dst>', 'IPv4 address of the destination')
      .option('--from <src>', "IPv4 address of the sender (default: the device's own)"),
  async (look, command) => {
    const { from } = command.opts<{ from?: string }>();
    const trace = await ask(look.socket, 'trace', { dst: command.args[0], from });
    const exit = trace.verdict === 'fails' ? EXIT.trouble : EXIT.ordered;
    return show(look, { json: trace, lines: renderTrace(trace, look.paint), exit });
  },
);

const SHADES: Readonly<Record<TraceStep['outcome'], Shade>> = {
  fine: 'good',
  warns: 'doubtful',
  fails: 'bad',
  unknown: 'quiet',
};

const VERDICTS: Readonly<Record<Trace['verdict'], readonly [Shade, string]>> = {
  passes: ['good', 'passes'],
  fails: ['bad', 'fails'],
  unknown: ['doubtful', 'passes as far as this node can see'],
};

export function renderTrace(trace: Trace, paint: Paint): string[] {
  const [shade, verdict] = VERDICTS[trace.verdict];
  const steps = trace.steps.flatMap(({ name, outcome, detail, cure }) => [
    `  ${paint(SHADES[outcome], outcome.padEnd(8))}${name.padEnd(10)}${detail}`,
    ...(cure === '' ? [] : [`${''.padEnd(20)}${paint('strong', `-> ${cure}`)}`]),
  ]);
  return [`${trace.source} -> ${trace.destination}: ${paint(shade, verdict)}`, ...steps];
}
