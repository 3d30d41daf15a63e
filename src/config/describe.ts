import { type GivenOptions, optionName, textsOf } from '../config.ts';
import { type Daemon, type OptionRow, optionsOf } from './options.ts';

/** One option as the operator may see it. */
export interface DescribedOption {
  readonly name: string;
  /** As text; null where it is not set, or secret. */
  readonly value: string | null;
  /** `--port`, `WEFT_PORT`, `FLANNELD_IFACE`, or `default`. */
  readonly origin: string;
  readonly secret: boolean;
}

/** Every option of a command with its value and where that comes from; secrets only as names. */
export function describeOptions(
  daemon: Daemon,
  given: GivenOptions,
  environment: NodeJS.ProcessEnv,
): DescribedOption[] {
  return optionsOf(daemon).map(([, row]) => {
    const found = textsOf(row, given, environment);
    const secret = row.secret === true;
    const value = found === undefined ? fallbackText(row) : found.texts.map(withoutUser).join(',');
    return {
      name: optionName(row),
      value: secret ? null : value,
      origin: found?.name ?? 'default',
      secret,
    };
  });
}

function fallbackText({ shown, fallback }: OptionRow<unknown>): string | null {
  if (shown !== undefined) return shown;
  if (fallback === undefined || (Array.isArray(fallback) && fallback.length === 0)) return null;
  return String(fallback);
}

/** `https://user:password@host` → `https://host`: addresses of servers may carry a password. */
function withoutUser(text: string): string {
  return text.replace(/^([a-z][a-z0-9+.-]*:\/\/)?.*@/i, '$1');
}
