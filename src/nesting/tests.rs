use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::*;

/// Nests `left` actions of a kind in an outermost one, and counts those that were queued.
fn nest(kind: Kind, left: u32, queued: &Rc<Cell<u32>>) {
    if is_full(kind) {
        queued.set(queued.get() + 1);
        let queued = queued.clone();
        return queue(move || nest(kind, left, &queued));
    }
    run(kind, || {
        if left > 0 {
            nest(kind, left - 1, queued);
        }
    });
}

#[test]
fn thirty_two_actions_nest_and_deeper_ones_are_queued() {
    for (nested, expected) in [(0, 0), (32, 0), (33, 1), (100, 3)] {
        let queued = Rc::new(Cell::new(0));
        nest(Kind::Cancel, nested, &queued);
        assert_eq!(queued.get(), expected, "{nested} nested");
    }
}

#[test]
fn kinds_are_counted_apart() {
    let queued = Rc::new(Cell::new(0));
    run(Kind::Wake, || nest(Kind::Cancel, 31, &queued));
    run(Kind::Cancel, || nest(Kind::Drop, 32, &queued));
    assert_eq!(queued.get(), 0);
}

#[test]
fn outermost_action_performs_the_queue_in_order_before_it_unwinds() {
    let performed = Rc::new(RefCell::new(Vec::new()));
    let panics = AssertUnwindSafe(|| {
        run(Kind::Drop, || {
            for number in 0..3 {
                let performed = performed.clone();
                queue(move || performed.borrow_mut().push(number));
            }
            assert!(performed.borrow().is_empty());
            panic!("intended");
        });
    });
    catch_unwind(panics).expect_err("it panics");
    assert_eq!(*performed.borrow(), [0, 1, 2]);
    assert!(!is_full(Kind::Drop) && DEPTHS.with(Cell::get) == [0; 3]);
    assert_eq!(QUEUE.with(|queue| queue.borrow().capacity()), 0);
}

#[test]
fn nested_loop_starts_at_level_zero() {
    run(Kind::Cancel, || {
        let levels = SeparateLevels::enter();
        assert_eq!(DEPTHS.with(Cell::get), [0; 3]);
        drop(levels);
        assert_eq!(DEPTHS.with(Cell::get), [1, 0, 0]);
    });
}
