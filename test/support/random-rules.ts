/** Rulesets at random, as people and programs write them, around one flow: UDP 192.0.2.1 → 8285. */
import { FROM, PORT, type Ruleset, TO } from './firewall-rig.ts';
import type { Random } from './random.ts';

type Way = 'in' | 'out';

const HOOKS = {
  in: ['prerouting', 'input', 'input', 'input'],
  out: ['output', 'output', 'postrouting'],
} as const;
const PRIORITIES = [-400, -300, -200, -150, -100, -1, 0, 0, 0, 10, 100];

/** Matches of which some hold for the flow, some do not, and a few nobody but the kernel knows. */
const MATCHES = [
  ...[`udp dport ${PORT}`, 'udp dport 53', `udp dport != ${PORT}`, 'udp dport 8000-9000'],
  ...[`udp dport { 53, ${PORT} }`, 'udp dport { 53, 1000-2000 }', 'udp dport != { 53, 8000-9000 }'],
  ...['udp sport > 1024', 'udp sport < 1024', `th dport ${PORT} meta l4proto udp`],
  ...[`ip saddr ${FROM}`, `ip saddr != ${FROM}`, 'ip saddr 192.0.2.0/24', 'ip saddr 10.0.0.0/8'],
  ...[`ip daddr ${TO}`, 'ip daddr 192.0.2.0-192.0.2.9', 'ip daddr != 192.0.2.0/24'],
  ...['ip saddr { 10.0.0.0/8, 192.0.2.0/25 }', 'ip saddr & 0.0.0.255 == 0.0.0.1'],
  ...['tcp dport 8285', 'tcp dport != 22', 'icmp type echo-request', 'meta l4proto udp'],
  ...['meta l4proto { tcp, udp }', 'meta l4proto != udp', 'ip protocol udp', 'ip version 4'],
  ...['meta mark 0', 'meta mark 7', 'meta mark & 0x1 == 0x1', 'meta mark != 0x2'],
  ...['counter', 'counter', `ip saddr . udp dport { ${FROM} . ${PORT} }`],
  ...['ip saddr . udp dport { 192.0.2.0/24 . 8000-9000 }', 'udp dport & 0xff00 == 0x2000'],
  ...['ip saddr @hosts', 'ip saddr != @hosts', 'udp dport @ports', 'ip saddr . udp dport @pairs'],
  ...['fib daddr type local', 'fib saddr type local', 'udp dport 8285 continue'],
];
const INTERFACES = {
  in: ['iifname "eth0"', 'iifname "lo"', 'iifname "e*"', 'iif "lo"', 'iifname { "lo", "eth0" }'],
  out: ['oifname "eth0"', 'oifname "lo"', 'oifname != "eth0"', 'oif "eth0"'],
};
const STATES = [
  ...[
    'ct state new',
    'ct state established,related',
    'ct state != established',
    'ct state invalid',
  ],
  ...['ct state { new, untracked }', 'ct state untracked', 'ct state != { new }'],
  ...['ct state & (new|established) == 0', 'ct state != new,established', 'ct mark 0', 'ct mark 3'],
  'ct direction original',
];
/** What nobody can tell beforehand. */
const UNTOLD = ['limit rate 1/second', 'meta length 29', 'numgen random mod 2 0', 'ip ttl 64'];
const CHANGES = ['meta mark set 0x7', 'meta mark set 0x1', 'ct mark set 3', 'notrack'];
const VERDICTS = ['accept', 'accept', 'drop', 'drop', 'return', 'continue', ''];

const SETS = `set hosts { type ipv4_addr; flags interval; elements = { 192.0.2.0/28, 10.9.8.7 }
  }
  set ports { type inet_service; elements = { 53, ${PORT} }
  }
  set pairs { type ipv4_addr . inet_service; elements = { 10.0.0.1 . 1 }
  }
  map verdicts { type inet_service : verdict; elements = { ${PORT} : jump side1, 53 : drop }
  }`;

/** One rule without its chain. `depth` is the first side chain that it may jump to. */
function rule(random: Random, way: Way, depth: number, tracked: boolean): string {
  const parts: string[] = [];
  const count = random.below(3);
  for (let left = count; left > 0; left--) {
    const kind = random.below(12);
    if (kind === 0 && tracked) parts.push(random.pick(STATES));
    else if (kind === 1) parts.push(random.pick(INTERFACES[way]));
    else if (kind === 2 && random.oneIn(3)) parts.push(random.pick(UNTOLD));
    else if (kind === 3 && tracked && random.oneIn(2)) parts.push(random.pick(STATES));
    else parts.push(random.pick(MATCHES));
  }
  const map = random.oneIn(8) ? verdictMap(random, depth) : undefined;
  if (map !== undefined) return [...parts, map].join(' ');
  if (random.oneIn(9)) parts.push(random.pick(CHANGES));
  if (depth <= SIDES && random.oneIn(4)) {
    const target = random.between(depth, SIDES);
    return [...parts, `${random.pick(['jump', 'goto'])} side${target}`].join(' ');
  }
  return [...parts, random.pick(VERDICTS)].join(' ');
}

const SIDES = 2;

function verdictMap(random: Random, depth: number): string {
  const verdict = () => {
    const deep = depth <= SIDES ? [`jump side${SIDES}`, `goto side${SIDES}`] : [];
    return random.pick(['accept', 'drop', 'return', 'continue', ...deep]);
  };
  const other = random.oneIn(3) ? `, * : ${verdict()}` : '';
  return random.pick([
    `udp dport vmap { ${PORT} : ${verdict()}, 53 : ${verdict()}${other} }`,
    `udp dport vmap { 1-100 : ${verdict()}${other} }`,
    `ip saddr vmap { 192.0.2.0/24 : ${verdict()}${other} }`,
    `ip protocol vmap { udp : ${verdict()}, tcp : drop }`,
    `ip saddr . udp dport vmap { ${FROM} . ${PORT} : ${verdict()} }`,
    ...(depth <= 1 ? ['udp dport vmap @verdicts'] : []),
  ]);
}

const lines = (count: number, make: () => string): string =>
  Array.from({ length: count }, make)
    .filter((line) => line.trim() !== '')
    .map((line) => `    ${line}\n`)
    .join('');

function nftTable(random: Random, way: Way, name: string): string {
  const family = random.pick(['inet', 'inet', 'ip']);
  const sides = Array.from({ length: SIDES }, (_, index) => {
    const body = lines(random.below(3), () => rule(random, way, index + 2, true));
    return `  chain side${index + 1} {\n${body}  }\n`;
  });
  const bases = Array.from({ length: random.between(1, 3) }, (_, index) => {
    const policy = random.oneIn(5) ? 'drop' : 'accept';
    const head = `type filter hook ${random.pick(HOOKS[way])} priority ${random.pick(PRIORITIES)}`;
    const body = lines(random.between(1, 4), () => rule(random, way, 1, true));
    return `  chain base${index} {\n    ${head}; policy ${policy};\n${body}  }\n`;
  });
  return `table ${family} ${name} {\n  ${SETS}\n${sides.reverse().join('')}${bases.join('')}}\n`;
}

function netdevTable(random: Random, way: Way): string {
  const hook = way === 'in' ? 'ingress' : 'egress';
  const device = random.pick(['eth0', 'eth0', 'lo']);
  const verdict = random.pick(['drop', 'accept', 'fwd to "lo"', 'counter']);
  const match = random.pick([`udp dport ${PORT}`, 'udp dport 53', `ip saddr ${FROM}`, 'counter']);
  return `table netdev d {\n  chain c {\n    type filter hook ${hook} device "${device}" priority 0;
    ${match} ${verdict}\n  }\n}\n`;
}

const NAT = {
  in: ['redirect to :99', `redirect to :${PORT}`, `dnat to ${TO}`, 'dnat to 192.0.2.9', 'accept'],
  out: ['masquerade', 'snat to 192.0.2.77', 'accept', 'drop'],
};

function natTable(random: Random, way: Way): string {
  const hook = way === 'in' ? 'prerouting' : 'postrouting';
  const match = random.pick([`udp dport ${PORT}`, 'udp dport 53', 'ip saddr 10.0.0.0/8']);
  return `table ip n {\n  chain c {\n    type nat hook ${hook} priority 0;
    meta l4proto udp ${match} ${random.pick(NAT[way])}\n  }\n}\n`;
}

const SAVED_MATCHES = [
  ...['', '-p udp', `-p udp -m udp --dport ${PORT}`, '-p udp -m udp --dport 53', '-p tcp'],
  ...[`-s ${FROM}/32`, `! -s ${FROM}/32`, '-s 192.0.2.0/24', '-d 10.0.0.0/8'],
  ...[`-p udp -m multiport --dports 53,8000:9000`, '-p udp -m multiport ! --dports 53,54'],
  ...['-m conntrack --ctstate RELATED,ESTABLISHED', '-m conntrack --ctstate NEW'],
  ...['-m conntrack --ctstate INVALID', '-m state --state NEW', '-m mark --mark 0x4000/0x4000'],
  ...['-m mark ! --mark 0x1', '-m comment --comment "two words"', '-m addrtype --dst-type LOCAL'],
  ...['-p udp -m udp ! --dport 53 -m conntrack ! --ctstate NEW', '-m limit --limit 3/min'],
];
const SAVED_TARGETS = ['ACCEPT', 'DROP', 'RETURN', 'side', 'LOG', 'MARK --set-xmark 0x1/0x1'];

/** Input for iptables-restore. */
function savedTable(random: Random, way: Way): string {
  const base = way === 'in' ? 'INPUT' : 'OUTPUT';
  const [side, sideway] = [way === 'in' ? '-i' : '-o', random.pick(['eth0', 'lo', 'e+'])];
  const line = (chain: string, targets: readonly string[]) => {
    const device = random.oneIn(6) ? `${side} ${sideway} ` : '';
    const found = random.pick(targets);
    // MARK is for the mangle table alone.
    const table = found.startsWith('MARK') ? 'LOG' : found;
    const go = table === 'side' && random.oneIn(3) ? '-g' : '-j';
    return `-A ${chain} ${device}${random.pick(SAVED_MATCHES)} ${go} ${table}\n`;
  };
  const rules = [
    ...Array.from({ length: random.below(3) }, () => line('side', SAVED_TARGETS.slice(0, 3))),
    ...Array.from({ length: random.between(1, 4) }, () => line(base, SAVED_TARGETS)),
  ];
  const chains = ['INPUT', 'FORWARD', 'OUTPUT'].map((name) => {
    return `:${name} ${name === base && random.oneIn(4) ? 'DROP' : 'ACCEPT'} [0:0]\n`;
  });
  return `*filter\n${chains.join('')}:side - [0:0]\n${rules.join('')}COMMIT\n`;
}

/** One ruleset; about every fourth is of iptables, alone or beside nft. */
export function randomRuleset(random: Random, way: Way): Ruleset {
  const parts: string[] = [];
  const kind = random.below(8);
  if (kind > 1) parts.push(nftTable(random, way, 't'));
  if (random.oneIn(4)) parts.push(nftTable(random, way, 'u'));
  if (random.oneIn(8)) parts.push(netdevTable(random, way));
  if (random.oneIn(12)) parts.push(natTable(random, way));
  return {
    nft: parts.join(''),
    iptables: kind === 0 || random.oneIn(8) ? savedTable(random, way) : '',
    legacy: kind === 1 ? savedTable(random, way) : '',
  };
}
