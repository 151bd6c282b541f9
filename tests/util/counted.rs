//! A task that counts its polls.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::run_iteration;
use sendloop::{Loop, Task};

/// Creates a task that never ends. Returns it with its waker and the count of its steps.
pub fn counted(event_loop: &Loop) -> (Task<()>, Waker, Rc<Cell<u32>>) {
    let (steps, slot) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(None)));
    let (counts, keeps) = (steps.clone(), slot.clone());
    let task = event_loop.create_task(poll_fn(move |cx| {
        counts.set(counts.get() + 1);
        keeps.replace(Some(cx.waker().clone()));
        Poll::Pending
    }));
    run_iteration(event_loop);
    (task, slot.take().expect("polled"), steps)
}
