#!/usr/bin/env bash
# Builds and tests the library with the oldest versions of its dependencies that Cargo.toml allows.
# The manifest is a copy below target/minimal with its own lock file; the sources are links.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
package=$root/target/minimal/package
mkdir -p "$package"
for name in src tests examples docs README.md CHANGELOG.md SECURITY.md; do
  ln -sfn "$root/$name" "$package/$name"
done
cp Cargo.lock "$package"
# Removes dev-dependencies that these tests do not use. They build slowly; some need a newer libc.
sed -E '/^(async-tungstenite|bytesize|calloop|fuser|http-body-util|httparse|httpdate|hyper|indicatif|jiff|lexopt|mime_guess|percent-encoding|proptest|tokio|tokio-rustls) = /d' \
  Cargo.toml >"$package/Cargo.toml"
cd "$package"
export CARGO_TARGET_DIR=$root/target/minimal/built

# The index may be known already. If not, cargo asks for it.
set_version() { # NAME VERSION
  cargo update --quiet --offline --precise "$2" "$1" 2>/dev/null || cargo update --quiet --precise "$2" "$1"
}

for name in mio log libc; do # mio first: libc must not be older than mio allows.
  oldest=$(sed -n "s/^$name = .*\"\([0-9][0-9.]*\)\".*/\1/p" Cargo.toml | sed -n 1p)
  [[ $oldest == *.*.* ]] || { echo "Cargo.toml must name a full version of $name, but has \"$oldest\""; exit 1; }
  set_version "$name" "$oldest"
  cargo tree --locked --edges normal --depth 1 --prefix none | grep -q "^$name v$oldest" ||
    { echo "cargo did not select $name $oldest"; exit 1; }
  echo "$name $oldest"
done

cargo test --locked --lib --test signals
cargo test --locked --test loop --test sockets -- work:: far_timers:: timer_wakers:: loop_order:: streams:: datagrams:: \
  fd_callbacks:: stream_end::
