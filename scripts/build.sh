#!/bin/bash
# Builds into a folder of its own, which then takes the place of dist/ in one step: weft that runs
# from there, and whoever starts it meanwhile, never meets half a build. One that is interrupted
# leaves dist/ as it was.
set -euo pipefail
cd "$(dirname "$0")/.."

# Of builds that were killed. The name ends in the number of the process that builds.
for left in dist.build-*; do
  [ -d "$left" ] && ! kill -0 "${left##*-}" 2>/dev/null && rm -rf "$left"
done

build=dist.build-$$
checksum=
trap 'kill $checksum 2>/dev/null || true; rm -rf "$build" "$build.former"' EXIT
trap 'exit 130' INT TERM HUP
mkdir -p "$build/src/wire"

# The checksum to wasm, beside the file that loads it, while the compiler is at work.
npx asc assembly/sum.ts --outFile "$build/src/wire/sum.wasm" \
  --runtime stub --enable simd --importMemory --noAssert -O3 --initialMemory 1 &
checksum=$!
npx tsc -p tsconfig.json --outDir "$build"
# The status page: modules for the browser, plain files, and uPlot, all served as they are.
npx tsc -p src/page/tsconfig.json --outDir "$build"
cp src/page/static/* "$build/src/page/"
cp "$build/src/untrusted/text.js" "$build/src/page/text.js"
cp node_modules/uplot/dist/uPlot.esm.js "$build/src/page/panel/uplot.js"
cp node_modules/uplot/dist/uPlot.min.css "$build/src/page/uplot.css"
wait "$checksum"
checksum=

node "$build/scripts/build/bundle.js" "$PWD" "$PWD/$build"
node "$build/scripts/build/publish.js" "$build" dist
