#!/usr/bin/env bash
# Runs the release builds of the examples that transfer files and compares the bytes that arrive.
# tests/examples.rs runs the other examples.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
cargo build --locked --release --example echo_server --example file_server --example send_file \
  --example recv_file
bin=target/release/examples

# Starts a server in the background and waits until it prints its address.
start() { # NAME ARGUMENT...
  local name=$1; shift
  rm -f "$work/$name.out"
  "$bin/$name" "$@" >"$work/$name.out" 2>"$work/$name.err" &
  for _ in $(seq 100); do
    [ -s "$work/$name.out" ] && break
    sleep 0.05
  done
}
address() { sed -n '1s/^listening on \(http:\/\/\)\{0,1\}//p' "$work/$1.out"; }

start echo_server 127.0.0.1:0
python3 - "$(address echo_server)" <<'PY'
import os, socket, sys
host, port = sys.argv[1].rsplit(":", 1)
with socket.create_connection((host, int(port)), timeout=10) as s:
    data = os.urandom(100_000)
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
    back = b"".join(iter(lambda: s.recv(65536), b""))
assert back == data
PY
echo "echo_server: 100000 bytes came back"

head -c 3000001 /dev/urandom >"$work/file"
start file_server "$work" --addr 127.0.0.1:0
curl -fsS "http://$(address file_server)/file" | cmp - "$work/file"
curl -fsS -r 1000-1999999 "http://$(address file_server)/file" | cmp - <(tail -c +1001 "$work/file" | head -c 1999000)
echo "file_server: a whole file and a range"

# Sends the file to a receiver and compares the file that it wrote with the standard input.
transfer() { # ARGUMENT...
  start recv_file 127.0.0.1:0 "$work/copy"
  local receiver=$!
  "$bin/send_file" "$(address recv_file)" "$work/file" "$@"
  wait "$receiver"
  sed -n '2p' "$work/recv_file.out"
  cmp "$work/copy" -
}
transfer <"$work/file"
transfer --offset 1000001 < <(tail -c +1000002 "$work/file")
transfer --offset 17 --count 70001 < <(tail -c +18 "$work/file" | head -c 70001)
transfer --offset 3000000 --count 100 < <(tail -c 1 "$work/file")
transfer --count 0 </dev/null
echo "send_file and recv_file: a whole file and ranges"

# After a broken connection, the old file is still there and no temporary file is left.
cp "$work/file" "$work/before"
start recv_file 127.0.0.1:0 "$work/file"
receiver=$!
python3 - "$(address recv_file)" <<'PY'
import socket, struct, sys
host, port = sys.argv[1].rsplit(":", 1)
with socket.create_connection((host, int(port)), timeout=10) as s:
    s.sendall(bytes(100_000))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
PY
if wait "$receiver"; then echo "recv_file: exited with success after a connection reset" >&2; exit 1; fi
grep -q 'ConnectionReset' "$work/recv_file.err"
cmp "$work/file" "$work/before"
[ -z "$(find "$work" -name '.tmp*')" ]
echo "recv_file: a broken connection leaves the old file"
