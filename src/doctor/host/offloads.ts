import { CommandError } from '../../linux/command.ts';
import {
  type Check,
  doubtful,
  type Finding,
  fine,
  noWeft,
  type Subject,
  unknown,
} from '../check.ts';

/** Features of the NIC, by ethtool's names, that carry weft's offloads; and what is lost. */
const FEATURES: readonly (readonly [name: string, short: string, why: string])[] = [
  ['generic-receive-offload', 'gro', 'each datagram comes up alone: UDP_GRO joins nothing'],
  ['generic-segmentation-offload', 'gso', 'runs of datagrams are cut early, at more CPU'],
  ['tx-checksumming', 'tx', 'UDP_SEGMENT is refused without checksum offload'],
  ['scatter-gather', 'sg', 'every packet is copied once more'],
];

/** Offloads of weft that are off, and those of the NIC under it. */
export const offloadsCheck: Check = {
  name: 'offloads',
  look: async (subject) => {
    if (subject.status === null) return [noWeft()];
    return [...own(subject), ...(await nic(subject, subject.status.underlay?.name))];
  },
};

function own({ status }: Subject): Finding[] {
  const off = status!.offloads.filter(({ inForce }) => !inForce);
  if (off.length === 0) return [fine('every offload of weft is in force')];
  return off.map(({ name, reason }) =>
    doubtful(
      `${name} is off: ${reason}`,
      'packets go one by one there, at more CPU',
      reason.startsWith('switched off')
        ? `start weft without --offload ${name}=off`
        : 'docs: native-notes/features.md says what each offload needs',
    ),
  );
}

async function nic({ run }: Subject, name: string | undefined): Promise<Finding[]> {
  if (name === undefined) return [];
  let text: string;
  try {
    text = await run(['ethtool', '-k', name]);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const cure = 'apt-get install ethtool';
    return [unknown(`ethtool does not tell of ${name}: ${error.stderr}`, cure)];
  }
  const off = FEATURES.filter(([feature]) => new RegExp(`^${feature}: off`, 'm').test(text));
  if (off.length === 0) return [fine(`${name} has GRO, GSO, checksum offload and scatter-gather`)];
  return off.map(([feature, short, why]) =>
    doubtful(`${feature} of ${name} is off`, why, `ethtool -K ${name} ${short} on`),
  );
}
