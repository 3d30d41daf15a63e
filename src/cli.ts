#!/usr/bin/env node
import { useCompileCache } from './cli/start/compile-cache.ts';

useCompileCache();
// Only what is loaded after that comes out of the cache.
const { main } = await import('./cli/main.ts');

process.exit(await main(process.argv.slice(2), process.env));
