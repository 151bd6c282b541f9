#!/usr/bin/env bash
# Counts the loop's system calls with strace, as counts are exact and times are not. Then it makes
# calls of the examples fail.
set -euo pipefail
cd "$(dirname "$0")/.."
for program in strace curl; do
  command -v $program >/dev/null || { echo "$program is needed: apt-get install $program" >&2; exit 1; }
done
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
cargo build --locked --release --example send_file --example recv_file
truncate -s 1G "$work/file"

python3 - "$work" <<'PY' &
import pathlib, socket, sys
work = pathlib.Path(sys.argv[1])
with socket.create_server(("127.0.0.1", 0)) as listener:
    (work / "port").write_text(str(listener.getsockname()[1]) + "\n")
    with listener.accept()[0] as s:
        buffer, total = bytearray(1 << 20), 0
        while n := s.recv_into(buffer):
            total += n
        (work / "total").write_text(str(total))
PY
receiver=$!
for _ in $(seq 100); do [ -s "$work/port" ] && break; sleep 0.05; done
strace -f -y -o "$work/trace" -e trace=epoll_ctl,sendfile,read,pread64,sendto,lseek \
  target/release/examples/send_file "127.0.0.1:$(cat "$work/port")" "$work/file"
wait "$receiver"
[ "$(cat "$work/total")" = $((1 << 30)) ] || { echo "$(cat "$work/total") bytes arrived, expected 1 GiB" >&2; exit 1; }

count() { grep -c "$1" "$work/trace" || true; }
echo "1 GiB: $(count ' sendfile(') sendfile, $(count 'epoll_ctl(') epoll_ctl, $(count 'sendto(') sendto, $(count 'pread64(') pread64"
# The trace also has the registrations of the loop's own descriptors, those of the inbox and Ctrl-C.
socket=$(sed -n '/ sendfile([0-9]*<socket/{s/.* sendfile(\([0-9]*\)<.*/\1/p;q}' "$work/trace")
[ "$(count "EPOLL_CTL_\(ADD\|MOD\), $socket<")" -le 1 ] || { echo "the socket was registered more than once" >&2; exit 1; }
[ "$(count 'sendto(')" = 0 ] || { echo "the transfer used sendto" >&2; exit 1; }
# No call asks for more than 1 MiB or more than the rest of the file.
awk '/ sendfile\(/ { if (match($0, /\[[0-9]+\]/)) { at = substr($0, RSTART + 1, RLENGTH - 2) }
  n = split($0, part, ", "); split(part[4], size, ")"); if (size[1] > 1048576) exit 1
  split(part[3], from, /[][]/); if (from[2] + size[1] > 1073741824) exit 1 }' "$work/trace" \
  || { echo "a call asked for more than 1 MiB or the rest of the file" >&2; exit 1; }

# sendfile(2) fails from the tenth call on. The transfer continues with the fallback and sends each
# byte exactly once.
head -c 20000001 /dev/urandom >"$work/random"
for error in EINVAL ENOSYS EOPNOTSUPP EPERM ESPIPE; do
  rm -f "$work/copy" "$work/copy.out"
  target/release/examples/recv_file 127.0.0.1:0 "$work/copy" >"$work/copy.out" 2>/dev/null &
  receiver=$!
  for _ in $(seq 100); do [ -s "$work/copy.out" ] && break; sleep 0.05; done
  strace -f -o /dev/null -e trace=sendfile -e inject=sendfile:error=$error:when=10+ \
    target/release/examples/send_file "$(sed -n '1s/^listening on //p' "$work/copy.out")" "$work/random" >/dev/null
  wait "$receiver"
  cmp "$work/random" "$work/copy"
done
echo "sendfile refused midway with five errors: the file is complete each time"

# file_server never sends an old file, even if the kernel refuses what its cache needs.
cargo build --locked --release --example file_server
mkdir "$work/site"
for fault in inotify_init1:error=EMFILE inotify_add_watch:error={ENOSPC,ENOMEM,EACCES} \
  inotify_add_watch:error=ENOSPC:when={2+2,3+3} inotify_rm_watch:error=EINVAL ppoll:error={EINTR,ENOMEM} \
  ppoll:error=ENOMEM:when=2+2 read:error={EINTR,EIO,EINVAL}:when=2+2; do
  only=()
  [[ $fault != read:* ]] || only=(-P anon_inode:inotify)
  echo 0 >"$work/site/file"
  rm -f "$work/server.out"
  # With -D, strace is the child, and a signal reaches the server.
  strace -D -f -o "$work/trace" -e trace="${fault%%:*}" -e inject="$fault" "${only[@]}" \
    target/release/examples/file_server --log off --limit-connections 100 --addr 127.0.0.1:0 "$work/site" >"$work/server.out" &
  server=$!
  for _ in $(seq 100); do [ -s "$work/server.out" ] && break; sleep 0.05; done
  url=$(sed -n 's/^listening on //p' "$work/server.out")
  for i in $(seq 20); do
    echo "$i" >"$work/new"
    if ((i % 2)); then mv "$work/new" "$work/site/file"; else cp "$work/new" "$work/site/file"; fi
    for _ in 1 2; do
      got=$(curl -sS -m 10 "$url/file")
      [ "$got" = "$i" ] || { echo "$fault: got $got, expected $i" >&2; exit 1; }
    done
  done
  kill "$server"
  wait "$server" || { echo "$fault: file_server ended with $?" >&2; exit 1; }
  grep -q INJECTED "$work/trace" || { echo "$fault: no call failed" >&2; exit 1; }
done
echo "inotify, poll and read refused: file_server sends each change at once"
