#!/usr/bin/env bash
# Runs CPython's own tests of asyncio on sendloop: conformance/README.md says how they are compared.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec conformance/run.sh
