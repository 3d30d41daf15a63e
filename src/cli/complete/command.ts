import { Argument, Command } from 'commander';
import type { MakeCommand } from '../arguments.ts';
import { EXIT } from '../exit.ts';
import { printText } from '../format/print.ts';
import { completionFor, SHELLS, type Shell } from './shells.ts';
import { wordsOf } from './words.ts';

const EXAMPLES = `Examples:
  source <(weft completion bash)                                    this shell only
  weft completion bash > /etc/bash_completion.d/weft
  weft completion zsh > /usr/local/share/zsh/site-functions/_weft
  weft completion fish > ~/.config/fish/completions/weft.fish`;

export const completionCommand: MakeCommand = (_, end) => {
  const command = new Command('completion')
    .summary('completion of commands and options for a shell')
    .description('Prints a script that teaches a shell to complete the commands of weft.')
    .addArgument(new Argument('<shell>', 'the shell').choices(SHELLS))
    .addHelpText('after', `\n${EXAMPLES}`)
    .helpOption('-h, --help', 'show this help');
  return command.action(async (shell: Shell) => {
    await printText(completionFor(shell, wordsOf(command.parent!)));
    end(EXIT.ordered);
  });
};
