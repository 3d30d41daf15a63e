import type { Command, Option } from 'commander';

/** One option as a shell needs it. */
export interface OptionWords {
  /** `-o` and `--output`, or the long one alone. */
  readonly names: readonly string[];
  readonly help: string;
  /** `none`: a switch; `choices`: one of those; `any`: something a shell may take for a file. */
  readonly value: 'none' | 'any' | 'choices';
  readonly choices: readonly string[];
}

/** One command: its options, and the words its first argument may be. */
export interface CommandWords {
  readonly name: string;
  readonly help: string;
  readonly options: readonly OptionWords[];
  readonly words: readonly string[];
}

/** What may be typed after `weft`, read from the commands themselves. */
export function wordsOf(program: Command): CommandWords[] {
  return program.commands.map((command) => ({
    name: command.name(),
    help: command.summary(),
    options: [...command.options.map(optionWords), HELP],
    words: command.registeredArguments[0]?.argChoices ?? [],
  }));
}

const HELP: OptionWords = {
  names: ['-h', '--help'],
  help: 'show the help',
  value: 'none',
  choices: [],
};

function optionWords(option: Option): OptionWords {
  const { short, long, description, argChoices } = option;
  // A value that may be left out is completed as if there were none.
  const value = argChoices !== undefined ? 'choices' : option.required ? 'any' : 'none';
  return {
    names: [short, long].filter((name) => name !== undefined),
    help: firstSentence(description),
    value,
    choices: argChoices ?? [],
  };
}

/** Menus of shells have room for a few words. */
function firstSentence(text: string): string {
  return text.split(/[;(]/)[0]!.replace(/ \*$/, '').trim();
}
