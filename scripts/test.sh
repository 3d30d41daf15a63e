#!/bin/bash
# Runs the built tests: first those that need nothing but Node, side by side; then those that own
# network namespaces, one after the other. A skipped test is a failure, and so is anything that a
# test left behind. Arguments are files of dist/test to run instead of all.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(id -u)" -ne 0 ]; then
  # Root of a user namespace of our own may make network namespaces and TUN devices too.
  if [ -z "${TEST_UNSHARED:-}" ] && [ -w /dev/net/tun ] &&
    unshare --user --map-root-user --net --mount true 2>/dev/null; then
    export TEST_UNSHARED=1
    exec unshare --user --map-root-user --net --mount -- /bin/bash -c \
      'mount -t tmpfs tmpfs /run && exec "$0" "$@"' "$0" "$@"
  fi
  echo "weft: the tests make network namespaces: run them as root (sudo make test)." >&2
  echo "This host gives its users no /dev/net/tun, or no namespaces of their own" >&2
  echo "(user.max_user_namespaces, kernel.unprivileged_userns_clone, AppArmor)." >&2
  exit 1
fi

results=$(mktemp -d "${TMPDIR:-/tmp}/weft-results.XXXXXX")
TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/weft-test.XXXXXX")
TEST_RUN=$$
export TMPDIR TEST_RUN
trap 'rm -rf "$results" "$TMPDIR"' EXIT

mapfile -t files < <(
  if [ $# -gt 0 ]; then printf '%s\n' "$@"; else find dist/test -name '*.test.js' | sort; fi
)
unit=() netns=()
for file in "${files[@]}"; do
  case "$file" in *test/netns/*) netns+=("$file") ;; *) unit+=("$file") ;; esac
done

namespaces() { ip netns list | awk '$1 ~ /^weft-/ { print $1 }' | sort; }
# A namespace is named after the process that made it (test/support/topology.ts). One whose maker
# still lives belongs to another run beside this one.
orphans() {
  local name maker
  while read -r name; do
    maker=${name#weft-}
    [ -d "/proc/$((36#${maker%%-*}))" ] || printf '%s\n' "$name"
  done
}
devices() { ip -brief link | awk '{ print $1 }' | sort; }

# Processes of this run carry its number in their environment, children of children too.
processes() {
  local directory
  for directory in /proc/[0-9]*; do
    [ "${directory#/proc/}" -ne $$ ] || continue
    if tr '\0' '\n' 2>/dev/null <"$directory/environ" | grep -qx "TEST_RUN=$$"; then
      printf '%s %s\n' "${directory#/proc/}" "$(tr '\0' ' ' <"$directory/cmdline")"
    fi
  done 2>/dev/null
}

# A group is one call of Node's runner: name, how many files at once, files.
run_group() {
  local name=$1 at_once=$2
  shift 2
  [ $# -gt 0 ] || return 0
  echo "== $name tests"
  node --test --test-concurrency="$at_once" --test-timeout="${TEST_TIMEOUT_MS:-240000}" \
    --test-reporter=spec --test-reporter-destination=stdout \
    --test-reporter=tap --test-reporter-destination="$results/$name.tap" "$@" ||
    failed=1
}

failed=0
namespaces >"$results/namespaces.before"
devices >"$results/devices.before"
run_group unit "$(nproc)" ${unit[@]+"${unit[@]}"}
run_group netns 1 ${netns[@]+"${netns[@]}"}

unset TEST_RUN
left=$(
  namespaces | comm -13 "$results/namespaces.before" - | orphans | sed 's/^/namespace /'
  devices | comm -13 "$results/devices.before" - | sed 's/^/device /'
  processes | sed 's/^/process /'
  find "$TMPDIR" -mindepth 1 -maxdepth 1 | sed 's/^/file /'
)
if [ -n "$left" ]; then
  printf 'weft: the tests left behind:\n%s\n' "$left" >&2
  failed=1
fi

# The runner ends its report with lines such as "# pass 12".
total() {
  cat "$results"/*.tap 2>/dev/null |
    awk -v key="$1" '$1 == "#" && $2 == key { n += $3 } END { print n + 0 }'
}
passed=$(total pass)
broken=$(($(total fail) + $(total cancelled)))
skipped=$(($(total skipped) + $(total todo)))
if [ "$skipped" -gt 0 ]; then
  echo "weft: $skipped tests were skipped; nothing may be skipped here:" >&2
  grep -hE '# (SKIP|TO''DO)' "$results"/*.tap >&2 || true
  failed=1
fi
if [ $((passed + broken)) -eq 0 ]; then
  echo "weft: no test ran; is dist/ built?" >&2
  failed=1
fi
if [ "$failed" -ne 0 ] && [ "$broken" -eq 0 ]; then broken=1; fi
echo "$passed passed, $broken failed, $skipped skipped"
exit "$failed"
