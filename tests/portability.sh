#!/usr/bin/env bash
# Type-checks everything (library, tests, examples) for the systems that no machine here runs:
#   tests/portability.sh [TARGET...]
#
# Where the toolchain has a target's standard library (`rustup target add TARGET`) that is used. Where it has not and cannot get it,
# the library is made from source: on Debian 12, as root, the compiler of the package rustc-web and its source are unpacked (not
# installed) below ${XDG_CACHE_HOME:-~/.cache}/sendloop-portability, about 0.7 GB; delete that to start afresh. Checking needs no
# linker and none of the other systems' own libraries.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/sendloop-portability
root=$cache/root
libs=$root/usr/lib/rustlib
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target/portability}
[ $# -gt 0 ] || set -- x86_64-unknown-freebsd x86_64-apple-darwin aarch64-apple-darwin x86_64-unknown-netbsd
say() { echo "portability: $*" >&2; }

# The compiler, its own libraries, and the source of the standard library. Its parts have their version in their names.
unpack() {
  [ -e "$cache/complete" ] && return
  say "unpacking Debian's rustc-web"
  rm -rf "$cache"
  mkdir -p "$cache/packages" "$root"
  apt-get -qq update || say "the lists of packages could not be refreshed"
  local std llvm package
  std=$(apt-cache show --no-all-versions libstd-rust-web-dev | grep -o 'libstd-rust-web-[0-9.]*[0-9]' | head -n 1)
  llvm=$(apt-cache show --no-all-versions "$std" | grep -o 'libllvm[0-9]*' | head -n 1)
  (cd "$cache/packages" && apt-get -qq -o APT::Sandbox::User=root download \
    rustc-web rust-web-src libstd-rust-web-dev "$std" "$llvm")
  for package in "$cache"/packages/*.deb; do
    case $package in
      *rust-web-src*) dpkg --fsys-tarfile "$package" |
        tar -x -C "$root" --wildcards './usr/src/rustc-*/library/*' './usr/lib/*' ;;
      *) dpkg -x "$package" "$root" ;;
    esac
  done
  rm -rf "$cache/packages"
  for program in rustc rustdoc; do
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%q exec %q "$@"\n' "$root/usr/lib/x86_64-linux-gnu" "$root/usr/bin/$program" >"$cache/$program"
    chmod +x "$cache/$program"
  done
  "$cache/rustc" --version >&2
  touch "$cache/complete"
}

# What checking needs of a target's standard library: its metadata.
make_std() { # TARGET
  [ -e "$libs/$1/complete" ] && return
  say "the standard library of $1"
  local build=$cache/build
  rm -rf "$build" "${libs:?}/$1"
  RUSTC=$cache/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zforce-unstable-if-unmarked -Cdebuginfo=0" \
    __CARGO_DEFAULT_LIB_METADATA=portability \
    cargo check -q --release --target "$1" --target-dir "$build" --features panic-unwind,backtrace \
    --manifest-path "$libs/src/rust/library/sysroot/Cargo.toml"
  mkdir -p "$libs/$1/lib"
  cp "$build/$1"/release/deps/*.rmeta "$libs/$1/lib/"
  rm -rf "$build"
  touch "$libs/$1/complete"
}

check() { # TARGET [ARGUMENT...]
  local target=$1; shift
  say "checking for $target ${RUSTFLAGS:-}"
  cargo check -q --locked --keep-going --target "$target" "$@" || failed=1
}

failed=0
for target; do
  unset RUSTC RUSTDOC RUSTFLAGS
  if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; then
    unpack
    make_std "$target"
    export RUSTC=$cache/rustc RUSTDOC=$cache/rustdoc
  fi
  RUSTFLAGS="-D warnings" check "$target" --all-targets
  # macOS has a sendfile too, which is used where a build asks for it.
  case $target in
    *-apple-*) RUSTFLAGS="-D warnings --cfg sendloop_macos_native" check "$target" ;;
  esac
done
exit $failed
