#!/usr/bin/env bash
# Fuzzes the example file_server with libFuzzer and the address sanitizer:
#   tests/long/fuzz.sh [SECONDS [TARGET...]]
# Each target runs for SECONDS (default: 300), one target per core. A finding is a file in
# fuzz/artifacts/; add it to tests/fuzz/seeds/ after the fix. Needs g++ and a nightly toolchain.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-300}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- range condition target request connection

# The flags of cargo-fuzz.
export RUSTFLAGS="--cfg fuzzing -Zsanitizer=address -Cpasses=sancov-module -Ccodegen-units=1
  -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
  -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
cargo +nightly build --locked --release --target x86_64-unknown-linux-gnu --manifest-path fuzz/Cargo.toml

fuzz() { # TARGET
  local target=$1 corpus=fuzz/corpus/$1 log=fuzz/target/$1.log longest=4096
  case $target in
    range | condition) longest=600 ;;
    target) longest=300 ;;
    request) longest=20000 ;;
  esac
  mkdir -p "$corpus" fuzz/artifacts
  if ! "fuzz/target/x86_64-unknown-linux-gnu/release/$target" -max_total_time="$seconds" -max_len="$longest" \
    -dict=fuzz/http.dict -timeout=30 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="fuzz/artifacts/$target-" \
    "$corpus" "tests/fuzz/seeds/$target" >"$log" 2>&1; then
    grep -v '^#' "$log" | tail -60
    echo "$target: failed"
    return 1
  fi
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  covered=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -1)
  echo "$target: $executions executions in $seconds s, $covered edges, $(find "$corpus" -type f | wc -l) inputs kept"
}
export -f fuzz
export seconds
printf '%s\n' "$@" | xargs -P "$(nproc)" -I{} bash -euo pipefail -c 'fuzz {}'
