/**
 * The reporter that runs inside each test file: every event becomes a line of JSON in the file that
 * TEST_EVENTS names. It is written at once, so that nothing is lost of a file that is killed.
 */
import { openSync, writeSync } from 'node:fs';
import type { TestEvent } from 'node:test/reporters';
import { inspect } from 'node:util';

/** What the runner has to know of one event. */
export interface Line {
  readonly kind: 'begin' | 'pass' | 'fail' | 'note';
  readonly name: string;
  /** 0 for a test of the file itself, 1 for one of its suite, and so on. */
  readonly depth: number;
  readonly milliseconds: number;
  readonly isSuite: boolean;
  /** Why the test was not run; it did run where this is missing. */
  readonly left?: string;
  /** What went wrong, or what a test had to say. */
  readonly text?: string;
}

const KINDS = {
  'test:dequeue': 'begin',
  'test:pass': 'pass',
  'test:fail': 'fail',
  'test:diagnostic': 'note',
} as const;

interface Data {
  readonly name?: string;
  readonly nesting: number;
  readonly skip?: string | boolean;
  readonly todo?: string | boolean;
  readonly message?: string;
  readonly details?: { duration_ms: number; type?: string; error?: Error & { cause?: unknown } };
}

export default async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const file = openSync(process.env.TEST_EVENTS!, 'a');
  for await (const { type, data } of source) {
    if (type in KINDS) {
      const line = lineOf(KINDS[type as keyof typeof KINDS], data as unknown as Data);
      writeSync(file, `${JSON.stringify(line)}\n`);
    }
  }
  // All is in the file.
  yield '';
}

function lineOf(kind: Line['kind'], data: Data): Line {
  const { name = '', nesting: depth, details } = data;
  const left = [data.skip, data.todo].find((why) => why !== undefined && why !== false);
  const text =
    kind === 'note' ? data.message : kind === 'fail' ? faultOf(details?.error) : undefined;
  return {
    ...{ kind, name, depth, isSuite: details?.type === 'suite' },
    milliseconds: details?.duration_ms ?? 0,
    ...(left !== undefined && { left: left === true ? 'no reason given' : String(left) }),
    ...(text !== undefined && { text }),
  };
}

/** Node wraps what a test throws. */
function faultOf(error: (Error & { cause?: unknown }) | undefined): string {
  const cause = error?.cause ?? error;
  return cause instanceof Error ? inspect(cause) : String(cause);
}
