#!/usr/bin/env bash
# Runs CPython's own tests of asyncio on sendloop. conformance/README.md describes the comparison.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec conformance/run.sh
