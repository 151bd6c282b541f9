#!/usr/bin/env bash
# The example file_server under load: many requests a second, and thousands of downloads that nobody reads.
# With --long for longer. Takes about a minute without, three with.
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

# wrk says nothing of what went well: "status" counts the answers from 400 on, and the bytes tell of those without a body.
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
wait "$server" || { cat "$work/err" >&2; echo "the server ended badly" >&2; exit 1; }
# wrk leaves in the middle of its last requests; those may have a line too.
logged=$(grep -c '" 200 ' "$work/log")
[ "$logged" -ge "$answered" ] || { echo "$answered requests, but $logged lines in the log" >&2; exit 1; }

# The loopback interface has segments of 64 KiB, and the kernel takes that for a reason to buffer more than a megabyte for each
# connection: ten thousand would use up its memory for all of them (net.ipv4.tcp_mem). A network of our own has a network's
# segments and small buffers. Where there is none to be had, there are fewer downloads.
narrow='ip link set lo up mtu 1500 && echo 4096 16384 32768 >/proc/sys/net/ipv4/tcp_wmem && exec "$@"'
apart=(unshare --net sh -c "$narrow" sh)
[ "$(id -u)" = 0 ] || apart=(unshare --map-root-user --net sh -c "$narrow" sh)
count=10000
"${apart[@]}" true 2>/dev/null || { apart=() count=900; }
"${apart[@]}" python3 tests/stalled_downloads.py target/release/examples/file_server "$work/root/16777216" "$count" "$rounds"
