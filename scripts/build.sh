#!/bin/sh
# Compiles TypeScript to dist/ and the SIMD checksum to wasm beside the file that loads it.
set -eu
cd "$(dirname "$0")/.."
mkdir -p dist/src/wire
npx tsc -p tsconfig.json
npx asc assembly/sum.ts --outFile dist/src/wire/sum.wasm \
  --runtime stub --enable simd --importMemory --noAssert -O3 --initialMemory 1
chmod +x dist/src/cli.js 2>/dev/null || true
