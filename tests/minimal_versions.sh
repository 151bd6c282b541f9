#!/usr/bin/env bash
# Builds and tests the library with the oldest versions of its dependencies that Cargo.toml allows. The
# manifest is a copy below target/minimal, with a lock file of its own; the sources are links.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
place=$root/target/minimal/package
mkdir -p "$place"
for name in src tests examples docs README.md CHANGELOG.md SECURITY.md; do
  ln -sfn "$root/$name" "$place/$name"
done
cp Cargo.lock "$place"
# Removes dev-dependencies that these tests do not use. They build slowly, and some need a newer libc.
sed -E '/^(async-tungstenite|bytesize|calloop|fuser|http-body-util|httparse|httpdate|hyper|indicatif|jiff|lexopt|mime_guess|percent-encoding|proptest|tokio|tokio-rustls) = /d' \
  Cargo.toml >"$place/Cargo.toml"
cd "$place"
export CARGO_TARGET_DIR=$root/target/minimal/built

# The index may be known already. If not, cargo asks for it.
set_version() { # NAME VERSION
  cargo update --quiet --offline --precise "$2" "$1" 2>/dev/null || cargo update --quiet --precise "$2" "$1"
}

for name in mio log libc; do # mio first: libc must not be older than mio allows.
  oldest=$(sed -n "s/^$name = .*\"\([0-9][0-9.]*\)\".*/\1/p" Cargo.toml | sed -n 1p)
  [[ $oldest == *.*.* ]] || { echo "Cargo.toml names no whole version of $name: $oldest"; exit 1; }
  set_version "$name" "$oldest"
  cargo tree --locked --edges normal --depth 1 --prefix none | grep -q "^$name v$oldest" ||
    { echo "$name $oldest was not taken"; exit 1; }
  echo "$name $oldest"
done

cargo test --locked --lib --test signals --test executor
cargo test --locked --test loop --test sockets -- far_timers:: timer_wakers:: loop_order:: streams:: datagrams:: \
  fd_callbacks:: stream_end::
