use super::*;
use crate::run_queue::Call;

fn add(timers: &Timers, when: Instant, log: &Rc<RefCell<Vec<u32>>>, name: u32) -> Rc<dyn Callback> {
    let log = log.clone();
    let call: Rc<dyn Callback> = Rc::new(Call::new(move || log.borrow_mut().push(name)));
    timers.add(when, Due::Callback(call.clone()));
    call
}

fn run_due(timers: &Timers, now: Instant) {
    while let Some(due) = timers.pop_due(now) {
        match due {
            Due::Callback(callback) => callback.run(),
            Due::Waker(key) => timers.fire(key),
        }
    }
}

#[test]
fn timers_fire_by_deadline_and_then_by_creation() {
    let (timers, log, start) = (Timers::default(), Rc::default(), Instant::now());
    for (after, name) in [(3, 30), (1, 10), (3, 31), (2, 20), (1, 11), (3, 32)] {
        add(&timers, start + Duration::from_secs(after), &log, name);
    }
    assert_eq!(timers.next(), Some(start + Duration::from_secs(1)));
    run_due(&timers, start + Duration::from_secs(2));
    assert_eq!(*log.borrow(), [10, 11, 20]);
    run_due(&timers, start + Duration::from_secs(3));
    assert_eq!(*log.borrow(), [10, 11, 20, 30, 31, 32]);
    assert_eq!(timers.next(), None);
}

#[test]
fn cancelled_timer_drops_its_callback_at_once() {
    let timers = Timers::default();
    let held = Rc::new(());
    let inside = held.clone();
    let call: Rc<dyn Callback> = Rc::new(Call::new(move || drop(inside)));
    timers.add(Instant::now() + Duration::from_secs(60), Due::Callback(call.clone()));
    timers.cancel(&*call);
    assert_eq!(Rc::strong_count(&held), 1);
    assert_eq!(timers.next(), None);
}

#[test]
fn cancelled_timers_do_not_pile_up() {
    let (timers, log, start) = (Timers::default(), Rc::default(), Instant::now());
    let kept = add(&timers, start, &log, 0);
    for n in 1..100_000 {
        let call = add(&timers, start + Duration::from_secs(60), &log, n);
        timers.cancel(&*call);
        assert!(timers.queue.borrow().len <= 2 * MIN_SWEEP);
    }
    run_due(&timers, start);
    assert_eq!(*log.borrow(), [0]);
    drop(kept);
}

#[test]
fn close_cancels_timers() {
    let (timers, log, start) = (Timers::default(), Rc::default(), Instant::now());
    let timer = add(&timers, start, &log, 1);
    timers.close(&Exceptions::default());
    assert!(timer.is_cancelled());
    run_due(&timers, start);
    assert!(log.borrow().is_empty());
}

#[test]
fn timer_waker_fires_once_and_never_after_its_removal() {
    let (timers, start) = (Timers::default(), Instant::now());
    let waker = Waker::noop();
    let (kept, removed) = (
        timers.add_waker(start, waker.clone(), Location::caller()),
        timers.add_waker(start, waker.clone(), Location::caller()),
    );
    assert!(timers.poll_fired(kept, waker).is_pending());
    timers.remove_waker(removed);
    run_due(&timers, start);
    assert!(timers.poll_fired(kept, waker).is_ready());
    timers.remove_waker(kept);
    assert_eq!(timers.cancelled.get(), 0);
    assert_eq!(timers.wakers.borrow().len(), 0);
}

#[test]
fn removed_timer_wakers_do_not_pile_up() {
    let (timers, start) = (Timers::default(), Instant::now());
    for _ in 0..100_000 {
        let entry = timers.add_waker(
            start + Duration::from_secs(60),
            Waker::noop().clone(),
            Location::caller(),
        );
        timers.remove_waker(entry);
        assert!(timers.queue.borrow().len <= 2 * MIN_SWEEP);
    }
    assert_eq!(timers.wakers.borrow().len(), 0);
}

/// Adds an entry, whose number is the number of entries before it.
fn push(queue: &mut TimerQueue, start: Instant, delay_us: u64) {
    let due = Due::Callback(Rc::new(Call::new(|| {})));
    queue.push(start + Duration::from_micros(delay_us), due);
}

/// A small pseudo-random generator, so that each run is the same.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    *state >> 33
}

fn pop_all(queue: &mut TimerQueue) -> Vec<u64> {
    std::iter::from_fn(|| queue.pop_if(|_| true)).map(|timer| timer.number).collect()
}

#[test]
fn entries_leave_by_deadline_and_then_by_creation() {
    let (start, mut state) = (Instant::now(), 1);
    for (count, range) in [(1, 1), (2, 1), (100, 3), (1000, 50), (1000, 5_000), (1000, 10_000_000)]
    {
        let mut queue = TimerQueue::default();
        let delays: Vec<u64> = (0..count).map(|_| random(&mut state) % range).collect();
        for delay in &delays {
            push(&mut queue, start, *delay);
        }
        let mut expected: Vec<u64> = (0..count).collect();
        expected.sort_by_key(|number| delays[*number as usize]);
        assert_eq!(queue.len, count as usize);
        assert_eq!(pop_all(&mut queue), expected);
        assert_eq!(queue.len, 0);
        assert!(queue.buckets.is_empty());
    }
}

#[test]
fn insertions_between_removals_keep_the_order() {
    let (start, mut state) = (Instant::now(), 7);
    let (mut queue, mut model) = (TimerQueue::default(), Vec::new());
    for number in 0..20_000 {
        let delay = random(&mut state) % 3_000;
        push(&mut queue, start, delay);
        model.push((delay, number));
        if random(&mut state) % 2 == 0 {
            let first = *model.iter().min().expect("one was pushed");
            model.retain(|entry| *entry != first);
            assert_eq!(queue.pop_if(|_| true).map(|timer| timer.number), Some(first.1));
        }
        if model.len() > 40 {
            queue.retain(|timer| timer.number % 3 == 0);
            model.retain(|(_, number)| number % 3 == 0);
            assert_eq!(queue.len, model.len());
        }
    }
    model.sort_unstable();
    let expected: Vec<u64> = model.into_iter().map(|(_, number)| number).collect();
    assert_eq!(pop_all(&mut queue), expected);
}

#[test]
fn deadlines_before_the_start_keep_their_order() {
    let mut queue = TimerQueue::default();
    let second = Duration::from_secs(1);
    let past = Instant::now().checked_sub(second).expect("the machine runs for a second");
    for delay in [900_000, 100, 2_000_000] {
        push(&mut queue, past, delay);
    }
    assert_eq!(pop_all(&mut queue), [1, 0, 2]);
}

#[test]
fn refused_entries_stay() {
    let mut queue = TimerQueue::default();
    push(&mut queue, Instant::now(), 5);
    assert!(queue.pop_if(|_| false).is_none());
    assert_eq!(queue.peek().map(|timer| timer.number), Some(0));
    assert_eq!(queue.len, 1);
}

#[test]
fn entries_in_order_need_no_heap() {
    let (start, mut queue) = (Instant::now(), TimerQueue::default());
    for number in 0..1_000 {
        push(&mut queue, start, number * 10);
    }
    assert!(queue.buckets.values().all(|bucket| bucket.heap.capacity() == 0));
}
