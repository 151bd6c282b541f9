#!/usr/bin/env bash
# Runs the tests under the sanitizers and valgrind:
#   tests/long/sanitizers.sh [address] [leak] [thread] [valgrind]      all four unless named
#
# Wants a nightly toolchain for the first two (`rustup toolchain add nightly`) and Debian's valgrind. The thread sanitizer
# sees all that happens only where the standard library is built with it too: from the nightly's own source
# (`rustup component add rust-src --toolchain nightly`) or, where that is not to be had, from what
# tests/toolchain.sh unpacks.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=x86_64-unknown-linux-gnu
# What asks for more memory than there is has an error, as of the system's allocator.
export {ASAN,LSAN,TSAN}_OPTIONS=allocator_may_return_null=1
# A test that takes a second takes a minute here.
export SENDLOOP_TEST_SECONDS=3000 RUST_BACKTRACE=0 CARGO_PROFILE_DEV_DEBUG=line-tables-only
[ $# -gt 0 ] || set -- address leak thread valgrind

# The script leaves these binaries out. No loop runs in layers and asyncio_page. The loop of file_server and file_server_index
# runs in a program that is not built here. Resident memory (memory) is another number here.
tests=()
for test in tests/*.rs tests/*/main.rs; do
  test=${test%/main.rs}
  test=$(basename "$test" .rs)
  case $test in
    layers | asyncio_page | file_server | file_server_index | memory) ;;
    *) tests+=(--test "$test") ;;
  esac
done

skips=(
  # A page-cache probe costs more here.
  --skip probe_cost::
  # The limit on the address space would bind the sanitizer too.
  --skip thread_starts::
  # These do one thing up to a million times. Other tests do the same a few times.
  --skip million_wake_ups_from_a_thread_are_one_message
  --skip loop_ids_are_reused_but_never_shared
  --skip stale_waker_is_harmless_after_a_million_reuses_of_its_slot
)

run() { # WHAT CARGO... : the tests, in a folder of their own
  local what=$1
  shift
  printf '\n== %s\n' "$what"
  "$@" --locked --target "$target" --target-dir "target/$what" --lib "${tests[@]}" --no-fail-fast -- "${skips[@]}"
}

with_address() {
  RUSTFLAGS=-Zsanitizer=address run address cargo +nightly test
}

with_leak() {
  RUSTFLAGS=-Zsanitizer=leak run leak cargo +nightly test
}

# Sets `tests` to all binaries but one.
without() { # TEST
  local name kept=()
  for name in "${tests[@]}"; do
    [ "$name" = --test ] || [ "$name" = "$1" ] || kept+=(--test "$name")
  done
  tests=("${kept[@]}")
}

# Not `fork`: a forked child of a process with threads may start no thread here.
with_thread() {
  without fork
  if [ -d "$(rustc +nightly --print sysroot)/lib/rustlib/src/rust/library" ]; then
    RUSTFLAGS=-Zsanitizer=thread run thread cargo +nightly test -Zbuild-std
    return
  fi
  local runtime=lib/rustlib/$target/lib/librustc-stable_rt.tsan.a
  source tests/toolchain.sh
  unpack "$newest"
  cp "$(rustc --print sysroot)/$runtime" "$newest/root/usr/$runtime"
  compile_with "$newest"
  RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=thread run thread cargo test -Zbuild-std
}

# Where there is to be no descriptor, valgrind accepts the connection nevertheless, and closes it. And it runs one thread at a time, at
# a thirtieth of the speed: how late a ticker may be, and what CPU time is nearly none, is not for it. For vgdb it would hold a
# descriptor that it closes in a forked child. It knows neither cachestat nor seccomp, which `page_cache_files` needs.
with_valgrind() {
  local skips=(
    "${skips[@]}"
    --skip page_cache_files::
    --skip soak::overload::accept_without_descriptors_costs_no_cpu_and_heals
    --skip soak::round::few_descriptors
    --skip waiting_transfer_uses_no_cpu
    --skip gibibyte_transfer_needs_one_registration_and_delays_no_timer
    --skip loop_thread_never_waits_for_a_slow_server
    --skip cold_file_on_disk_does_not_delay_timers
  )
  CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="valgrind -q --vgdb=no --error-exitcode=9 --fair-sched=try" run valgrind cargo test
}

failed=()
# Each in a shell of its own, with its own compiler.
for what; do ("with_$what") || failed+=("$what"); done
[ ${#failed[@]} -eq 0 ] || { echo "not clean: ${failed[*]}"; exit 1; }
