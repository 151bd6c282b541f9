#!/usr/bin/env bash
# Tests the example file_server under load: many requests, and thousands of stalled downloads.
#   tests/load.sh [--long]       takes about a minute, or three with --long
set -euo pipefail
cd "$(dirname "$0")/.."
command -v wrk >/dev/null || { echo "wrk is needed: apt-get install wrk" >&2; exit 1; }
seconds=10 rounds=1
if [ "${1-}" = --long ]; then seconds=30 rounds=5; fi
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
cargo build --quiet --locked --release --example file_server

mkdir "$work/root"
for size in 1024 65536 1048576 16777216; do head -c "$size" /dev/urandom >"$work/root/$size"; done

target/release/examples/file_server "$work/root" --addr 127.0.0.1:0 --log "$work/log" >"$work/out" 2>"$work/err" &
server=$!
for _ in $(seq 200); do [ -s "$work/out" ] && break; sleep 0.05; done
url=$(sed -n '1s/^listening on //p' "$work/out")

# wrk does not count successes. `e.status` counts responses with status 400 and above. The number of
# bytes shows responses without a body.
cat >"$work/report.lua" <<'LUA'
function done(summary, latency)
  local e = summary.errors
  local failed = e.connect + e.read + e.write + e.timeout
  print("REPORT", summary.requests, summary.bytes, failed, e.status, math.floor(summary.requests / summary.duration * 1e6))
end
LUA
answered=0
for size in 1024 65536 1048576; do
  wrk --threads 1 --connections 64 --duration "${seconds}s" --script "$work/report.lua" "$url/$size" >"$work/wrk"
  read -r _ requests bytes failed refused rate < <(grep ^REPORT "$work/wrk")
  if [ "$failed" != 0 ] || [ "$refused" != 0 ] || [ "$requests" = 0 ] || [ "$bytes" -lt $((requests * size)) ]; then
    cat "$work/wrk" "$work/err" >&2
    echo "64 connections, $size bytes: requests failed" >&2
    exit 1
  fi
  answered=$((answered + requests))
  echo "64 connections, $size bytes: $requests requests, $rate a second, none failed"
done
kill -TERM "$server"
wait "$server" || { cat "$work/err" >&2; echo "the server ended with an error" >&2; exit 1; }
# wrk disconnects during its last requests, and these may have a line in the log too.
logged=$(grep -c '" 200 ' "$work/log")
[ "$logged" -ge "$answered" ] || { echo "$answered requests, but $logged lines in the log" >&2; exit 1; }

# The loopback interface has segments of 64 KiB, so the kernel buffers more than a megabyte for each
# connection. Ten thousand of them would exceed its limit (net.ipv4.tcp_mem). The script makes a
# network namespace with usual segments and small buffers. If it cannot, it runs fewer downloads.
set_up_network='ip link set lo up mtu 1500 && echo 4096 16384 32768 >/proc/sys/net/ipv4/tcp_wmem && exec "$@"'
in_namespace=(unshare --net sh -c "$set_up_network" sh)
[ "$(id -u)" = 0 ] || in_namespace=(unshare --map-root-user --net sh -c "$set_up_network" sh)
count=10000
"${in_namespace[@]}" true 2>/dev/null || { in_namespace=() count=900; }
"${in_namespace[@]}" python3 tests/stalled_downloads.py target/release/examples/file_server "$work/root/16777216" "$count" "$rounds"
