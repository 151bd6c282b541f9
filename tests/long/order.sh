#!/usr/bin/env bash
# Runs the tests with tasks polled in any order (src/run_queue/shuffle.rs):
#   tests/long/order.sh [SEEDS]      runs seeds 1 to SEEDS (default: 200)
# The modules with several tasks at a time run once with each seed. All other tests take long and
# have few tasks at a time, so they run with the first two seeds. To repeat a failure, run the named
# binary with SENDLOOP_SHUFFLE set to the seed.
set -euo pipefail
cd "$(dirname "$0")/../.."
seeds=${1:-200}
export RUST_BACKTRACE=0

# The modules with several tasks at a time, by binary.
declare -A all_seeds=(
  [loop]="close:: embedding:: exceptions:: fairness:: loop_order:: promises:: reentrancy:: regressions:: running:: task_cell::
    task_groups:: tasks:: timer_wakers:: work::"
  [sockets]="connect:: datagrams:: event_batches:: fd_callbacks:: fd_callback_destructors:: readiness:: reused_descriptors:: shared_sockets::
    socket_life:: stream_end:: streams::"
  [sendfile]="try_sendfile::"
  [interop]="futures::"
)
# No loop runs in docs. The examples and the file servers run in other processes, which are built
# without the cfg.
without_loop="docs examples file_server"
# Tests that assert the order that the cfg shuffles.
skipped=(
  # Tasks and callbacks share one queue.
  tasks_and_callbacks_share_one_queue
  events_precede_timers_and_follow_queued_callbacks
  tasks_that_yield_alternate
  every_scenario_matches_asyncio_or_a_listed_difference
  # The writer that is polled first gets the write lock first. These tests assert that order.
  writers_get_the_write_lock_in_the_order_of_their_start
  headers_and_files_of_concurrent_writers_do_not_interleave
  sends_of_two_tasks_do_not_interleave
  stall_timeout_excludes_the_wait_for_the_write_lock
  # The first task in the queue has to run first, to cancel the other.
  event_of_a_socket_closed_in_its_batch_is_ignored
  dropped_woken_recv_takes_nothing_from_the_other
  # The task that waits longest is woken first.
  one_connection_wakes_one_of_a_thousand_accepting_tasks
  early_reader_takes_no_wake_up_from_waiters
  cancelled_woken_tasks_pass_their_wake_up_on
  # A group returns the results in the order in which its tasks end.
  panic_cancels_the_other_tasks_and_returns_every_result
  the_last_waker_is_woken_once
  # The task that waits for readability has to run before the one that receives.
  remove_reader_raw_leaves_a_newer_socket_or_wait_alone
  # A callback has to cancel the task after its first step.
  pending_connect_does_not_read_so_error
  # The ticker, a task, has to run before the transfer blocks the loop.
  cold_file_without_prefetch_blocks_the_loop
  without_prefetch_the_loop_thread_waits_for_a_slow_server
)

mkdir -p target/shuffled
export RUSTC_WORKSPACE_WRAPPER=$PWD/tests/rustc/sendloop_shuffle
cargo test --locked --lib --tests --no-run \
  --message-format=json | python3 tests/long/binaries.py >target/shuffled/binaries

runs() {
  local seed name path
  for seed in $(seq "$seeds"); do
    while read -r name path; do
      [[ " $without_loop " == *" $name "* ]] && continue
      if [ "$seed" -le 2 ]; then
        echo "$seed $path"
      elif [ -v "all_seeds[$name]" ]; then
        echo $seed $path ${all_seeds[$name]}
      fi
    done <target/shuffled/binaries
  done
}

run_one() { # SEED PATH MODULE...
  local log
  # shellcheck disable=SC2086
  log=$(SENDLOOP_SHUFFLE=$1 "$2" -q $skips "${@:3}" 2>&1) && return
  printf 'SENDLOOP_SHUFFLE=%s %s\n%s\n' "$1" "$2" "$log"
  return 1
}
export -f run_one

skips=$(printf -- '--skip %s ' "${skipped[@]}")
export skips
count=$(runs | wc -l)
runs | xargs -P 2 -L 1 bash -c 'run_one "$@"' run_one
echo "$count runs with $seeds seeds passed in ${SECONDS} s"
