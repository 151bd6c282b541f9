#!/usr/bin/env bash
# Packs the crate as for publication: cargo must have nothing to warn of.
set -euo pipefail
cd "$(dirname "$0")/.."
report=$(cargo package --locked --no-verify --allow-dirty 2>&1) || { echo "$report"; exit 1; }
if grep -A4 '^warning' <<<"$report"; then exit 1; fi
grep Packaged <<<"$report"
