#!/usr/bin/env bash
# Runs loom's models of a loop and its executor among threads:
#   tests/long/interleavings.sh [PREEMPTIONS]
#
# The models are in src/*/loom_tests.rs. Each model sets its own limit of preemptions or has none.
# All models together take five minutes. PREEMPTIONS replaces these limits. With 2 the models take
# seconds.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ $# -eq 0 ] || export LOOM_MAX_PREEMPTIONS=$1
# Other unit tests would take loom's locks outside a model.
export RUSTC_WORKSPACE_WRAPPER=$PWD/tests/rustc/sendloop_loom
cargo test --locked --release --lib loom_tests:: -- --list | grep ': test$' >/dev/null || { echo "no model was built" >&2; exit 1; }
cargo test --locked --release --lib loom_tests:: -- --nocapture --test-threads=2
