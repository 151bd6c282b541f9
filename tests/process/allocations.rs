//! Tests that count allocated bytes with their own allocator.

#[path = "../util/live.rs"]
mod live;

use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::util::*;
use live::live;
use sendloop::{CancelHandle, Socket};

#[test]
fn cancel_handle_keeps_neither_future_nor_result_allocated() {
    let _test = test();
    const LARGE: usize = 32 << 10;
    const TASKS: usize = 3000;
    /// The test harness allocates at the same time, so this is more than what a handle holds.
    const BYTES_PER_HANDLE: usize = 128;
    let event_loop = strict_loop();
    let large = || {
        event_loop.create_task(async {
            let stack = [1_u8; LARGE];
            yield_now().await;
            (stack, Rc::new(()))
        })
    };
    let mut kept = Vec::with_capacity(TASKS);
    let before = live();
    for number in 0..TASKS {
        let task = large();
        kept.push(task.cancel_handle());
        // Further handles of a task are clones.
        (0..10).for_each(|_| drop(task.cancel_handle()));
        run_iteration(&event_loop);
        match number % 3 {
            0 => drop(event_loop.run_until_complete(task)),
            1 => assert!(task.cancel()),
            _ => drop(task),
        }
        (0..3).for_each(|_| run_iteration(&event_loop));
        assert_eq!(event_loop.stats().tasks, 0);
    }
    let held = live().saturating_sub(before);
    assert!(held < TASKS * BYTES_PER_HANDLE, "{held} bytes");
    assert!(kept.iter().all(CancelHandle::done));
}

#[test]
fn thousand_cancelled_transfers_leak_nothing() {
    let _test = test();
    let event_loop = new_loop();
    let (near, far) = tcp();
    let near = Rc::new(Socket::new(near).expect("non-blocking"));
    let file = Rc::new(file(4 << 20));
    let before = descriptors();
    let mut memory = 0;
    for round in 0..1000 {
        let (handle, near, file) = (event_loop.handle(), near.clone(), file.clone());
        let transfer = async move { handle.sock_sendfile(&near, &file).await };
        let task = event_loop.create_task(transfer);
        run_iteration(&event_loop);
        task.cancel();
        drop(task);
        run_iteration(&event_loop);
        if round == 100 {
            memory = live();
        }
    }
    assert_eq!(event_loop.stats().tasks, 0);
    assert!(event_loop.stats().registered <= 1);
    assert!(event_loop.stats().registrations <= 2);
    // In the forced fallback, an executor thread may still hold a block of the last transfer.
    let near = if FORCED_FALLBACK { 4 << 20 } else { 4 << 10 };
    let grown = live().saturating_sub(memory);
    assert!(grown < near, "{grown} bytes more");
    drop(event_loop);
    wait_for_descriptors(before);
    drop(far);
}

/// Waits until the executor's threads have closed their descriptors.
#[track_caller]
fn wait_for_descriptors(before: usize) {
    let start = Instant::now();
    while descriptors() > before && start.elapsed() < Duration::from_secs(10) {
        std::thread::yield_now();
    }
    assert!(descriptors() <= before);
}
