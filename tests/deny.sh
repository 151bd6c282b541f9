#!/usr/bin/env bash
# Licences and sources of all that is depended on, for the library, its tests, and the packages beside it: deny.toml says what may be.
# And the library itself has three dependencies. Installs cargo-deny where it is missing, which takes minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

direct=$(cargo tree --locked --edges normal --depth 1 --prefix none --format '{p}' | tail -n +2 | cut -d' ' -f1 | sort | paste -sd' ')
[ "$direct" = "libc log mio" ] || { echo "the library depends on: $direct"; exit 1; }

cargo deny --version >/dev/null 2>&1 || cargo install --locked --quiet cargo-deny
for manifest in Cargo.toml fuzz/Cargo.toml benches/Cargo.toml conformance/Cargo.toml; do
  cargo deny --log-level error --locked --manifest-path "$manifest" --config deny.toml check bans licenses sources
done
