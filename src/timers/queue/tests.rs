use std::rc::Rc;

use super::*;
use crate::run_queue::Call;

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
        assert_eq!(queue.len(), count as usize);
        assert_eq!(pop_all(&mut queue), expected);
        assert_eq!(queue.len(), 0);
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
            assert_eq!(queue.len(), model.len());
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
    assert_eq!(queue.len(), 1);
}

#[test]
fn entries_in_order_need_no_heap() {
    let (start, mut queue) = (Instant::now(), TimerQueue::default());
    for number in 0..1_000 {
        push(&mut queue, start, number * 10);
    }
    assert!(queue.buckets.values().all(|bucket| bucket.heap.capacity() == 0));
}
