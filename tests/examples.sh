#!/usr/bin/env bash
# Runs every example once, as their headers say, and compares what arrives.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
cargo build --locked --release --examples
bin=target/release/examples

# Starts a server in the background and prints where it listens, as its first line says.
start() { # NAME ARGUMENT...
  local name=$1; shift
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
echo "file_server: whole and in part"

python3 - "$work" <<'PY' &
import pathlib, socket, sys
work = pathlib.Path(sys.argv[1])
with socket.create_server(("127.0.0.1", 0)) as listener:
    (work / "port").write_text(str(listener.getsockname()[1]) + "\n")
    with listener.accept()[0] as s:
        (work / "received").write_bytes(b"".join(iter(lambda: s.recv(65536), b"")))
PY
receiver=$!
for _ in $(seq 100); do [ -s "$work/port" ] && break; sleep 0.05; done
"$bin/send_file" "127.0.0.1:$(cat "$work/port")" "$work/file"
wait "$receiver"
cmp "$work/received" "$work/file"
echo "send_file: arrived"
