//! Bounds the stack of destructors that set off more destructors.
//!
//! A guard inside a task may cancel the next task, whose guard cancels the next one, and so on.
//! Each of these cancellations drops a future before it returns, so a long chain would overflow the
//! stack. This module counts the nested actions of a thread:
//!
//! 1. [`run`] performs an action one level deeper.
//! 2. If [`is_full`] holds, the caller passes the action to [`queue`] instead of performing it.
//! 3. The outermost [`run`] of the thread performs the queue before it returns or unwinds.
//!
//! The kinds are counted apart: a wake-up between two cancellations does not use up their levels.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::mem::{self, ManuallyDrop};

use crate::sync::thread_local;

/// The number of actions of one kind that may nest in the outermost one. `Task::cancel` documents
/// it.
const MAX_NESTED: u32 = 32;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Drops a cancelled future or callback.
    Cancel,
    /// Drops a result or a waker.
    Drop,
    /// Wakes a waker, which may run foreign code.
    Wake,
}

type Depths = [u32; 3];
type Queue = VecDeque<Box<dyn FnOnce()>>;

thread_local! {
    static DEPTHS: Cell<Depths> = const { Cell::new([0; 3]) };
}

thread_local! {
    /// It has no destructor, so it works while the thread ends. An empty queue holds no memory.
    static QUEUE: ManuallyDrop<RefCell<Queue>> =
        const { ManuallyDrop::new(RefCell::new(VecDeque::new())) };
}

/// Returns whether the next action of this kind must be queued.
pub(crate) fn is_full(kind: Kind) -> bool {
    DEPTHS.with(Cell::get)[kind as usize] > MAX_NESTED
}

/// Queues an action for the outermost [`run`]. The action must catch its own panic.
pub(crate) fn queue(action: impl FnOnce() + 'static) {
    QUEUE.with(|queue| queue.borrow_mut().push_back(Box::new(action)));
}

/// Performs an action one level deeper. The outermost level then performs the queue.
pub(crate) fn run<T>(kind: Kind, action: impl FnOnce() -> T) -> T {
    let before = DEPTHS.with(Cell::get);
    let mut depths = before;
    depths[kind as usize] += 1;
    DEPTHS.with(|it| it.set(depths));
    let _level = Level { before };
    action()
}

struct Level {
    before: Depths,
}

impl Drop for Level {
    #[inline]
    fn drop(&mut self) {
        if self.before == [0; 3] {
            perform_queue();
        }
        DEPTHS.with(|it| it.set(self.before));
    }
}

fn perform_queue() {
    while let Some(action) = QUEUE.with(|queue| queue.borrow_mut().pop_front()) {
        action();
    }
    // Frees the memory of the queue.
    drop(QUEUE.with(|queue| queue.take()));
}

/// The levels of a loop that runs, which start from zero.
///
/// A destructor may run a loop. `cancel` promises that loop's tasks 32 levels of their own.
pub(crate) struct SeparateLevels {
    before: Depths,
    /// The actions that were queued before the loop ran. They wait until the outer levels end.
    queue: Queue,
}

impl SeparateLevels {
    pub(crate) fn enter() -> SeparateLevels {
        SeparateLevels {
            before: DEPTHS.with(|it| it.replace([0; 3])),
            queue: QUEUE.with(|queue| queue.take()),
        }
    }
}

impl Drop for SeparateLevels {
    fn drop(&mut self) {
        DEPTHS.with(|it| it.set(self.before));
        self.queue.append(&mut QUEUE.with(|queue| queue.take()));
        QUEUE.with(|queue| queue.replace(mem::take(&mut self.queue)));
    }
}

#[cfg(test)]
mod tests;
