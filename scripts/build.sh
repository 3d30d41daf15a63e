#!/bin/sh
# Compiles TypeScript to dist/, and the SIMD checksum to wasm beside the file that loads it.
set -eu
cd "$(dirname "$0")/.."
mkdir -p dist/src/wire
npx tsc -p tsconfig.json
npx asc assembly/sum.ts --outFile dist/src/wire/sum.wasm \
  --runtime stub --enable simd --importMemory --noAssert -O3 --initialMemory 1
# The status page: modules for the browser, plain files, and uPlot, all served as they are.
npx tsc -p src/page/tsconfig.json
cp src/page/static/* dist/src/page/
cp dist/src/untrusted/text.js dist/src/page/text.js
cp node_modules/uplot/dist/uPlot.esm.js dist/src/page/panel/uplot.js
cp node_modules/uplot/dist/uPlot.min.css dist/src/page/uplot.css
chmod +x dist/src/cli.js 2>/dev/null || true
