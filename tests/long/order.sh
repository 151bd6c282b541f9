#!/usr/bin/env bash
# Runs the tests with tasks polled in any order (src/ready/shuffle.rs), once with each seed:
#   tests/long/order.sh [FIRST [LAST]]      seeds 1 to 200 unless named
# To look at what fails with one seed, run the binary that is named with SENDLOOP_SHUFFLE set to that.
set -euo pipefail
cd "$(dirname "$0")/../.."
first=${1:-1}
last=${2:-200}

# Binaries in which no loop runs, or where nothing that they assert hangs on tasks.
without="layers asyncio_page"
# Tests that assert the order which the cfg takes away.
skipped=()

RUSTFLAGS="--cfg sendloop_shuffle" cargo test --locked --target-dir target/shuffled --lib --tests --no-run \
  --message-format=json 2>/dev/null | python3 tests/long/binaries.py >target/shuffled/binaries

one() { # SEED NAME PATH
  local log
  log=$(mktemp)
  if ! SENDLOOP_SHUFFLE=$1 "$3" -q --exact "${@:4}" >"$log" 2>&1; then
    echo "SENDLOOP_SHUFFLE=$1 $3 ($2):" && cat "$log"
    rm "$log"
    return 1
  fi
  rm "$log"
}
export -f one

skips=()
for name in "${skipped[@]}"; do skips+=(--skip "$name"); done
while read -r name path; do
  [[ " $without " == *" $name "* ]] && continue
  for seed in $(seq "$first" "$last"); do echo "$seed $name $path"; done
done <target/shuffled/binaries | xargs -P 2 -I{} bash -c 'one {} "$@"' one "${skips[@]}"
echo "seeds $first to $last: all well in ${SECONDS} s"
