//! Locks that a thread of the parent holds at the fork: the child waits for none of them.
//!
//! The library holds its locks for a few instructions. This allocator stops a thread in a chosen
//! allocation, and so while the thread holds each lock under which it allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use sendloop::{Clock, Loop};

use super::child::{Fork, in_child};
use super::new_loop::assert_works;
use super::util::*;

struct Stopping;

#[global_allocator]
static ALLOCATOR: Stopping = Stopping;

static IS_STOPPED: AtomicBool = AtomicBool::new(false);
static GO_ON: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// The number of allocations until this thread stops in one, or 0 if it does not stop.
    static LEFT: Cell<u32> = const { Cell::new(0) };
}

fn stop_if_due() {
    let left = LEFT.get();
    if left == 0 {
        return;
    }
    LEFT.set(left - 1);
    if left == 1 {
        IS_STOPPED.store(true, Ordering::SeqCst);
        while !GO_ON.load(Ordering::SeqCst) {
            thread::yield_now();
        }
    }
}

// SAFETY: each method calls the same method of the system's allocator.
unsafe impl GlobalAlloc for Stopping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        stop_if_due();
        // SAFETY: the caller keeps the contract of this method.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        stop_if_due();
        // SAFETY: the caller keeps the contract of this method.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of this method.
        unsafe { System.dealloc(old, layout) }
    }
}

/// Forks while another thread is stopped in the `nth` allocation of `act`, and runs `child` in the
/// child process. Returns false if `act` has fewer allocations.
fn stopped_at(nth: u32, act: impl FnOnce() + Send + 'static, child: impl FnOnce()) -> bool {
    IS_STOPPED.store(false, Ordering::SeqCst);
    GO_ON.store(false, Ordering::SeqCst);
    let other = thread::spawn(move || {
        LEFT.set(nth);
        act();
        LEFT.set(0);
    });
    while !IS_STOPPED.load(Ordering::SeqCst) && !other.is_finished() {
        thread::yield_now();
    }
    let stopped = IS_STOPPED.load(Ordering::SeqCst);
    if stopped {
        // The C library's fork waits for its own allocator; the raw system call does not.
        in_child(Fork::ByLibc, child);
    }
    GO_ON.store(true, Ordering::SeqCst);
    other.join().expect("no panic");
    stopped
}

/// Checks every call that a child may make on an inherited loop, and runs a new loop.
fn child_goes_on(event_loop: &mut Option<sendloop::Loop>) {
    let inherited = event_loop.as_ref().expect("a loop");
    let remote = inherited.remote();
    remote.call_soon_threadsafe(|| {}).expect_err("refused");
    remote.stop();
    drop(inherited.run_in_executor(|| {}));
    let _shown = format!("{inherited:?} {remote:?}");
    assert_works();
    drop(event_loop.take());
    assert_works();
}

#[test]
fn a_child_waits_for_no_lock_of_a_thread_that_calls_the_loop() {
    let _test = test();
    let mut stops = 0;
    for nth in 1.. {
        let mut event_loop = Some(new_loop());
        let remote = event_loop.as_ref().expect("a loop").remote();
        let act = move || remote.call_soon_threadsafe(|| {}).expect("open");
        if !stopped_at(nth, act, || child_goes_on(&mut event_loop)) {
            break;
        }
        stops += 1;
    }
    assert!(stops > 0, "the thread was stopped in {stops} allocations");
}

#[test]
fn a_child_waits_for_no_lock_of_a_thread_that_makes_a_loop() {
    let _test = test();
    let mut stops = 0;
    for nth in 1.. {
        let mut event_loop = Some(new_loop());
        let act = || {
            let other = new_loop();
            other.add_signal_handler(libc::SIGUSR2, || {}).expect("caught");
        };
        if !stopped_at(nth, act, || child_goes_on(&mut event_loop)) {
            break;
        }
        stops += 1;
    }
    assert!(stops > 3, "the thread was stopped in {stops} allocations");
}

#[test]
fn a_child_waits_for_no_lock_of_a_thread_that_uses_a_manual_clock() {
    let _test = test();
    let mut stops = 0;
    for nth in 1.. {
        let clock = Clock::manual();
        let act = {
            let clock = clock.clone();
            move || {
                let other = Loop::builder().clock(clock.clone()).build();
                clock.advance(Duration::from_secs(1));
                drop(other.expect("a loop"));
            }
        };
        let child = || {
            let now = clock.now();
            clock.advance(Duration::from_secs(1));
            assert!(clock.now() >= now + Duration::from_secs(1));
            let own = Loop::builder().clock(clock.clone()).build();
            let own = own.expect("a loop");
            let sleeper = own.create_task(own.sleep(Duration::from_secs(60)));
            own.run_once(Some(Duration::ZERO)).expect("an iteration");
            clock.advance(Duration::from_secs(60));
            own.run_until_complete(sleeper).expect("slept");
        };
        if !stopped_at(nth, act, child) {
            break;
        }
        stops += 1;
    }
    assert!(stops > 3, "the thread was stopped in {stops} allocations");
}

#[test]
fn a_child_goes_on_while_the_parents_threads_are_busy() {
    let _test = test();
    let mut event_loop = Some(new_loop());
    let is_over = Arc::new(AtomicBool::new(false));
    let (remote, over) = (event_loop.as_ref().expect("a loop").remote(), is_over.clone());
    let waiting = Arc::new(AtomicU32::new(0));
    let caller = thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            if waiting.fetch_add(1, Ordering::Relaxed) < 1000 {
                let called = waiting.clone();
                let call = move || _ = called.fetch_sub(1, Ordering::Relaxed);
                remote.call_soon_threadsafe(call).expect("open");
            } else {
                waiting.fetch_sub(1, Ordering::Relaxed);
                thread::yield_now();
            }
        }
    });
    for _ in 0..50 {
        let inherited = event_loop.as_ref().expect("a loop");
        let (sender, receiver) = mpsc::channel();
        for _ in 0..20 {
            let sender = sender.clone();
            drop(inherited.run_in_executor(move || sender.send(())));
        }
        in_child(Fork::ByLibc, || child_goes_on(&mut event_loop));
        for _ in 0..20 {
            receiver.recv_timeout(Duration::from_secs(20)).expect("run");
        }
        let inherited = event_loop.as_ref().expect("a loop");
        inherited.run_once(Some(Duration::ZERO)).expect("an iteration");
    }
    is_over.store(true, Ordering::Relaxed);
    caller.join().expect("no panic");
}
