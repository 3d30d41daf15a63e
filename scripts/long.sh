#!/bin/bash
# Runs the tests that have a long form (they look at TEST_LONG) in that form, hours in all.
# Arguments are files of dist/test to run instead of all of them.
set -euo pipefail
cd "$(dirname "$0")/.."

files=("$@")
if [ $# -eq 0 ]; then
  mapfile -t files < <(grep -rl --include='*.test.js' 'process\.env\.TEST_LONG' dist/test | sort)
fi
export TEST_LONG=1
exec scripts/test.sh "${files[@]}"
