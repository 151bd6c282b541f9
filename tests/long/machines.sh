#!/usr/bin/env bash
# Tests on other machines and with other compilers, on Debian 12 as root:
#   tests/long/machines.sh [aarch64|musl|oldest|check]...
#
# aarch64: the library's tests, built for aarch64 and run by qemu's emulation of its system calls.
# musl:    the same on musl instead of glibc.
# oldest:  a check of library, tests and examples with the Rust version that Cargo.toml declares.
# check:   portability.sh for all its targets.
set -euo pipefail
cd "$(dirname "$0")/../.."
source tests/toolchain.sh
source tests/library_tests.sh
export CARGO_TARGET_DIR=target/machines
[ $# -gt 0 ] || set -- check oldest musl aarch64

need() { # PACKAGE...
  dpkg -s "$@" >/dev/null 2>&1 || DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null
}

# Downloads Debian's package with a private apt state, so that dpkg's architectures stay unchanged.
aarch64_std() {
  local libs=$newest/root/usr/lib/rustlib apt=$cache/apt mirror options
  [ -d "$libs/aarch64-unknown-linux-gnu" ] && return
  say "downloading the standard library of aarch64"
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
  mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Codename: bookworm-security' | sed -n 1p)
  echo "deb [arch=arm64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bookworm-security main" >"$apt/sources.list"
  options=(-qq -o APT::Architectures::=amd64 -o APT::Architectures::=arm64 -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache"
    -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null -o APT::Sandbox::User=root)
  (cd "$apt" && apt-get "${options[@]}" update &&
    apt-get "${options[@]}" download "libstd-rust-web-dev:arm64=$(cat "$newest/complete")")
  dpkg --fsys-tarfile "$apt"/*.deb | tar -x -C "$newest/root" --wildcards './usr/lib/rustlib/aarch64*'
  rm -rf "$apt"
}

# Tests that qemu's emulation cannot run:
without_qemu=(
  # qemu has no preadv2, so the executor reads most files.
  --skip gibibyte_transfer_needs_one_registration_and_delays_no_timer
  --skip small_transfer_needs_one_call_and_no_registration
  --skip sendfile_refused_midway_continues_with_the_fallback
  --skip cold_file_on_disk_does_not_delay_timers
  --skip hole_in_cached_pages_is_found
  --skip page_that_a_probe_read_does_not_count_for_the_range
  --skip cached_page_needs_one_probe
  --skip large_cached_file_needs_few_probes_and_no_thread
  --skip faults::files::
  --skip page_cache_files::
  # It cannot map what these map.
  --skip on_a_disk::
  --skip mincore_is_truthful_near_the_largest_file_of_the_file_system
  # A forked child of a process with threads cannot start a thread.
  --skip catch_waits_for_a_handler_that_restores_the_former_action
  --skip stall_timeout_does_not_end_a_ready_transfer_of_a_closed_loop
  --skip cancelled_transfers_close_descriptors_despite_a_busy_executor
  # The tests' FUSE file system loses its mount.
  --skip unresponsive_disk_counts_as_a_stall
  --skip slow_file_system_does_not_delay_timers
  --skip loop_close_during_prefetch_leaves_position_exact
  --skip cancel_during_prefetch_sends_nothing
  --skip prefetched_range_is_sent_while_the_next_is_prefetched
  --skip without_fallback_a_cold_range_is_prefetched_and_sent
  --skip cold_file_without_prefetch_blocks_the_loop
  --skip slow_file_is_not_read_past_the_count
  --skip loop_thread_never_waits_for_a_slow_server
  --skip without_prefetch_the_loop_thread_waits_for_a_slow_server
  --skip cancelled_prefetch_closes_its_file_on_an_executor_thread
  --skip mount_is_invisible_and_temporary
  --skip cached_pages_are_slow_once_per_open
  --skip slow_file_is_read_exactly_and_slowly
  --skip preadv2_nowait_is_not_supported
  --skip without_pages_every_read_is_slow
  # procfs shows the system calls of the emulator.
  --skip far_timers::
  # qemu does not emulate a process that starts its program again.
  --skip environment_variable_enables_debug_mode
  --skip exceptions_go_to_standard_error_if_the_log_is_off
  --skip foreign_handlers::
  --skip interrupts::
  --skip soak::round::
  # The same, and qemu sets no limit on the address space.
  --skip idle_worker_takes_work_of_a_refused_thread
  --skip worker_starts_missing_threads
  --skip next_timeout_includes_the_retry_of_a_refused_thread
  --skip lookups_without_any_thread_fail_with_the_os_error
  --skip loop_starts_a_refused_thread
  --skip work_without_any_thread_fails_with_the_os_error
  # The resident memory includes the emulator's.
  --skip million_cancelled_timers_release_their_memory
)

aarch64() {
  need gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
  unpack "$newest"
  aarch64_std
  compile_with "$newest"
  export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
  # The environment also reaches the processes that tests start.
  export QEMU_LD_PREFIX=/usr/aarch64-linux-gnu CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=qemu-aarch64
  # A forked child of a process with threads cannot start a thread.
  without fork
  cargo test --locked --no-fail-fast "${library_tests[@]}" --target aarch64-unknown-linux-gnu -- "${without_qemu[@]}"
}

# Debian's libgcc_eh.a needs glibc 2.35 and calls _dl_find_object, which musl does not have.
shim() { # FOLDER
  mkdir -p "$1"
  cat >"$1/find_object.c" <<'C'
#define _GNU_SOURCE
#include <link.h>
#include <pthread.h>
#include <stdint.h>
struct found { unsigned long long flags; void *start, *end, *map, *frames; unsigned long long reserved[7]; };
struct lookup { uintptr_t at; struct found *found; };
static int find_segment(struct dl_phdr_info *info, size_t size, void *data) {
    struct lookup *lookup = data;
    uintptr_t start = 0, end = 0, frames = 0;
    (void)size;
    for (int n = 0; n < info->dlpi_phnum; n++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[n];
        uintptr_t at = info->dlpi_addr + header->p_vaddr;
        if (header->p_type == PT_LOAD && lookup->at >= at && lookup->at < at + header->p_memsz) {
            start = at;
            end = at + header->p_memsz;
        }
        if (header->p_type == PT_GNU_EH_FRAME) frames = at;
    }
    if (!start || !frames) return 0;
    *lookup->found = (struct found){ 0, (void *)start, (void *)end, 0, (void *)frames, {0} };
    return 1;
}
int _dl_find_object(void *at, struct found *found) {
    struct lookup lookup = { (uintptr_t)at, found };
    return dl_iterate_phdr(find_segment, &lookup) == 1 ? 0 : -1;
}
/* libgcc refers to these weakly, and calls address 0 if nothing else links them. */
__attribute__((used)) static void *const kept[] = { (void *)pthread_once, (void *)pthread_mutex_lock, (void *)pthread_mutex_unlock,
    (void *)pthread_key_create, (void *)pthread_getspecific, (void *)pthread_setspecific };
C
  musl-gcc -O1 -c "$1/find_object.c" -o "$1/find_object.o"
  rm -f "$1/libfind_object.a"
  ar rcs "$1/libfind_object.a" "$1/find_object.o"
  echo 'INPUT(-lgcc_eh -lgcc -lfind_object -lc)' >"$1/libunwind.a"
}

musl() {
  need musl-tools
  unpack "$newest"
  make_std "$newest" build x86_64-unknown-linux-musl
  shim "$cache/musl-shim"
  compile_with "$newest"
  export CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER=musl-gcc
  export CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS="-Clink-self-contained=no -Crelocation-model=static -Lnative=$cache/musl-shim"
  cargo test --locked --no-fail-fast "${library_tests[@]}" --target x86_64-unknown-linux-musl
}

# Checks with the Rust version that Cargo.toml declares.
oldest() {
  local declared
  declared=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
  unpack "$cache/$declared" "$declared."
  compile_with "$cache/$declared"
  CARGO_TARGET_DIR=target/oldest cargo check --locked --all-targets
}

if [ $# = 1 ]; then
  say "$1"
  case $1 in
    check) exec tests/portability.sh ;;
    aarch64 | musl | oldest) "$1" ;;
    *) say "unknown argument: $1"; exit 2 ;;
  esac
  exit
fi
failed=()
for machine; do tests/long/machines.sh "$machine" || failed+=("$machine"); done
[ ${#failed[@]} = 0 ] || { say "failed: ${failed[*]}"; exit 1; }
