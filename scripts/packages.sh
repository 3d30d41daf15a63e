#!/bin/sh
# Debian and Ubuntu packages that the demo, the tests and the benches use. Nothing to do: says
# nothing. Root: installs what is missing. Anybody else: the one line to run, and exit code 1.
set -eu

packages='
  iproute2 procps util-linux ethtool
  iputils-ping iperf3 socat sockperf tcpdump tshark strace
  nftables iptables wireguard-go wireguard-tools openvpn
  etcd-server etcd-client
  containernetworking-plugins
  openssl ethtool zsh fish groff-base
  prometheus chromium fonts-dejavu-core
'

# shellcheck disable=SC2086  # the list is ours and is meant to be split
missing=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $packages 2>/dev/null |
  awk -v wanted="$packages" '
    $1 == "installed" { have[$2] = 1 }
    END { n = split(wanted, w); for (i = 1; i <= n; i++) if (!(w[i] in have)) printf "%s ", w[i] }')
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
  echo "weft: these packages are missing. Run this once, then try again:" >&2
  echo "  sudo apt-get install --no-install-recommends $missing" >&2
  exit 1
fi

echo "installing: $missing" >&2
# RUNLEVEL=1 keeps the services of these packages (etcd, iperf3) from starting: invoke-rc.d(8).
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -qq -y --no-install-recommends $missing >/dev/null
