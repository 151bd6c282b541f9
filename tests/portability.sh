#!/usr/bin/env bash
# Type-checks everything (library, tests, examples) for the systems that no machine here runs:
#   tests/portability.sh [TARGET...]
#
# The script uses the toolchain's standard library of a target (`rustup target add TARGET`). If it is
# missing, tests/toolchain.sh makes it. A check needs no linker and no system library.
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/toolchain.sh
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target/portability}
[ $# -gt 0 ] || set -- x86_64-unknown-{freebsd,netbsd,openbsd,dragonfly} {x86_64,aarch64}-apple-darwin

check() { # TARGET [ARGUMENT...]
  local target=$1; shift
  say "checking for $target ${RUSTFLAGS:-}"
  # ring's build script compiles C, which a check does not need.
  local name=${target//-/_}
  export "CC_$name=true" "AR_$name=true" SDKROOT=/
  cargo check -q --locked --keep-going --target "$target" "$@" || failed=1
}

failed=0
for target; do
  unset RUSTC RUSTDOC RUSTFLAGS
  if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; then
    unpack "$newest"
    make_std "$newest" check "$target"
    compile_with "$newest"
  fi
  RUSTFLAGS="-D warnings" check "$target" --all-targets
done
exit $failed
