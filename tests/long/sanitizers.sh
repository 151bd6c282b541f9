#!/usr/bin/env bash
# Runs the tests under the sanitizers and valgrind:
#   tests/long/sanitizers.sh [address] [leak] [thread] [valgrind]      all four unless named
#
# Wants a nightly toolchain for the first two (`rustup toolchain add nightly`) and Debian's valgrind. The thread sanitizer
# sees all that happens only where the standard library is built with it too: from the nightly's own source
# (`rustup component add rust-src --toolchain nightly`) or, where that is not to be had, as tests/portability.sh does.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=x86_64-unknown-linux-gnu
# A test that takes a second takes a minute here.
export SENDLOOP_TEST_SECONDS=3000 RUST_BACKTRACE=0 CARGO_PROFILE_DEV_DEBUG=line-tables-only
[ $# -gt 0 ] || set -- address leak thread valgrind

run() { # WHAT CARGO... : the tests, in a folder of their own
  local what=$1
  shift
  printf '\n== %s\n' "$what"
  "$@" --locked --target "$target" --target-dir "target/$what" --lib --tests --no-fail-fast -- "${skips[@]}" || failed+=("$what")
}

skip() { # NAME...: exact names of tests
  skips=(--exact)
  for name; do skips+=(--skip "$name"); done
}

with_address() {
  skip
  RUSTFLAGS=-Zsanitizer=address run address cargo +nightly test
}

with_leak() {
  skip
  RUSTFLAGS=-Zsanitizer=leak run leak cargo +nightly test
}

with_thread() {
  skip
  if [ -d "$(rustc +nightly --print sysroot)/lib/rustlib/src/rust/library" ]; then
    RUSTFLAGS=-Zsanitizer=thread run thread cargo +nightly test -Zbuild-std
    return
  fi
  local cache=${XDG_CACHE_HOME:-$HOME/.cache}/sendloop-portability
  local runtime=lib/rustlib/$target/lib/librustc-stable_rt.tsan.a
  [ -e "$cache/complete" ] || tests/portability.sh x86_64-unknown-freebsd
  cp "$(rustc --print sysroot)/$runtime" "$cache/root/usr/$runtime"
  RUSTC=$cache/rustc RUSTDOC=$cache/rustdoc RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=thread \
    run thread cargo test -Zbuild-std
}

with_valgrind() {
  skip
  CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="valgrind -q --error-exitcode=9" run valgrind cargo test
}

failed=()
for what; do "with_$what"; done
[ ${#failed[@]} -eq 0 ] || { echo "not clean: ${failed[*]}"; exit 1; }
