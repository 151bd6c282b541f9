#!/usr/bin/env bash
# Prints the lines of src/ that no test runs: tests/long/coverage.sh [--write]
# With --write, the table of files below 95 % goes into docs/RELIABILITY.md. Needs cargo-llvm-cov
# and Debian's llvm-22 or the toolchain's llvm-tools, and installs what is missing.
set -euo pipefail
cd "$(dirname "$0")/../.."

cargo llvm-cov --version >/dev/null 2>&1 || cargo install --locked --quiet cargo-llvm-cov
if ! ls "$(rustc --print sysroot)"/lib/rustlib/*/bin/llvm-cov >/dev/null 2>&1; then
  command -v llvm-cov-22 >/dev/null || apt-get -qq install -y --no-install-recommends llvm-22 >/dev/null
  export LLVM_COV=llvm-cov-22 LLVM_PROFDATA=llvm-profdata-22
fi

cargo llvm-cov clean
cargo llvm-cov --no-report --locked --lib --tests
cargo llvm-cov report --lcov --output-path target/coverage.info
exec python3 tests/long/coverage.py target/coverage.info "$@"
