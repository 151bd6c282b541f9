#!/usr/bin/env bash
# Checks that the library has exactly three dependencies, and checks licences and sources of all
# dependencies of each package against deny.toml. Installs cargo-deny if it is missing, which takes
# minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

direct=$(cargo tree --locked --edges normal --depth 1 --prefix none --format '{p}' | tail -n +2 | cut -d' ' -f1 | sort | paste -sd' ')
[ "$direct" = "libc log mio" ] || { echo "the library depends on: $direct; expected: libc log mio"; exit 1; }

cargo deny --version >/dev/null 2>&1 || cargo install --locked --quiet cargo-deny
for manifest in Cargo.toml fuzz/Cargo.toml benches/Cargo.toml conformance/Cargo.toml; do
  cargo deny --log-level error --locked --manifest-path "$manifest" --config deny.toml check bans licenses sources
done
