/** The style by the numbers: each check takes sources and returns what is wrong, one line each. */
import { basename, dirname } from 'node:path';
import { blankStrings, functions, type Source, type Span } from './tidy-source.ts';

export const COLUMNS = 100;
export const FUNCTION_LINES = 70;
export const PARAMETERS = 5;
export const FILE_LINES = 400;
export const FOLDER_FILES = 10;

export function checkColumns(file: Source): string[] {
  return file.text
    .split('\n')
    .flatMap((line, i) =>
      [...line].length > COLUMNS ? [`${file.path}:${i + 1}: over ${COLUMNS} columns`] : [],
    );
}

export function checkFileLength(file: Source): string[] {
  const lines = file.text.split('\n').length - 1;
  return lines > FILE_LINES ? [`${file.path}: ${lines} lines, the wall is ${FILE_LINES}`] : [];
}

export function checkFunctionLength(file: Source): string[] {
  const spans = functions(file.lines);
  return spans
    .map((span) => ({ span, length: ownLength(span, spans, file.lines) }))
    .filter(({ length }) => length > FUNCTION_LINES)
    .map(
      ({ span, length }) =>
        `${file.path}:${span.first + 1}: ${span.name} has ${length} lines, over ${FUNCTION_LINES}`,
    );
}

/** Lines of named functions inside are theirs: a closure over state laid out once is our object. */
function ownLength(span: Span, spans: readonly Span[], lines: readonly string[]): number {
  const length = ({ first, last }: Span) => last - first + 1;
  const within = (a: Span, b: Span) => a !== b && b.first <= a.first && a.last <= b.last;
  const named = spans.filter((inner) => /^\s+(?:async )?function /.test(lines[inner.first]!));
  const inside = named.filter((inner) => within(inner, span));
  const outermost = inside.filter((inner) => !inside.some((other) => within(inner, other)));
  return outermost.reduce((sum, inner) => sum - length(inner), length(span));
}

export function checkFolders(files: readonly Source[]): string[] {
  const count = new Map<string, number>();
  for (const { path } of files) count.set(dirname(path), (count.get(dirname(path)) ?? 0) + 1);
  return [...count]
    .filter(([, number]) => number > FOLDER_FILES)
    .map(([folder, number]) => `${folder}: ${number} files, over ${FOLDER_FILES}`);
}

/** Parameter lists are parentheses in front of `{`, `: type` or `=>`. */
export function checkParameters(file: Source): string[] {
  const text = blankStrings(file.text).replaceAll('=>', '\u21d2');
  const faults: string[] = [];
  for (let open = text.indexOf('('); open >= 0; open = text.indexOf('(', open + 1)) {
    if (/\b(?:if|for|while|switch|catch)\s*$/.test(text.slice(0, open).slice(-9))) continue;
    const { close, items } = listItems(text, open);
    if (!/^(?:: | \{| \u21d2)/.test(text.slice(close + 1, close + 3))) continue;
    const line = text.slice(0, open).split('\n').length;
    if (items > PARAMETERS) faults.push(`${file.path}:${line}: ${items} parameters`);
  }
  return faults;
}

function listItems(text: string, open: number): { close: number; items: number } {
  let depth = 0;
  let items = 0;
  let filled = false;
  for (let i = open; i < text.length; i++) {
    const char = text[i]!;
    if (depth === 1 && filled && (char === ',' || char === ')')) {
      items += 1;
      filled = false;
    } else if (depth >= 1 && !/[\s)]/.test(char)) {
      filled = true;
    }
    if ('([{<'.includes(char)) depth += 1;
    if (')]}>'.includes(char)) depth -= 1;
    if (depth === 0) return { close: i, items };
  }
  return { close: text.length, items };
}

/** Files on the packet path, the H of ARCHITECTURE.md. */
export const PACKET_PATH: readonly string[] = [
  ...['bytes', 'checksum', 'ipv4', 'ipv6', 'tcp', 'udp', 'icmp', 'virtio'].map((f) => `wire/${f}`),
  ...['tun/read', 'tun/write', 'udp/receive', 'udp/runs', 'udp/group', 'udp/send'],
  ...['offload/flow', 'offload/segment', 'offload/coalesce', 'forwarding/table'],
  ...['dataplane/loop', 'dataplane/out/encap', 'dataplane/in/decap'],
  ...['egress', 'transmit', 'too-big', 'tally'].map((f) => `dataplane/out/${f}`),
].map((file) => `src/${file}.ts`);

const NEVER: readonly (readonly [RegExp, string])[] = [
  [/\b(?:try|catch|throw)\b/, 'exceptions: count and go on'],
  [/\b(?:async|await|Promise)\b/, 'promises: the loop never turns the event loop'],
  [/\b\d+n\b|\bBig(?:Int|Uint)/, 'BigInt: a heap object for every value'],
  [/\.(?:subarray|slice)\(/, 'a view or copy for every packet'],
  [/\.\.\./, 'a spread makes an array'],
  [/\bconsole\b|\blog\./, 'a log line: count instead'],
];
const NEVER_PER_PACKET: readonly (readonly [RegExp, string])[] = [
  [/\bnew\b/, 'an object for every packet'],
  [/=>/, 'a closure for every packet'],
  [/\.(?:map|filter|push|forEach|concat)\(/, 'an array for every packet'],
  [/\bfor \(const .* of /, 'an iterator for every packet'],
  [/\b(?:const|let) \[/, 'destructuring an array goes through an iterator'],
];
/** Functions of these names run once, when the worker starts. */
const COLD = /^(?:create|open|prepare|load|bind|probe|build)/;

export function checkPacketPath(file: Source): string[] {
  if (!PACKET_PATH.includes(file.path)) return [];
  const spans = functions(file.lines);
  const code = blankStrings(file.text).split('\n');
  return code.flatMap((line, index) => {
    const inner = innermost(spans, index);
    const hot = inner !== undefined && !COLD.test(inner.name);
    const banned = hot ? [...NEVER, ...NEVER_PER_PACKET] : NEVER;
    return banned
      .filter(([pattern]) => pattern.test(line))
      .map(([, why]) => `${file.path}:${index + 1}: ${why}: ${line.trim()}`);
  });
}

function innermost(spans: readonly Span[], line: number): Span | undefined {
  const around = spans.filter((span) => span.first <= line && line <= span.last);
  return around.sort((a, b) => b.first - a.first)[0];
}

/** Written in pieces, so that this file passes its own check. */
const LEAKS: readonly RegExp[] = [
  new RegExp(`\\b(?:${'TO'}DO|${'FIX'}ME|${'XX'}X)\\b`),
  new RegExp(`/${'work'}/|/${'root'}/|/${'home'}/\\w`),
  new RegExp(`//${'regis'}try\\.|${'regis'}try\\.[\\w-]+\\.\\w|${'art'}ifactory`),
  new RegExp(`deb\\.${'debian'}\\.org`),
  new RegExp(`\\bissue ${'#'}?\\d|\\b${'pull'} request`, 'i'),
  new RegExp(`\\b(?:${'clau'}de|${'chat'}gpt|${'LL'}M|language ${'mod'}el)\\b`, 'i'),
];

/** The project speaks of itself alone, and leaves nothing for later in a comment. */
export function checkWords(file: Source): string[] {
  return file.text
    .split('\n')
    .flatMap((line, index) =>
      LEAKS.filter((pattern) => pattern.test(line)).map(
        () => `${file.path}:${index + 1}: has no place here: ${line.trim()}`,
      ),
    );
}

/** No test is narrowed to itself or left out. */
export function checkTestsRun(file: Source): string[] {
  if (!basename(file.path).endsWith('.test.ts')) return [];
  return blankStrings(file.text)
    .split('\n')
    .flatMap((line, index) =>
      /\b(?:test|it|describe)\.(?:only|skip|todo)\b|\b(?:only|skip|todo): /.test(line)
        ? [`${file.path}:${index + 1}: every test runs: ${line.trim()}`]
        : [],
    );
}

/** A limit in time, a folder without its maker's mark, a namespace without one. */
const LIMITS: readonly (readonly [RegExp, string])[] = [
  [/\b(?:deadline|timeoutMs|timeout)\b(?:: | =)/, 'wait for progress: waitFor, Background.wait'],
  [/AbortSignal\.timeout|--test-timeout|\btimeout [\d-]/, 'no limit in time: see stillness.ts'],
  [/\bmkdtemp(?:Sync)?\(/, 'makeFolder of test/support/maker.ts marks what is left behind'],
  [
    /'netns', 'add', (?!name\]|namespace\]|ownPrefix)|'weft-\$/,
    'names begin with ownPrefix of maker.ts',
  ],
];
/** The files that these rules are about. */
const LIMITS_LIVE_IN = /support\/(?:maker|stillness|tidy-rules)\.ts$|tidy\.test\.ts$/;

/** Tests, demo, benches and scripts wait for progress, and mark what they make. */
export function checkWaits(file: Source): string[] {
  if (LIMITS_LIVE_IN.test(file.path)) return [];
  return file.lines.flatMap((line, index) =>
    LIMITS.filter(([pattern]) => pattern.test(line)).map(
      ([, why]) => `${file.path}:${index + 1}: ${why}: ${line.trim()}`,
    ),
  );
}

/** Every system call is explained in words, under its own name. */
export function checkCalls(libc: Source, notes: string): string[] {
  const table = /PROTOTYPES = \{([\s\S]*?)\n\}/.exec(libc.text)?.[1] ?? '';
  const names = [...table.matchAll(/^ {2}(\w+): '\w+ \**(\w+)\(/gm)].map((match) => match[2]!);
  if (names.length === 0) return [`${libc.path}: no calls found; has the table moved?`];
  return names
    .filter((name) => !new RegExp(`\\b${name}\\b`).test(notes))
    .map((name) => `${libc.path}: ${name} is not described in native-notes/calls.md`);
}

/** Files that may write to a terminal, make JSON for others, or put text into the page. */
const DOORS: readonly { below: string; pattern: RegExp; only: readonly string[] }[] = [
  {
    below: 'src/',
    pattern: /\bprocess\.std(?:out\.write|err)\b|\bconsole\.|\bwriteSync\([12],/,
    only: ['src/cli/format/print.ts', 'src/cli.ts'],
  },
  { below: 'src/api/', pattern: /\bJSON\.stringify\(/, only: [] },
  {
    below: 'src/page/',
    pattern: /\.(?:textContent|innerText|innerHTML|title) = |createTextNode/,
    only: ['src/page/element.ts'],
  },
];

export function checkDoors(file: Source): string[] {
  const doors = DOORS.filter(({ below, only }) => {
    return file.path.startsWith(below) && !only.includes(file.path);
  });
  return file.lines.flatMap((line, at) => {
    const found = doors.some(({ pattern }) => pattern.test(line));
    return found ? [`${file.path}:${at + 1}: text leaves by another door: ${line.trim()}`] : [];
  });
}
