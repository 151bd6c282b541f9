#!/usr/bin/env bash
# Runs the tests under the sanitizers and valgrind:
#   tests/long/sanitizers.sh [address] [leak] [thread] [valgrind]      the default is all four
#
# The first two need a nightly toolchain (`rustup toolchain add nightly`); valgrind is Debian's. The
# thread sanitizer needs a standard library that is built with it: from the nightly's source
# (`rustup component add rust-src --toolchain nightly`), or from what tests/toolchain.sh unpacks.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=x86_64-unknown-linux-gnu
# An allocation beyond the memory fails, as with the system's allocator.
export {ASAN,LSAN,TSAN}_OPTIONS=allocator_may_return_null=1
# The sanitizers slow a test down from a second to a minute.
export SENDLOOP_TEST_SECONDS=3000 RUST_BACKTRACE=0 CARGO_PROFILE_DEV_DEBUG=line-tables-only
[ $# -gt 0 ] || set -- address leak thread valgrind

source tests/library_tests.sh

skips=(
  # The sanitizers change the resident memory.
  --skip memory::
  # The limit on the address space would bind the sanitizer too.
  --skip thread_starts::
  # These do one thing up to a million times. Other tests do the same a few times.
  --skip million_wake_ups_from_a_thread_are_one_message
  --skip loop_ids_are_reused_but_never_shared
  --skip stale_waker_is_harmless_after_a_million_reuses_of_its_slot
)

run() { # WHAT CARGO... : runs the tests in their own target directory
  local what=$1
  shift
  printf '\n== %s\n' "$what"
  "$@" --locked --target "$target" --target-dir "target/$what" "${library_tests[@]}" --no-fail-fast -- "${skips[@]}"
}

with_address() {
  RUSTFLAGS=-Zsanitizer=address run address cargo +nightly test
}

with_leak() {
  RUSTFLAGS=-Zsanitizer=leak run leak cargo +nightly test
}

# Without `fork`: under the thread sanitizer, a forked child of a threaded process cannot start
# threads.
with_thread() {
  without fork
  local skips=("${skips[@]}" --skip catch_waits_for_a_handler_that_restores_the_former_action)
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

# valgrind accepts and closes a connection even if the process may open no descriptor. It runs one
# thread at a time at a thirtieth of the speed, so tests of lateness and CPU time fail. For vgdb it
# would hold a descriptor that it closes in a forked child. It supports neither cachestat nor
# seccomp, which `page_cache_files` needs, nor openat2, which `faults::files` needs, nor pidfds. rustix
# reads the time of a thread from the vDSO, which valgrind hides. With the default of
# --max-stackframe, valgrind may take the way to a signal stack for a large frame, and the way back
# for a switch of stacks.
#
# Without `signals`: after a handler on an alternate stack, valgrind takes the next frame of the
# interrupted thread for memory that nobody may use. It does so in half of the runs, each time in
# another function.
with_valgrind() {
  without signals
  local skips=(
    "${skips[@]}"
    --skip page_cache_files::
    --skip readable_takes_eventfds_timerfds_pidfds_and_inotify
    --skip forty_thousand_waiting_operations_are_dropped_in_linear_time
    --skip faults::files::
    --skip accept_without_descriptors_leaves_the_connection_queued
    --skip soak::overload::accept_without_descriptors_costs_no_cpu_and_heals
    --skip soak::round::few_descriptors
    --skip gibibyte_transfer_needs_one_registration_and_delays_no_timer
    --skip loop_thread_never_waits_for_a_slow_server
    --skip cold_file_on_disk_does_not_delay_timers
  )
  CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="valgrind -q --vgdb=no --error-exitcode=9 --fair-sched=try --max-stackframe=3000000" run valgrind cargo test
}

failed=()
# Each one runs in a subshell, because it selects its compiler.
for what; do ("with_$what") || failed+=("$what"); done
[ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]}"; exit 1; }
