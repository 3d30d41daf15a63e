/** Rules of iptables(8) and iptables-extensions(8) as steps over a packet. */
import { contains, parseAddress4, parsePrefix4 } from '../../../wire/address.ts';
import { addressType } from '../nft/field.ts';
import { leaveUntracked, translate } from '../nft/statement.ts';
import type { Packet } from '../packet.ts';
import { type Chain, decided, matched, type Rule, type Step } from '../rule.ts';
import { not, type Truth } from '../truth.ts';
import type { Saved, SavedChain, SavedRule } from './save.ts';

interface Option {
  readonly name: string;
  readonly values: readonly string[];
  readonly negated: boolean;
}

/** Options of a rule: `! -s 10.0.0.0/8` is `-s`, negated. Values run up to the next option. */
function readOptions(words: SavedRule): Option[] {
  const options: Option[] = [];
  let negated = false;
  let values: string[] = [];
  for (const word of words) {
    if (word === '!') negated = true;
    else if (/^--?[a-z]/i.test(word)) {
      values = [];
      options.push({ name: word, values, negated });
      negated = false;
    } else values.push(word);
  }
  return options;
}

/** @param isChain whether a target is a chain of the same table */
export function readSavedRule(words: SavedRule, isChain: (name: string) => boolean): Step[] {
  const options = readOptions(words);
  const at = options.findIndex(({ name }) => name === '-j' || name === '-g');
  const tests = at < 0 ? options : options.slice(0, at);
  const steps = tests.flatMap((option) => (option.name === '-m' ? [] : [test(option)]));
  // ipset and its kin say more by later options, and a limit on the interface changes a type.
  if (at < 0) return steps;
  const { name, values } = options[at]!;
  const [target = ''] = values;
  const rest = options.slice(at + 1);
  if (isChain(target)) return [...steps, jump(name === '-g' ? 'goto' : 'jump', target)];
  return [...steps, targetStep(target, rest)];
}

const jump = (kind: 'jump' | 'goto', target: string): Step => {
  return () => decided({ kind, target });
};

function test({ name, values, negated }: Option): Step {
  const judge = TESTS[name];
  return (packet) => {
    const truth = judge === undefined ? null : judge(packet, values[0] ?? '');
    return matched(negated ? not(truth) : truth, `iptables ${name}`);
  };
}

type Judge = (packet: Packet, value: string) => Truth;

const address =
  (end: 'saddr' | 'daddr'): Judge =>
  (packet, text) => {
    const prefix = parsePrefix4(text.includes('/') ? text : `${text}/32`);
    const value = packet[end];
    if (prefix !== undefined) return value === undefined ? null : contains(prefix, value);
    const [network, mask] = text.split('/').map((each) => parseAddress4(each));
    if (network === undefined || mask === undefined || value === undefined) return null;
    return (value & mask) >>> 0 === (network & mask) >>> 0;
  };

/** `53`, `8000:9000`, `53,8000:9000`; an end that is left out is the lowest or highest port. */
function inPorts(port: number | undefined, text: string): Truth {
  if (!/^[\d:,]+$/.test(text)) return null;
  if (port === undefined) return text === '0:65535' ? true : null;
  return text.split(',').some((each) => {
    const [low = '', high = low] = each.split(':');
    return Number(low || 0) <= port && port <= Number(high || 65_535);
  });
}

const port =
  (end: 'sport' | 'dport'): Judge =>
  (packet, text) =>
    inPorts(packet[end], text);

/** A trailing `+` stands for any ending. */
const named =
  (side: 'iifname' | 'oifname'): Judge =>
  (packet, text) => {
    const name = packet[side];
    if (name === undefined) return null;
    return text.endsWith('+') ? name.startsWith(text.slice(0, -1)) : name === text;
  };

const state: Judge = ({ ct }, text) => {
  if (ct === undefined) return null;
  const states = text.toLowerCase().split(',');
  if (states.includes(ct)) return true;
  // Whether its flow is translated is another question.
  return states.includes('snat') || states.includes('dnat') ? null : false;
};

const ofType =
  (end: 'saddr' | 'daddr'): Judge =>
  ({ way }, text) =>
    text.toLowerCase().split(',').includes(addressType(way, end));

const mark: Judge = (packet, text) => {
  const [value, mask = 0xffff_ffff] = text.split('/').map(Number);
  if (packet.mark === undefined || value === undefined || !Number.isInteger(value)) return null;
  return (packet.mark & mask) >>> 0 === value;
};

const protocol: Judge = (_packet, text) => {
  if (text === 'all') return true;
  return text === 'udp' || text === '17' ? true : /^[\w.-]+$/.test(text) ? false : null;
};

const harmless: Judge = () => true;

const TESTS: Readonly<Record<string, Judge>> = {
  '-s': address('saddr'),
  '-d': address('daddr'),
  '-i': named('iifname'),
  '-o': named('oifname'),
  '-p': protocol,
  // A datagram between nodes is whole at these hooks.
  '-f': () => false,
  '--sport': port('sport'),
  '--dport': port('dport'),
  '--sports': port('sport'),
  '--dports': port('dport'),
  '--ctstate': state,
  '--state': state,
  '--src-type': ofType('saddr'),
  '--dst-type': ofType('daddr'),
  '--mark': mark,
  '--comment': harmless,
};

/** They let the packet go on as it is. */
const PASSING = new Set(
  (
    'LOG NFLOG ULOG TRACE AUDIT CHECKSUM CLASSIFY TCPMSS TCPOPTSTRIP SET SECMARK CONNSECMARK ' +
    'DSCP TOS IDLETIMER LED RATEEST'
  ).split(' '),
);

function targetStep(target: string, options: readonly Option[]): Step {
  const value = (name: string) => options.find((option) => option.name === name)?.values[0];
  const change = (make: (packet: Packet) => Partial<Packet>): Step => {
    return (packet) => ({ kind: 'change', packet: { ...packet, ...make(packet) } });
  };
  if (PASSING.has(target)) return () => matched(true, target);
  switch (target) {
    case 'ACCEPT':
      return () => decided({ kind: 'accept' });
    case 'DROP':
    case 'REJECT':
      return () => decided({ kind: 'drop' });
    case 'RETURN':
      return () => decided({ kind: 'return' });
    case 'MARK':
      return change(({ mark: old }) => ({ mark: setMark(old, value('--set-xmark')) }));
    case 'CONNMARK':
      return change(() => ({ mark: undefined, ctMark: undefined }));
    case 'NOTRACK':
      return change(leaveUntracked);
    case 'CT':
      return value('--notrack') === undefined && !options.some((o) => o.name === '--notrack')
        ? () => matched(true, target)
        : change(leaveUntracked);
    case 'TEE':
      return change(() => ({ odd: true }));
    case 'MASQUERADE':
    case 'SNAT':
      return (packet) => translate(packet, 'snat', {});
    case 'DNAT':
    case 'REDIRECT':
    case 'NETMAP':
      return (packet) => translate(packet, 'redirect', {});
    default:
      return () => ({ kind: 'unclear', why: `iptables target ${target}` });
  }
}

/** `value/mask`: the bits of mask go, then those of value are flipped (xt_mark). */
function setMark(old: number | undefined, text = ''): number | undefined {
  const [value, mask = 0xffff_ffff] = text.split('/').map(Number);
  if (value === undefined || !Number.isInteger(value) || !Number.isInteger(mask)) return undefined;
  if (mask === 0xffff_ffff) return value;
  return old === undefined ? undefined : ((old & ~mask) ^ value) >>> 0;
}

/** Where iptables hangs the chains of its tables: enum nf_ip_hook_priorities. */
const PRIORITIES: Readonly<Record<string, number>> = {
  raw: -300,
  mangle: -150,
  filter: 0,
  security: 50,
  nat: -100,
};

/** Chains of iptables-legacy, which nft does not see. */
export function compileSave(saved: Saved): Chain[] {
  return [...saved].flatMap(([table, chains]) =>
    [...chains.values()].map((chain): Chain => {
      const rules = chain.rules.map((words, index): Rule => {
        return {
          name: `rule ${index + 1}`,
          steps: readSavedRule(words, (name) => chains.has(name)),
        };
      });
      const base = chain.policy === '-' ? undefined : legacyBase(table, chain);
      const names = { tool: 'iptables-legacy', family: 'ip', table, name: chain.name } as const;
      return { ...names, rules, ...(base === undefined ? {} : { base }) };
    }),
  );
}

function legacyBase(table: string, { name, policy }: SavedChain) {
  const reroutes = table === 'mangle' && name === 'OUTPUT';
  return {
    hook: name.toLowerCase(),
    type: table === 'nat' ? 'nat' : reroutes ? 'route' : 'filter',
    priority: PRIORITIES[table] ?? 0,
    drops: policy === 'DROP',
    dormant: false,
  };
}
