import { commandRunner, type Run } from '../../src/linux/command.ts';
import { ownPrefix } from '../support/maker.ts';
import { atEnd, attempt, run } from '../support/process.ts';

let number = 0;

/** A network namespace of a test's own. */
export interface Namespace {
  readonly name: string;
  /** Runs programs inside, as the agent would. */
  readonly run: Run;
  /** Several lines of `ip -batch`. */
  ip(batch: string): void;
  remove(): void;
}

export function createNamespace(): Namespace {
  const name = `${ownPrefix}-s${(number++).toString(36)}`;
  run(['ip', 'netns', 'add', name]);
  const forget = atEnd(() => attempt(['ip', 'netns', 'delete', name]));
  return {
    name,
    run: commandRunner(['ip', 'netns', 'exec', name]),
    ip: (batch) => {
      run(['ip', '-n', name, '-batch', '-'], { input: batch });
    },
    remove: () => {
      forget();
      run(['ip', 'netns', 'delete', name]);
    },
  };
}
