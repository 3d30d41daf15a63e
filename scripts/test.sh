#!/bin/bash
# Runs the built tests as root: scripts/test/main.ts says how. Arguments are files of dist/test to
# run instead of all; --quick takes those that need no root, and runs as anybody.
set -euo pipefail
cd "$(dirname "$0")/.."

runner=dist/scripts/test/main.js
if [ ! -f "$runner" ]; then
  echo "weft: no test ran; is dist/ built? (make build)" >&2
  exit 1
fi

if [ "$(id -u)" -ne 0 ] && [ "${1:-}" != --quick ]; then
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

exec node "$runner" "$@"
