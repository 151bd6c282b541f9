//! A task that runs each millisecond and records its lateness.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use sendloop::{Loop, Task};

use super::thread_times;

const TICK: Duration = Duration::from_millis(1);

/// A ticking task. It starts when the loop runs, and dropping this value ends it.
pub struct Ticker {
    late: Rc<RefCell<Vec<Duration>>>,
    task: Task<()>,
}

impl Ticker {
    pub fn start(event_loop: &Loop) -> Ticker {
        let late = Rc::new(RefCell::new(Vec::new()));
        let (handle, recorded) = (event_loop.handle(), late.clone());
        let task = event_loop.create_task(async move {
            loop {
                let (_, others) = thread_times();
                let due = Instant::now() + TICK;
                handle.sleep(TICK).await;
                // The time in which the kernel ran other programs does not count against the loop.
                let others = thread_times().1 - others;
                recorded.borrow_mut().push(due.elapsed().saturating_sub(others));
            }
        });
        Ticker { late, task }
    }

    pub fn ticks(&self) -> usize {
        self.late.borrow().len()
    }

    /// Returns the worst lateness of a tick.
    pub fn worst(&self) -> Duration {
        self.late.borrow().iter().max().copied().unwrap_or_default()
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.task.cancel();
    }
}
