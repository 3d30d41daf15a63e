#!/bin/sh
# Runs the built demo. It gets a session of its own, so that Ctrl-C reaches only this script, which
# passes it on: the demo then stops its own processes in order instead of all being hit at once.
set -eu
cd "$(dirname "$0")/.."

if [ "$(id -u)" -ne 0 ]; then
  echo "weft: the demo makes network namespaces and TUN devices. Run it as root: sudo make demo" >&2
  exit 1
fi
if [ ! -c /dev/net/tun ]; then
  echo "weft: there is no /dev/net/tun. Load the module (modprobe tun); hand it to a container" >&2
  echo "that may make namespaces: docker run --privileged --device /dev/net/tun." >&2
  exit 1
fi

TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/weft-demo.XXXXXX")
export TMPDIR

# Not to be interrupted, and tried again: an etcd that was killed may still be on its last write.
remove_files() {
  trap '' INT TERM HUP
  tries=0
  until rm -rf "$TMPDIR" 2>/dev/null || [ "$tries" -ge 20 ]; do
    tries=$((tries + 1))
    sleep 0.1
  done
}
trap remove_files EXIT

setsid node dist/demo/main.js &
demo=$!
trap 'kill -INT "$demo" 2>/dev/null || true' INT
trap 'kill -TERM "$demo" 2>/dev/null || true' TERM HUP

# A signal ends `wait` before the demo has ended; then wait again.
status=0
while kill -0 "$demo" 2>/dev/null; do
  status=0
  wait "$demo" || status=$?
done
exit "$status"
