#!/usr/bin/env bash
# Forks in a tight loop beside busy threads (tests/fork/stress.rs): tests/long/fork.sh [SECONDS]
# Each of the three kinds of fork runs for SECONDS (default: 60).
set -euo pipefail
cd "$(dirname "$0")/../.."
export SENDLOOP_FORK_SECONDS=${1:-60}
cargo test --locked --release --quiet --test fork stress -- --nocapture --test-threads=1
