//! Sleeps and timers: they are in order, never early and never lost, also if some are cancelled.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::util::*;
use sendloop::{Loop, Sleep, Task, TimerHandle};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn close_wakes_sleepers_of_an_interrupted_iteration() {
    let _test = test();
    let ((closing, clock), other) = (manual_loop(), new_loop());
    let sleeps = other.create_task(closing.sleep(SECOND));
    run_iteration(&other);
    clock.advance(SECOND);
    // The main future runs before the timer entry fires. Its panic ends the iteration in which the
    // entry was due.
    let run =
        AssertUnwindSafe(|| closing.run_until_complete(async { panic!("an expected panic") }));
    catch_unwind(run).expect_err("a panic");
    drop(closing);
    let waited = other.wait_for(sleeps, 10 * SECOND);
    let woken = other.run_until_complete(waited);
    woken.expect("a wake-up in time").expect("the result of the task");
}

#[test]
fn sleep_dropped_when_due_does_not_wake_its_slots_next_user() {
    let _test = test();
    let (event_loop, clock) = manual_loop();
    let victims: Rc<RefCell<Vec<Task<()>>>> = Rc::default();
    let fresh: Rc<RefCell<Vec<Task<()>>>> = Rc::default();
    let (hit, makes, handle) = (victims.clone(), fresh.clone(), event_loop.handle());
    event_loop.call_later(SECOND, move || {
        assert!(hit.borrow().iter().all(Task::cancel));
        // These sleeps take the slots of the timer entries that are due in this iteration.
        let sleeps = (0..100).map(|_| handle.create_task(await_sleep(handle.sleep(SECOND))));
        makes.borrow_mut().extend(sleeps);
    });
    for _ in 0..100 {
        let task = event_loop.create_task(event_loop.sleep(SECOND));
        victims.borrow_mut().push(task);
    }
    run_iteration(&event_loop);
    clock.advance(SECOND);
    run_iteration(&event_loop);
    run_iteration(&event_loop);
    let steps = event_loop.stats().task_steps;
    clock.advance(SECOND - Duration::from_nanos(1));
    for _ in 0..3 {
        run_iteration(&event_loop);
    }
    assert_eq!(event_loop.stats().task_steps, steps, "woken by another timer entry");
    assert!(fresh.borrow().iter().all(|task| !task.done()));
    clock.advance(Duration::from_nanos(1));
    run_iteration(&event_loop);
    run_iteration(&event_loop);
    assert!(fresh.borrow().iter().all(Task::done));
    assert_eq!(event_loop.next_timeout(), None);
}

async fn await_sleep(sleep: Sleep) {
    sleep.await;
}

#[test]
fn moved_sleep_wakes_the_task_that_polled_last() {
    let _test = test();
    let (event_loop, clock) = manual_loop();
    let sleep = Rc::new(RefCell::new(event_loop.sleep(SECOND)));
    let polls =
        |sleep: Rc<RefCell<Sleep>>| poll_fn(move |cx| Pin::new(&mut *sleep.borrow_mut()).poll(cx));
    let first = event_loop.create_task(polls(sleep.clone()));
    run_iteration(&event_loop);
    let second = event_loop.create_task(polls(sleep));
    run_iteration(&event_loop);
    clock.advance(SECOND);
    run_iteration(&event_loop);
    run_iteration(&event_loop);
    assert!(second.done() && !first.done());
    first.cancel();
}

#[test]
fn a_thousand_sleeps_of_one_task_end_in_any_order_of_polling() {
    let _test = test();
    let (event_loop, clock) = manual_loop();
    let mut random = Random(5);
    let mut sleeps: Vec<(usize, Pin<Box<Sleep>>)> = (0..1000)
        .map(|_| random.below(500))
        .map(|ms| (ms, Box::pin(event_loop.sleep(Duration::from_millis(1 + ms as u64)))))
        .collect();
    let begun = event_loop.time();
    let own = event_loop.handle();
    let task = event_loop.create_task(poll_fn(move |cx| {
        let now = (own.time() - begun).as_millis() as usize;
        let at = random.below(1 + sleeps.len()).min(sleeps.len());
        sleeps.rotate_left(at);
        sleeps.retain_mut(|(ms, sleep)| {
            let is_over = sleep.as_mut().poll(cx).is_ready();
            assert!(!is_over || *ms < now, "early");
            assert!(is_over || now < *ms + 2, "late");
            !is_over
        });
        match sleeps.is_empty() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }));
    run_iteration(&event_loop);
    for _ in 0..501 {
        clock.advance(Duration::from_millis(1));
        run_iteration(&event_loop);
        run_iteration(&event_loop);
    }
    assert!(task.done());
    assert_eq!(event_loop.next_timeout(), None);
}

/// The expected calls, by deadline and then by age, and the actual calls.
#[derive(Default)]
struct Model {
    waiting: BTreeMap<(u64, u64), TimerHandle>,
    called: Rc<RefCell<Vec<(u64, u64)>>>,
    made: u64,
}

impl Model {
    fn make(&mut self, event_loop: &Loop, now: u64, delay: u64) {
        let key = (now + delay, self.made);
        self.made += 1;
        let called = self.called.clone();
        let call = move || called.borrow_mut().push(key);
        let timer = event_loop.call_later(Duration::from_millis(delay), call);
        self.waiting.insert(key, timer);
    }

    fn cancel(&mut self, nth: usize) {
        let key = self.waiting.keys().nth(nth).copied();
        let timer = key.and_then(|key| self.waiting.remove(&key));
        timer.expect("as many").cancel();
    }

    /// Returns the timers that are due, which the loop must have called.
    fn expected(&mut self, now: u64) -> Vec<(u64, u64)> {
        let later = self.waiting.split_off(&(now + 1, 0));
        let due = std::mem::replace(&mut self.waiting, later);
        due.into_keys().collect()
    }
}

#[test]
fn random_timers_fire_in_the_order_of_a_sorted_list() {
    let _test = test();
    for seed in 0..30 {
        let (event_loop, clock) = manual_loop();
        let (mut model, mut random, mut now) = (Model::default(), Random(seed), 0);
        // Timers of few delays stay in FIFO buckets. Timers of many delays go to the heap.
        let delays = [1, 3, 5, 1000][seed as usize % 4];
        for _ in 0..1000 {
            match random.below(8) {
                0..4 => model.make(&event_loop, now, random.below(delays) as u64 * 7),
                4..6 if !model.waiting.is_empty() => {
                    model.cancel(random.below(model.waiting.len()));
                }
                _ => {
                    let step = random.below(10) as u64;
                    clock.advance(Duration::from_millis(step));
                    now += step;
                    run_iteration(&event_loop);
                    assert_eq!(model.called.take(), model.expected(now), "seed {seed}");
                }
            }
            let first = model.waiting.keys().next();
            let next = first.map(|(when, _)| Duration::from_millis(when.saturating_sub(now)));
            assert_eq!(event_loop.next_timeout(), next, "seed {seed}");
        }
    }
}

#[test]
fn timer_cancelled_by_its_own_destructor_is_cancelled_once() {
    let _test = test();
    let (event_loop, clock) = manual_loop();
    let others: Rc<RefCell<Vec<TimerHandle>>> = Rc::default();
    let dropped = Rc::new(Cell::new(0));
    for _ in 0..500 {
        let (others_inside, counts) = (others.clone(), dropped.clone());
        let at_end = CallOnDrop(move || {
            counts.set(counts.get() + 1);
            // Each destructor cancels the next timer, so the sweep happens in the middle of a
            // cancel.
            let next = others_inside.borrow_mut().pop();
            next.inspect(TimerHandle::cancel);
        });
        let timer = event_loop.call_later(SECOND, move || drop(at_end));
        others.borrow_mut().push(timer);
    }
    let first = others.borrow_mut().pop();
    first.expect("one").cancel();
    assert_eq!(dropped.get(), 500);
    assert_eq!(event_loop.next_timeout(), None);
    clock.advance(SECOND);
    run_iteration(&event_loop);
    assert_eq!(dropped.get(), 500);
}
