#!/bin/bash
# Runs the namespace tests once with each rung of the ladder of offloads forced off, and once with
# all. Arguments are the rungs to take instead of every one.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ $# -gt 0 ]; then
  rungs=("$@")
else
  list='const { FEATURES } = await import("./dist/src/dataplane/messages.js");
    console.log([...FEATURES, "all"].join("\n"));'
  mapfile -t rungs < <(node --input-type=module --eval "$list")
fi
# These try every rung by themselves.
mapfile -t files < <(find dist/test/netns -name '*.test.js' ! -name 'rungs.test.js' | sort)

failed=()
for rung in "${rungs[@]}"; do
  echo "== with --offload $rung=off"
  TEST_OFFLOAD="$rung=off" scripts/test.sh "${files[@]}" || failed+=("$rung")
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "weft: namespace tests fail without: ${failed[*]}" >&2
  exit 1
fi
echo "namespace tests pass with each of these off: ${rungs[*]}"
