/** What it costs to get from JavaScript into the kernel and back, by the kind of arguments. */
import { libc } from '../src/sys/binding.ts';
import { type Case, type MicroBench, mix, type Size } from './harness.ts';

const CALLS = { small: 2, real: 100 };
/** An iovec array of no entries: writev(2) checks the descriptor, copies nothing and returns 0. */
const NO_ENTRIES = 0;
const STANDARD_ERROR = 2;

function cases(size: Size): readonly Case[] {
  const calls = CALLS[size];
  const thread = libc.gettid();
  const view = new Uint8Array(64);
  const crossings: [string, () => number][] = [
    ['gettid, no arguments', () => libc.gettid() - thread],
    ['poll, NULL and numbers', () => libc.poll(null, 0, 0)],
    ['writev, a view', () => libc.writev(STANDARD_ERROR, view, NO_ENTRIES)],
  ];
  return crossings.map(([name, cross]) => {
    const run = () => {
      let hash = calls;
      for (let i = 0; i < calls; i++) hash = mix(hash, cross());
      return hash;
    };
    return { name, pieces: calls, piece: 'call', bytes: 0, run };
  });
}

export const crossing: MicroBench = { name: 'crossing', cases };
