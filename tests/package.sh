#!/usr/bin/env bash
# Packages the crate as for publication. A warning of cargo is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
report=$(cargo package --locked --no-verify --allow-dirty 2>&1) || { echo "$report"; exit 1; }
if grep -A4 '^warning' <<<"$report"; then exit 1; fi
grep Packaged <<<"$report"
