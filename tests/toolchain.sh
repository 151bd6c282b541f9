# Functions to source. They get compilers for systems whose standard library is not installed.
#
# On Debian 12, as root, they unpack (and do not install) the package rustc-web and the source of its
# standard library into ${XDG_CACHE_HOME:-~/.cache}/sendloop-portability. Each compiler takes
# 0.7 GB. Delete the folder to start again.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/sendloop-portability
newest=$cache/newest
say() { echo "portability: $*" >&2; }

# Prints the first text in the description of PACKAGE that matches PATTERN: the name of a package
# that belongs to it, which contains a version.
related_package() { # PACKAGE PATTERN
  apt-cache show "$1" | grep -o "$2" | sort -u | sed -n 1p
}

# Unpacks the compiler, its libraries and the source of the standard library. VERSION is the
# beginning of the package's version; the default is the newest.
unpack() { # FOLDER [VERSION]
  [ -e "$1/complete" ] && return
  rm -rf "$1"
  mkdir -p "$1/packages" "$1/root"
  apt-get -qq update || say "apt-get update failed; using the old package lists"
  local version std llvm package
  version=$(apt-cache madison rustc-web | awk -v "begin=${2-}" '(begin == "" || index($3, begin) == 1) && !found++ { print $3 }')
  say "unpacking Debian's rustc-web $version"
  std=$(related_package "libstd-rust-web-dev=$version" 'libstd-rust-web-[0-9.]*[0-9]')
  llvm=$(related_package "$std=$version" 'libllvm[0-9]*')
  (cd "$1/packages" && apt-get -qq -o APT::Sandbox::User=root download \
    "rustc-web=$version" "rust-web-src=$version" "libstd-rust-web-dev=$version" "$std=$version" "$llvm")
  for package in "$1"/packages/*.deb; do
    case $package in
      *rust-web-src*) dpkg --fsys-tarfile "$package" |
        tar -x -C "$1/root" --wildcards './usr/src/rustc-*/library/*' './usr/lib/*' ;;
      *) dpkg -x "$package" "$1/root" ;;
    esac
  done
  rm -rf "$1/packages"
  for program in rustc rustdoc; do
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%q exec %q "$@"\n' "$1/root/usr/lib/x86_64-linux-gnu" "$1/root/usr/bin/$program" >"$1/$program"
    chmod +x "$1/$program"
  done
  "$1/rustc" --version >&2
  echo "$version" >"$1/complete"
}

# Makes the standard library of a target from source. `check` makes only the metadata for a check.
make_std() { # FOLDER check|build TARGET
  local libs=$1/root/usr/lib/rustlib build=$1/build ending=rmeta
  [ -e "$libs/$3/complete-$2" ] && return
  [ "$2" = check ] || ending=rlib
  say "making the standard library of $3"
  # Cargo cannot detect that crates were compiled against another build of the standard library.
  rm -rf "$build" "${libs:?}/$3" "${CARGO_TARGET_DIR:?}/$3"
  RUSTC=$1/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zforce-unstable-if-unmarked -Cdebuginfo=0" \
    __CARGO_DEFAULT_LIB_METADATA=portability CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
    cargo "$2" -q --release --target "$3" --target-dir "$build" --features panic-unwind,backtrace \
    --manifest-path "$libs/src/rust/library/sysroot/Cargo.toml"
  mkdir -p "$libs/$3/lib"
  cp "$build/$3"/release/deps/*."$ending" "$libs/$3/lib/"
  rm -rf "$build"
  touch "$libs/$3/complete-$2"
}

compile_with() { # FOLDER
  export RUSTC=$1/rustc RUSTDOC=$1/rustdoc
}
