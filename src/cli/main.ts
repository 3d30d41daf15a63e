import { EXIT, explainEnd } from './exit.ts';
import { printText } from './format/print.ts';
import { ownVersion } from './start/versions.ts';

/**
 * Runs one command of weft to its end. What a command needs is loaded for that command alone: the
 * version is asked for by scripts, and shown before the first of it.
 * @param words the command line without the program
 * @returns the exit code, see EXIT
 */
export async function main(
  words: readonly string[],
  environment: NodeJS.ProcessEnv,
): Promise<number> {
  try {
    if (words.length === 1 && (words[0] === '--version' || words[0] === '-V')) {
      await printText(`${ownVersion()}\n`);
      return EXIT.ordered;
    }
    const { runProgram } = await import('./program.ts');
    return await runProgram(words, environment);
  } catch (error) {
    return explainEnd(error);
  }
}
