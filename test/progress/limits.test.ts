/** Every limit by the clock in src, and why no slow machine can make it lie. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { blankComments, readSources } from '../support/tidy-source.ts';

/** Names of constants that end something when they have passed; pauses and periods do not. */
const WORDS = 'DEADLINE|TIMEOUT|PATIENCE|TRIAL|LOST_AFTER|STILL|CIRCLES|HANGING|LAST_W|LAST_S';
const LIMIT = new RegExp(`const (\\w*(?:${WORDS})\\w*) =`, 'g');
/** Limits without a name of their own; put together, for the tidy test looks for them here too. */
const NAMELESS = new RegExp(
  [
    ['\\btimeout', ': [^,}\\s]+'],
    ['\\bAbortSignal', '\\.timeout\\([^)]*\\)'],
    ['(?:socket\\?|server)', '\\.setTimeout\\([^,)]*'],
  ]
    .map((parts) => `(?:${parts.join('')})`)
    .join('|'),
  'g',
);

const LIMITS: Readonly<Record<string, string>> = {
  'progress/patience STILL_MS': 'of stillness',
  'progress/beat CIRCLES_MS': 'of CPU time',
  'progress/patience CIRCLES_MS': 'of CPU time',
  'observe/metrics MOST_HANGING_SECONDS': 'of stillness or of CPU time, see Beat',
  'agent/agent STOP_STILL_MS': 'of stillness',
  'agent/dataplane REBIND_STILL_MS': 'of stillness',
  'linux/monitor TRIAL_MS': 'one that passes changes nothing',
  'linux/monitor timeout:TRIAL_MS': 'the same',
  'lease/etcd/own/keeper LAST_WRITE_MS': 'a courtesy at the end; the lease stays valid without',
  'lease/etcd/lines MOST_PATIENCE': 'grows the limit of a call where etcd or we are slow',
  'agent/node/uplink-watch PATIENCE_MS': 'an address may be gone for so long; nothing ends by it',
  'log PATIENCE_MS': 'a line of the log is lost, and counted; nothing ends by it',
  'dataplane/worker PATIENCE_MS': 'a look at the stop flag',
  'doctor/node/clock DEADLINE_MS': 'a finding that is left out, not one that is made',
  'doctor/node/clock timeout:DEADLINE_MS': 'the same',
  'probe/ping PATIENCE_MS': 'what ping(8) means by lost',
  'probe/overlay LOST_AFTER_MS': 'a measure shown to people; nothing ends by it',
  'http/server DEADLINE_MS': 'a client that is slow is cut and asks again',
  'http/server server.setTimeout(2 * DEADLINE_MS': 'the same',
  'http/server socket?.setTimeout(0': 'none',
  'api/client DEADLINE_MS': 'a person waits, and is told to ask again',
  'api/client timeout:DEADLINE_MS': 'the same',
  'api/stream/client HEAD_DEADLINE_MS': 'the same',
  'api/stream/outflow LAST_WORDS_MS': 'a client that reads no more',
  'api/stream/outflow socket?.setTimeout(LAST_WORDS_MS': 'a client that reads no more',
  'cli/watch/monitor LAST_SUMMARY_MS': 'a person pressed Ctrl-C',
};

const root = fileURLToPath(new URL('../../..', import.meta.url));

function limits(path: string, text: string): string[] {
  const code = blankComments(text);
  const found = [LIMIT, NAMELESS].flatMap((pattern) => [...code.matchAll(pattern)]);
  const file = path.replace(/^src\//, '').replace(/\.ts$/, '');
  return found.map(([whole, name]) => `${file} ${(name ?? whole).replace(': ', ':')}`);
}

test('every limit by the clock has a reason', () => {
  const made = limits('src/x.ts', 'const A_DEADLINE_MS = 5;\nserver.setTimeout(3);');
  assert.deepEqual(made, ['x A_DEADLINE_MS', 'x server.setTimeout(3']);
  const sources = readSources(root, 'src', ['.ts']);
  const found = sources
    .filter(({ path }) => !path.startsWith('src/page/') && !path.startsWith('src/sys/'))
    .flatMap(({ path, text }) => limits(path, text));
  const unknown = found.filter((limit) => !Object.hasOwn(LIMITS, limit));
  assert.deepEqual(unknown, [], 'let it be a limit of progress, or say here why not');
  const gone = Object.keys(LIMITS).filter((limit) => !found.includes(limit));
  assert.deepEqual(gone, []);
});
