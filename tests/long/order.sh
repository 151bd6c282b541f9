#!/usr/bin/env bash
# Runs the tests with tasks polled in any order (src/run_queue/shuffle.rs):
#   tests/long/order.sh [SEEDS]      seeds 1 to 200 unless said
# The binaries in which tasks meet are run once with each seed; all others, which take long and have few tasks at a time, with the
# first two. To look at what fails, run the binary that is named with SENDLOOP_SHUFFLE set to the seed.
set -euo pipefail
cd "$(dirname "$0")/../.."
seeds=${1:-200}
export RUST_BACKTRACE=0

many="alarms batches closed closing connecting datagrams embedding exceptions executor fairness interop loop_order reentrancy
  regressions results running sharing socket_life sockets stolen_numbers stream_end task_cell tasks try_sendfile watch watch_destructors"
# No loop runs in these (layers, asyncio_page), or it runs in a program of its own (file_server, file_server_index).
none="layers asyncio_page file_server file_server_index"
# What asserts the order that the cfg takes away.
skipped=(
  # Task steps stand in one line with each other and with callbacks.
  tasks_and_callbacks_share_one_line
  events_come_before_timers_and_both_behind_what_was_queued
  tasks_that_yield_alternate
  every_scenario_goes_as_in_asyncio_or_as_the_differences_say
  # Who is polled first, begins first: writers take turns in that order, and each of these says what order that was.
  writers_take_turns_in_the_order_in_which_they_began
  headers_and_files_of_several_writers_go_out_whole
  sends_of_two_tasks_do_not_mix
  the_time_of_other_writers_does_not_count
  # One that stands in front in the line has to run first, to cancel the other.
  a_socket_closed_in_the_batch_of_its_event_reaches_nobody
  one_who_was_woken_and_is_dropped_takes_nothing_from_the_other
  # The task that began to wait first is served first.
  one_connection_wakes_one_of_a_thousand_accepting_tasks
  a_task_that_reads_first_takes_nothing_from_those_that_wait
  woken_tasks_that_are_cancelled_one_after_the_other_hand_the_wake_up_on
  # A callback has to cancel the task after its first step.
  a_pending_connect_does_not_ask_for_its_outcome
  # The ticker, a task, has to have begun before the loop is held.
  without_prefetch_it_holds_the_loop
  without_prefetch_it_is
)

mkdir -p target/shuffled
RUSTFLAGS="--cfg sendloop_shuffle" cargo test --locked --target-dir target/shuffled --lib --tests --no-run \
  --message-format=json | python3 tests/long/binaries.py >target/shuffled/binaries

runs() {
  local seed name path
  for seed in $(seq "$seeds"); do
    while read -r name path; do
      [[ " ${none//$'\n'/ } " == *" $name "* ]] && continue
      [[ $seed -gt 2 && " ${many//$'\n'/ } " != *" $name "* ]] && continue
      echo "$seed $path"
    done <target/shuffled/binaries
  done
}

one() { # SEED PATH ARGUMENT...
  local log
  log=$(SENDLOOP_SHUFFLE=$1 "$2" -q --exact "${@:3}" 2>&1) && return
  printf 'SENDLOOP_SHUFFLE=%s %s\n%s\n' "$1" "$2" "$log"
  return 1
}
export -f one

skips=()
for name in "${skipped[@]}"; do skips+=(--skip "$name"); done
count=$(runs | wc -l)
runs | xargs -P 2 -L 1 bash -c 'one "${@: -2}" "${@:1:$#-2}"' one "${skips[@]}"
echo "$count runs with $seeds seeds: all well in ${SECONDS} s"
