#!/usr/bin/env bash
# Every order in which threads can reach a loop or its executor, by loom: tests/long/interleavings.sh [PREEMPTIONS]
#
# The models are src/*/interleavings.rs; each says how many preemptions it bears, which are the most that it can try in about
# a minute. With PREEMPTIONS all try so many: 2 takes seconds.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ $# -eq 0 ] || export LOOM_MAX_PREEMPTIONS=$1
# Only the models: other unit tests take locks where no model runs.
RUSTFLAGS="--cfg sendloop_loom" cargo test --locked --release --target-dir target/loom --lib interleavings:: -- --nocapture --test-threads=2
