//! Destructors that set off more destructors: a chain of any length needs a bounded stack, drops
//! everything before the outermost call returns, and loses nothing to a panic.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use crate::util::*;
use sendloop::{
    Blocking, Handle, Loop, LoopHandle, Promise, PromiseFuture, Task, TaskGroup, TimerHandle,
};

/// The length of the chain in the report of the defect.
const LONG: u32 = 50_000;
const VERY_LONG: u32 = 1_000_000;
/// `Task::cancel` promises to drop this many nested tasks before it returns.
const NESTED: u32 = 32;

/// Runs a test on a thread with a stack of 512 KiB.
#[track_caller]
fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    let builder = thread::Builder::new().stack_size(512 << 10);
    let thread = builder.spawn(test).expect("a thread");
    if let Err(panic) = thread.join() {
        resume_unwind(panic);
    }
}

/// Counts the destructors of a chain.
#[derive(Clone, Default)]
struct Count(Rc<Cell<u32>>);

impl Count {
    fn add(&self) {
        self.0.set(self.0.get() + 1);
    }

    fn get(&self) -> u32 {
        self.0.get()
    }
}

/// One link of a chain that grows while it is dropped: each destructor makes and drops the next.
struct Chain {
    event_loop: LoopHandle,
    left: u32,
    dropped: Count,
    /// Gives the next link to the loop, which drops it.
    next: fn(&LoopHandle, Chain),
}

impl Drop for Chain {
    fn drop(&mut self) {
        self.dropped.add();
        if self.left > 0 {
            let link = Chain {
                event_loop: self.event_loop.clone(),
                left: self.left - 1,
                dropped: self.dropped.clone(),
                next: self.next,
            };
            (self.next)(&self.event_loop, link);
        }
    }
}

/// Drops the first link of a chain on a small stack, and asserts that all links are dropped.
#[track_caller]
fn drops_all(closed: bool, length: u32, next: fn(&LoopHandle, Chain)) {
    let _test = test();
    on_a_small_stack(move || {
        let mut owner = Some(new_loop());
        let event_loop = owner.as_ref().expect("a loop").handle();
        if closed {
            owner = None;
        }
        let dropped = Count::default();
        drop(Chain { event_loop, left: length - 1, dropped: dropped.clone(), next });
        assert_eq!(dropped.get(), length);
        drop(owner);
    });
}

/// Creates tasks. Each cancels the next one when its future is dropped.
fn tasks(event_loop: &Loop, length: u32, dropped: &Count) -> Rc<RefCell<Vec<Task<()>>>> {
    let tasks: Rc<RefCell<Vec<Task<()>>>> = Rc::default();
    for number in 0..length as usize {
        let (all, dropped) = (tasks.clone(), dropped.clone());
        let guard = CallOnDrop(move || {
            dropped.add();
            // The caller of `cancel` borrows the list meanwhile, so this borrows it immutably.
            if let Some(next) = all.borrow().get(number + 1) {
                next.cancel();
            }
        });
        let task = event_loop.create_task(async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        });
        tasks.borrow_mut().push(task);
    }
    tasks
}

#[test]
fn a_chain_of_tasks_is_cancelled_when_cancel_returns() {
    let _test = test();
    on_a_small_stack(|| {
        let event_loop = strict_loop();
        let dropped = Count::default();
        let tasks = tasks(&event_loop, LONG, &dropped);
        assert!(tasks.borrow()[0].cancel());
        assert_eq!(dropped.get(), LONG);
        assert!(tasks.borrow().iter().all(Task::cancelled));
        assert_eq!(event_loop.stats().tasks, 0);
        tasks.take();
    });
}

#[test]
fn nested_groups_are_cancelled_when_the_outermost_is_dropped() {
    let _test = test();
    on_a_small_stack(|| {
        let event_loop = strict_loop();
        let dropped = Count::default();
        let mut group = event_loop.task_group::<()>();
        for _ in 0..LONG {
            let inner = std::mem::replace(&mut group, event_loop.task_group());
            let dropped = dropped.clone();
            let guard = CallOnDrop(move || dropped.add());
            group.create_task(async move {
                let _held = (inner, guard);
                std::future::pending::<()>().await;
            });
        }
        drop(group);
        assert_eq!((dropped.get(), event_loop.stats().tasks), (LONG, 0));
    });
}

#[test]
fn results_that_hold_groups_are_dropped_with_the_outermost() {
    #[expect(dead_code, reason = "only its destructors count")]
    struct Nested(Option<TaskGroup<Nested>>, CallOnDrop<Box<dyn FnMut()>>);
    let _test = test();
    on_a_small_stack(|| {
        let event_loop = strict_loop();
        let dropped = Count::default();
        let mut nested = None;
        for _ in 0..LONG {
            let (inner, dropped) = (nested.take(), dropped.clone());
            let group = event_loop.task_group();
            let guard = CallOnDrop(Box::new(move || dropped.add()) as Box<dyn FnMut()>);
            group.create_task(async move { Nested(inner, guard) });
            nested = Some(group);
        }
        run_iteration(&event_loop);
        drop(nested);
        assert_eq!((dropped.get(), event_loop.stats().tasks), (LONG, 0));
    });
}

#[test]
fn a_chain_of_tasks_that_run_is_cancelled_inside_a_step() {
    let _test = test();
    on_a_small_stack(|| {
        let event_loop = strict_loop();
        let dropped = Count::default();
        let tasks = tasks(&event_loop, LONG, &dropped);
        run_iteration(&event_loop);
        let (all, seen) = (tasks.clone(), dropped.clone());
        event_loop.run_until_complete(async {
            assert!(all.borrow()[0].cancel());
            assert_eq!(seen.get(), LONG);
        });
        assert_eq!(event_loop.stats().tasks, 0);
        tasks.take();
    });
}

#[test]
fn closing_the_loop_drops_a_chain_of_tasks() {
    let _test = test();
    on_a_small_stack(|| {
        let event_loop = strict_loop();
        let dropped = Count::default();
        let tasks = tasks(&event_loop, LONG, &dropped);
        drop(event_loop);
        assert_eq!(dropped.get(), LONG);
        assert!(tasks.borrow().iter().all(Task::cancelled));
        tasks.take();
    });
}

#[test]
fn thirty_two_nested_cancellations_drop_before_they_return() {
    let _test = test();
    let event_loop = strict_loop();
    let tasks: Rc<RefCell<Vec<Task<()>>>> = Rc::default();
    let immediate = Rc::new(RefCell::new(Vec::new()));
    for number in 0..100 {
        let (all, immediate) = (tasks.clone(), immediate.clone());
        let guard = CallOnDrop(move || {
            if let Some(next) = all.borrow().get(number + 1) {
                assert!(next.cancel());
                immediate.borrow_mut().push((number + 1, next.cancelled()));
            }
        });
        let task = event_loop.create_task(async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        });
        tasks.borrow_mut().push(task);
    }
    assert!(tasks.borrow()[0].cancel());
    let mut immediate = immediate.take();
    immediate.sort_unstable();
    assert_eq!(immediate.len(), 99);
    let nested = &immediate[..NESTED as usize];
    assert!(nested.iter().all(|(_, cancelled)| *cancelled));
    assert!(tasks.borrow().iter().all(Task::cancelled));
    tasks.take();
}

#[test]
fn task_queued_for_drop_does_not_run_and_is_cancelled_once() {
    let _test = test();
    let event_loop = strict_loop();
    let dropped = Count::default();
    let tasks = tasks(&event_loop, 100, &dropped);
    // The guard of the last task cancels all tasks again. Some are dropped by then, others queued.
    let (all, done) = (tasks.clone(), Rc::new(Cell::new(false)));
    let last = done.clone();
    let guard = CallOnDrop(move || {
        let again = all.borrow().iter().filter(|task| task.cancel()).count();
        assert!(again < 100);
        last.set(true);
    });
    let task = event_loop.create_task(async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    });
    tasks.borrow_mut().push(task);
    assert!(tasks.borrow()[0].cancel());
    assert!(done.get() && tasks.borrow().iter().all(Task::cancelled));
    assert_eq!(dropped.get(), 100);
    run_iteration(&event_loop);
    tasks.take();
}

#[test]
fn tasks_whose_guards_panic_are_all_dropped_and_all_reported() {
    let _test = test();
    on_a_small_stack(|| {
        let event_loop = new_loop();
        let reports = Count::default();
        let recorded = reports.clone();
        event_loop.set_exception_handler(move |_| recorded.add());
        let length = 2_000;
        let tasks: Rc<RefCell<Vec<Task<()>>>> = Rc::default();
        for number in 0..length {
            let all = tasks.clone();
            let guard = CallOnDrop(move || {
                if let Some(next) = all.borrow().get(number + 1) {
                    next.cancel();
                }
                resume_unwind(Box::new("an expected panic"));
            });
            let task = event_loop.create_task(async move {
                let _guard = guard;
                std::future::pending::<()>().await;
            });
            tasks.borrow_mut().push(task);
        }
        assert!(tasks.borrow()[0].cancel());
        assert_eq!(reports.get() as usize, length);
        assert!(tasks.borrow().iter().all(Task::cancelled));
        tasks.take();
    });
}

/// Returns a guard that cancels the next handle of a chain on drop. It panics then if `panics` is
/// set.
fn handle_guard(
    all: &Rc<RefCell<Vec<Handle>>>,
    number: usize,
    dropped: &Count,
    panics: bool,
) -> impl FnOnce() + 'static {
    let (all, dropped) = (all.clone(), dropped.clone());
    let guard = CallOnDrop(move || {
        dropped.add();
        if let Some(next) = all.borrow().get(number + 1) {
            let cancel = catch_unwind(AssertUnwindSafe(|| next.cancel()));
            drop(cancel);
        }
        if panics {
            resume_unwind(Box::new("an expected panic"));
        }
    });
    move || drop(guard)
}

#[test]
fn a_million_callbacks_are_cancelled_when_cancel_returns() {
    let _test = test();
    on_a_small_stack(|| {
        let event_loop = strict_loop();
        let (dropped, all) = (Count::default(), Rc::<RefCell<Vec<Handle>>>::default());
        for number in 0..VERY_LONG as usize {
            let handle = event_loop.call_soon(handle_guard(&all, number, &dropped, false));
            all.borrow_mut().push(handle);
        }
        all.borrow()[0].cancel();
        assert_eq!(dropped.get(), VERY_LONG);
        assert!(all.borrow().iter().all(Handle::cancelled));
        all.take();
    });
}

#[test]
fn callbacks_whose_destructors_panic_are_all_dropped() {
    let _test = test();
    on_a_small_stack(|| {
        let event_loop = strict_loop();
        let (dropped, all) = (Count::default(), Rc::<RefCell<Vec<Handle>>>::default());
        for number in 0..2_000 {
            let handle = event_loop.call_soon(handle_guard(&all, number, &dropped, true));
            all.borrow_mut().push(handle);
        }
        let cancel = AssertUnwindSafe(|| all.borrow()[0].cancel());
        catch_unwind(cancel).expect_err("the first panic reaches its canceller");
        assert_eq!(dropped.get(), 2_000);
        all.take();
    });
}

#[test]
fn a_chain_of_timers_is_cancelled_when_cancel_returns() {
    let _test = test();
    on_a_small_stack(|| {
        let event_loop = strict_loop();
        let (dropped, all) = (Count::default(), Rc::<RefCell<Vec<TimerHandle>>>::default());
        for number in 0..LONG as usize {
            let (chain, counts) = (all.clone(), dropped.clone());
            let guard = CallOnDrop(move || {
                counts.add();
                if let Some(next) = chain.borrow().get(number + 1) {
                    next.cancel();
                }
            });
            let timer = event_loop.call_later(Duration::from_secs(60), move || drop(guard));
            all.borrow_mut().push(timer);
        }
        all.borrow()[0].cancel();
        assert_eq!(dropped.get(), LONG);
        assert_eq!(event_loop.next_timeout(), None);
        all.take();
    });
}

#[test]
fn a_chain_of_results_that_hold_the_next_task_is_dropped() {
    let _test = test();
    on_a_small_stack(|| {
        let event_loop = strict_loop();
        let dropped = Count::default();
        let mut task: Option<Task<Box<dyn Any>>> = None;
        for _ in 0..LONG {
            let (next, dropped) = (task.take(), dropped.clone());
            let count = CallOnDrop(move || dropped.add());
            task = Some(event_loop.create_task(async move {
                let result: Box<dyn Any> = Box::new((count, next));
                result
            }));
        }
        run_iteration(&event_loop);
        assert_eq!((dropped.get(), event_loop.stats().tasks), (0, 0));
        drop(task);
        assert_eq!(dropped.get(), LONG);
    });
}

/// A result of the executor that owns the next one.
struct Result {
    dropped: Arc<AtomicU32>,
    _next: Option<Blocking<Result>>,
}

impl Drop for Result {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_chain_of_executor_results_is_dropped() {
    let _test = test();
    on_a_small_stack(|| {
        let event_loop = Loop::builder().executor_threads(1).build();
        let event_loop = event_loop.expect("a loop");
        // The handles are dropped after the jobs have ended, or before.
        for has_ended in [true, false] {
            let dropped = Arc::new(AtomicU32::new(0));
            let (open, gate) = mpsc::channel::<()>();
            let waits = event_loop.run_in_executor(move || gate.recv());
            let mut last = None;
            for _ in 0..LONG {
                let (_next, dropped) = (last.take(), dropped.clone());
                last = Some(event_loop.run_in_executor(move || Result { dropped, _next }));
            }
            if !has_ended {
                drop(last.take());
            }
            drop(open);
            // The only thread runs this job last.
            let end = event_loop.run_in_executor(|| {});
            event_loop.run_until_complete(end).expect("no panic");
            drop((last, waits));
            assert_eq!(dropped.load(Ordering::Relaxed), LONG, "{has_ended}");
        }
    });
}

/// Returns a repeatable callback that owns a link.
fn owning(link: Chain) -> impl FnMut() + 'static {
    move || {
        let _link = &link;
    }
}

#[test]
fn a_chain_of_fd_callbacks_is_removed() {
    drops_all(false, 10_000, |event_loop, link| {
        let (reader, _writer) = pipe();
        event_loop.add_reader(&reader, owning(link)).expect("watched");
        assert!(event_loop.remove_reader(&reader));
    });
}

#[test]
fn a_chain_of_fd_callbacks_is_replaced() {
    drops_all(false, 10_000, |event_loop, link| {
        let (_reader, writer) = pipe();
        event_loop.add_writer(&writer, owning(link)).expect("watched");
        event_loop.add_writer(&writer, || {}).expect("watched");
        assert!(event_loop.remove_writer(&writer));
    });
}

#[test]
fn a_chain_of_calls_to_a_closed_loop_is_dropped() {
    drops_all(true, LONG, |event_loop, link| {
        event_loop.call_soon(move || drop(link));
    });
    drops_all(true, LONG, |event_loop, link| {
        event_loop.call_later(Duration::ZERO, move || drop(link));
    });
}

#[test]
fn a_chain_of_tasks_for_a_closed_loop_is_dropped() {
    drops_all(true, LONG, |event_loop, link| {
        drop(event_loop.create_task(async move { drop(link) }));
    });
}

#[test]
fn a_chain_of_signal_handlers_is_removed() {
    drops_all(false, 5_000, |event_loop, link| {
        event_loop.add_signal_handler(libc::SIGUSR1, owning(link)).expect("handled");
        assert!(event_loop.remove_signal_handler(libc::SIGUSR1));
    });
}

#[test]
fn a_chain_of_exception_handlers_is_dropped() {
    drops_all(false, LONG, |event_loop, link| {
        let mut callback = owning(link);
        event_loop.set_exception_handler(move |_| callback());
        event_loop.clear_exception_handler();
    });
}

/// A link that is `Send`, as a job of the executor must be.
struct Job {
    left: u32,
    dropped: Arc<AtomicU32>,
    next: fn(Job),
}

impl Drop for Job {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        if self.left > 0 {
            (self.next)(Job {
                left: self.left - 1,
                dropped: self.dropped.clone(),
                next: self.next,
            });
        }
    }
}

thread_local! {
    static CLOSED: RefCell<Option<LoopHandle>> = const { RefCell::new(None) };
    static PROMISES: RefCell<Vec<Promise<()>>> = const { RefCell::new(Vec::new()) };
}

fn closed_loop() -> LoopHandle {
    CLOSED.with(|closed| closed.borrow_mut().get_or_insert_with(|| new_loop().handle()).clone())
}

#[test]
fn a_chain_of_jobs_and_remote_calls_for_a_closed_loop_is_dropped() {
    let nexts: [fn(Job); 2] = [
        |job| drop(closed_loop().run_in_executor(move || drop(job))),
        |job| {
            let call = closed_loop().remote().call_soon_threadsafe(move || drop(job));
            call.expect_err("closed");
        },
    ];
    let _test = test();
    for next in nexts {
        on_a_small_stack(move || {
            let dropped = Arc::new(AtomicU32::new(0));
            drop(Job { left: LONG - 1, dropped: dropped.clone(), next });
            assert_eq!(dropped.load(Ordering::Relaxed), LONG);
            CLOSED.take();
        });
    }
}

/// A waker that drops the last promise of this thread.
struct DropsNext;

impl Wake for DropsNext {
    fn wake(self: Arc<Self>) {
        let next = PROMISES.with(|promises| promises.borrow_mut().pop());
        drop(next);
    }
}

#[test]
fn a_chain_of_dropped_promises_wakes_every_waiter() {
    let _test = test();
    on_a_small_stack(|| {
        let event_loop = strict_loop();
        let mut futures: Vec<PromiseFuture<()>> = Vec::new();
        let waker: Waker = Arc::new(DropsNext).into();
        for _ in 0..LONG {
            let (promise, mut future) = event_loop.create_future();
            let polled = Pin::new(&mut future).poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
            PROMISES.with(|promises| promises.borrow_mut().push(promise));
            futures.push(future);
        }
        waker.wake();
        assert!(PROMISES.with(|promises| promises.borrow().is_empty()));
        assert!(futures.iter().all(PromiseFuture::done));
    });
}

/// A waker that owns one of this thread's futures. That future waits with the next such waker.
struct Owner(usize);

type Waiting = Pin<Box<dyn Future<Output = ()>>>;

thread_local! {
    static FUTURES: RefCell<Vec<Option<Waiting>>> = const { RefCell::new(Vec::new()) };
}

impl Drop for Owner {
    fn drop(&mut self) {
        let future = FUTURES.with(|futures| futures.borrow_mut()[self.0].take());
        drop(future);
    }
}

impl Wake for Owner {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_chain_of_wakers_that_own_the_next_wait_is_dropped() {
    let _test = test();
    on_a_small_stack(|| {
        let event_loop = strict_loop();
        FUTURES.with(|futures| futures.borrow_mut().push(None));
        for number in 0..LONG as usize {
            let waker: Waker = Arc::new(Owner(number)).into();
            let mut future: Waiting = if number % 2 == 0 {
                Box::pin(event_loop.sleep(Duration::from_secs(60)))
            } else {
                let (promise, future) = event_loop.create_future::<()>();
                PROMISES.with(|promises| promises.borrow_mut().push(promise));
                Box::pin(async { drop(future.await) })
            };
            let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
            FUTURES.with(|futures| futures.borrow_mut().push(Some(future)));
        }
        drop(Owner(LONG as usize));
        let left = FUTURES.with(|futures| futures.borrow().iter().flatten().count());
        assert_eq!(left, 0);
        PROMISES.take();
    });
}

/// A value that holds the future of the next value.
struct Node {
    _next: Option<PromiseFuture<Node>>,
    _count: CallOnDrop<Box<dyn FnMut()>>,
}

#[test]
fn a_chain_of_values_that_hold_the_next_future_is_dropped() {
    let _test = test();
    on_a_small_stack(|| {
        let event_loop = strict_loop();
        let (dropped, mut next) = (Count::default(), None);
        for _ in 0..LONG {
            let (promise, future) = event_loop.create_future();
            let counts = dropped.clone();
            let node =
                Node { _next: next.take(), _count: CallOnDrop(Box::new(move || counts.add())) };
            assert!(promise.set_result(node).is_ok());
            next = Some(future);
        }
        assert_eq!(dropped.get(), 0);
        drop(next);
        assert_eq!(dropped.get(), LONG);
    });
}

#[test]
fn a_loop_that_a_deep_destructor_runs_keeps_its_promises() {
    let _test = test();
    let event_loop = strict_loop();
    let ran = Rc::new(Cell::new(false));
    let tasks: Rc<RefCell<Vec<Task<()>>>> = Rc::default();
    for number in 0..40_usize {
        let (all, ran) = (tasks.clone(), ran.clone());
        let guard = CallOnDrop(move || {
            if let Some(next) = all.borrow().get(number + 1) {
                next.cancel();
            }
            if number == NESTED as usize {
                let inner = strict_loop();
                inner.run_until_complete(async {
                    let task = inner.create_task(std::future::pending::<()>());
                    assert!(task.cancel() && task.cancelled());
                    task.await.expect_err("cancelled");
                });
                ran.set(true);
            }
        });
        let task = event_loop.create_task(async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        });
        tasks.borrow_mut().push(task);
    }
    assert!(tasks.borrow()[0].cancel());
    assert!(ran.get() && tasks.borrow().iter().all(Task::cancelled));
    tasks.take();
}

/// Runs a function when it is dropped.
struct Guard(Option<Box<dyn FnOnce()>>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(function) = self.0.take() {
            function();
        }
    }
}

#[test]
fn queued_drops_stay_outside_of_a_nested_loop() {
    let _test = test();
    let event_loop = new_loop();
    let seen = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let guarded = |function: Box<dyn FnOnce()>| {
        let guard = Guard(Some(function));
        event_loop.create_task(async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        })
    };
    // The task's destructor runs a new loop, in which it cancels another task.
    let leaf = |number: u32| {
        let seen = seen.clone();
        guarded(Box::new(move || {
            let inside = sendloop::get_running_loop().is_some();
            seen.borrow_mut().push((number, inside));
            if inside {
                return;
            }
            let own = new_loop();
            own.run_until_complete(async {
                let task = own.create_task(std::future::pending::<()>());
                own.sleep(std::time::Duration::ZERO).await;
                task.cancel();
                own.sleep(std::time::Duration::ZERO).await;
            });
        }))
    };
    let (first, second) = (leaf(1), leaf(2));
    let mut next = guarded(Box::new(move || {
        first.cancel();
        second.cancel();
    }));
    for _ in 0..32 {
        let inner = next;
        next = guarded(Box::new(move || {
            inner.cancel();
        }));
    }
    event_loop.run_until_complete(event_loop.sleep(std::time::Duration::ZERO));
    next.cancel();
    assert_eq!(*seen.borrow(), [(1, false), (2, false)]);
}
