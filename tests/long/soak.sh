#!/usr/bin/env bash
# Runs tests/soak.rs for ten minutes with 5,000 concurrent clients. Two servers run at once, with
# 256 and with 20,000 descriptors. SENDLOOP_SOAK_SECONDS and SENDLOOP_SOAK_CLIENTS change the numbers.
set -euo pipefail
cd "$(dirname "$0")/../.."
export SENDLOOP_SOAK_SECONDS=${SENDLOOP_SOAK_SECONDS-600} SENDLOOP_SOAK_CLIENTS=${SENDLOOP_SOAK_CLIENTS-5000}
cargo test --locked --release --quiet --test soak --no-run
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Connections without a reader hold kernel memory, which net.ipv4.tcp_mem limits. The script makes a
# network namespace with usual segments, small buffers, and a listener queue for all clients.
set_up_network='ip link set lo up mtu 1500 && echo 16384 >/proc/sys/net/core/somaxconn && echo 4096 16384 32768 >/proc/sys/net/ipv4/tcp_wmem &&
  echo 4096 16384 32768 >/proc/sys/net/ipv4/tcp_rmem && exec "$@"'
in_namespace=(unshare --net sh -c "$set_up_network" sh)
[ "$(id -u)" = 0 ] || in_namespace=(unshare --map-root-user --net sh -c "$set_up_network" sh)

soak() { # DESCRIPTORS TEST
  local status=0
  SENDLOOP_SOAK_DESCRIPTORS=$1 "${in_namespace[@]}" cargo test --locked --release --quiet --test soak -- \
    --exact "soak::round::$2" --nocapture >"$work/$1" 2>&1 || status=$?
  printf '\n%s descriptors:\n' "$1"
  cat "$work/$1"
  return $status
}

soak 256 few_descriptors &
few=$!
soak 20000 descriptors_for_all &
many=$!
failed=0
wait $few || failed=1
wait $many || failed=1
exit $failed
