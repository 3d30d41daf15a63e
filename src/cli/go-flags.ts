/**
 * Command lines as Go's flag package takes them, brought into the one form that commander needs:
 * `-iface eth0`, `--iface=eth0` and `-iface=eth0` all become `--iface=eth0`, a bare switch becomes
 * `--ip-masq=true`. As in Go a value may begin with a dash, and a switch takes one only with `=`.
 * Source: https://pkg.go.dev/flag#hdr-Command_line_flag_syntax
 */
import { FLANNEL_FLAGS, type FlannelFlag } from '../config/flannel-flags.ts';
import { didYouMean } from '../config/values.ts';

/** A flag that the command has; one that takes no value is a switch. */
export interface KnownFlag {
  readonly name: string;
  readonly takesValue: boolean;
}

export interface GoCommandLine {
  /** The command's name after `weft`, for messages. */
  readonly command: string;
  readonly words: readonly string[];
  readonly known: readonly KnownFlag[];
  /** Where `FLANNELD_...` of flags that weft does not honour are looked for. */
  readonly environment: NodeJS.ProcessEnv;
}

export interface ReadCommandLine {
  /** `--name=value` each, in the order given; `--help` is left to who shows it. */
  readonly words: readonly string[];
  /** One line for each flag or variable of flannel's that is taken without effect. */
  readonly warnings: readonly string[];
  /** What cannot be: unknown flags, missing values, stray words; one sentence each. */
  readonly faults: readonly string[];
  /** `--version`, which flanneld takes and commander knows only in front of the command. */
  readonly versionAsked: boolean;
}

interface Flag {
  readonly name: string;
  /** Undefined without `=`. */
  readonly value: string | undefined;
}

/** Reads a whole command line; never throws. */
export function readGoFlags(line: GoCommandLine): ReadCommandLine {
  const reader = new Reader(line);
  reader.readWords();
  reader.readEnvironment();
  return {
    words: reader.words,
    warnings: [...reader.warnings.values()],
    faults: reader.faults,
    versionAsked: reader.versionAsked,
  };
}

class Reader {
  readonly words: string[] = [];
  readonly warnings = new Map<string, string>();
  readonly faults: string[] = [];
  versionAsked = false;
  private readonly line: GoCommandLine;
  private readonly known: ReadonlyMap<string, KnownFlag>;
  private readonly flannels: ReadonlyMap<string, FlannelFlag>;
  private readonly given = new Set<string>();
  private at = 0;

  constructor(line: GoCommandLine) {
    this.line = line;
    this.known = new Map(line.known.map((flag) => [flag.name, flag]));
    this.flannels = new Map(FLANNEL_FLAGS.map((flag) => [flag.name, flag]));
  }

  readWords(): void {
    const { words } = this.line;
    while (this.at < words.length) {
      const word = words[this.at++]!;
      const flag = parseFlag(word);
      if (flag === undefined) this.stray(word);
      else if (flag.name === 'help' || flag.name === 'h') this.words.push('--help');
      else this.take(flag);
    }
  }

  /** As in flannel a variable counts where its flag is not given and it is not empty. */
  readEnvironment(): void {
    for (const flag of this.flannels.values()) {
      if (flag.treatment === 'honoured' || this.given.has(flag.name)) continue;
      const variable = `FLANNELD_${flag.name.toUpperCase().replaceAll('-', '_')}`;
      const value = this.line.environment[variable] ?? '';
      if (value !== '') this.decline(variable, flag, value);
    }
  }

  private take({ name, value }: Flag): void {
    const flag = this.known.get(name) ?? this.flannels.get(name);
    this.given.add(name);
    const text = value ?? (flag?.takesValue === true ? this.nextWord() : 'true');
    if (flag === undefined) this.unknown(name, value);
    else if (text === undefined) this.faults.push(`--${name} needs a value`);
    else if (name === 'version') this.versionAsked ||= goBoolean(text) === 'true';
    else if (this.known.has(name)) this.words.push(`--${name}=${this.canonical(flag, text)}`);
    else this.foreign(this.flannels.get(name)!, text);
  }

  private nextWord(): string | undefined {
    return this.line.words[this.at++];
  }

  private canonical(flag: KnownFlag, text: string): string {
    return flag.takesValue ? text : (goBoolean(text) ?? text);
  }

  /** A flag of flannel's that this command has not. */
  private foreign(flag: FlannelFlag, text: string): void {
    if (flag.treatment === 'honoured') {
      const { command } = this.line;
      this.faults.push(`--${flag.name} is no option of weft ${command}: it is one of weft run`);
    } else {
      this.decline(`--${flag.name}`, flag, text);
    }
  }

  private decline(spelling: string, flag: FlannelFlag, text: string): void {
    const value = flag.takesValue ? text : (goBoolean(text) ?? text);
    if (value === flag.fallback) return;
    const shown = `${spelling}=${value}`;
    if (flag.treatment === 'refused') this.faults.push(`${shown} is not supported: ${flag.note}`);
    else this.warnings.set(flag.name, `${shown} has no effect in weft: ${flag.note}`);
  }

  private unknown(name: string, value: string | undefined): void {
    const names = [...this.known.keys(), ...this.flannels.keys()].map((each) => `--${each}`);
    const near = didYouMean(`--${name}`, [...new Set(names)]);
    this.faults.push(`--${name} is no option of weft ${this.line.command}${near}`);
    // The word after it is most likely its value, and not worth a sentence of its own.
    const next = this.line.words[this.at];
    if (value === undefined && next !== undefined && parseFlag(next) === undefined) this.at += 1;
  }

  private stray(word: string): void {
    const before = parseFlag(this.line.words[this.at - 2] ?? '');
    const isSwitch = before?.value === undefined && this.known.get(before?.name ?? '');
    const cure =
      isSwitch && !isSwitch.takesValue && goBoolean(word) !== undefined
        ? `write --${isSwitch.name}=${goBoolean(word)}`
        : `weft ${this.line.command} takes options only`;
    this.faults.push(`'${word}' is left over: ${cure}`);
  }
}

function parseFlag(word: string): Flag | undefined {
  const match = /^--?([A-Za-z][\w-]*)(?:=(.*))?$/s.exec(word);
  return match === null ? undefined : { name: match[1]!, value: match[2] };
}

/** What Go's strconv.ParseBool takes; undefined for anything else. */
function goBoolean(text: string): 'true' | 'false' | undefined {
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(text)) return 'true';
  if (['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(text)) return 'false';
  return undefined;
}
