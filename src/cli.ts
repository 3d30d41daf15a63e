#!/usr/bin/env node
import { writeSync } from 'node:fs';
import { useCompileCache } from './cli/start/compile-cache.ts';
import { explainLimit } from './cli/start/resource-limits.ts';

useCompileCache();
process.exit(await run());

async function run(): Promise<number> {
  try {
    // Only what is loaded after that comes out of the cache.
    const { main } = await import('./cli/main.ts');
    return await main(process.argv.slice(2), process.env);
  } catch (error) {
    // Where not even our own files can be opened there is no other door: the words are ours.
    const limit = explainLimit(error);
    if (limit === undefined) throw error;
    writeSync(2, `weft: ${limit}\n`);
    return 3;
  }
}
