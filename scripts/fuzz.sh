#!/bin/bash
# Fuzzes every target for FUZZ_SECONDS (60), after its corpus. A failure prints the seed and the
# case as hexadecimal text, to be kept in test/corpus. TEST_SEED repeats a run. Arguments are
# targets to take instead of all.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ $# -gt 0 ]; then
  files=("${@/#/dist/test/fuzz/}")
  files=("${files[@]/%/.test.js}")
else
  mapfile -t files < <(find dist/test/fuzz -name '*.test.js' | sort)
fi
export TEST_FUZZ_SECONDS=${FUZZ_SECONDS:-60}
exec node --test --test-concurrency="$(nproc)" --test-reporter=spec "${files[@]}"
