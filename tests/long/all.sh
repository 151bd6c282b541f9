#!/usr/bin/env bash
# Runs the checks that take too long for each change, two parts at a time: about an hour.
#   tests/long/all.sh [PART...]      as "sanitizers leak"; all unless named
# Each part writes its output to target/long/. The script prints the output of a failed part.
set -euo pipefail
cd "$(dirname "$0")/../.."
# A background job of a shell ignores Ctrl-C, and the tests of Ctrl-C would inherit that.
if [[ $(trap -p INT) == *"''"* ]]; then
  exec env --default-signal=INT "tests/long/$(basename "$0")" "$@"
fi
mkdir -p target/long

part() { # SCRIPT [ARGUMENT...]
  local name=$* begun=$SECONDS
  local log=target/long/${name// /-}.log
  if "tests/long/$1.sh" "${@:2}" >"$log" 2>&1; then
    echo "$name: passed in $(((SECONDS - begun) / 60)) min $(((SECONDS - begun) % 60)) s"
    return
  fi
  tail -n 100 "$log"
  echo "$name: FAILED; its output is in $log"
  return 1
}
export -f part

# The longest first.
[ $# -gt 0 ] || set -- "sanitizers valgrind" order "machines aarch64" "sanitizers thread" soak fuzz "sanitizers address" \
  "machines musl" fork conformance "sanitizers leak" coverage interleavings "machines oldest" "machines check"
printf '%s\n' "$@" | xargs -P 2 -I{} bash -euo pipefail -c 'part {}'
