//! The run queue: what the next turn of a loop runs, first in, first out, callbacks and task steps in one line, as asyncio has it.
//!
//! A task's waker may be on any thread and cannot hold the queue, which is of one thread. It holds the queue's [`LoopId`] and
//! asks [`local`] for it: on the loop's own thread that finds the queue in a thread local, without a lock or a system call,
//! whether the loop runs at that moment or not. Elsewhere it finds nothing, and the wake-up goes through the
//! [`Door`](crate::remote::Door).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::exceptions::Exceptions;
use crate::slots::Key;

/// Names a loop in its process, once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LoopId(u64);

impl LoopId {
    fn next() -> LoopId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        LoopId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A call that the loop has been asked for: it runs at most once, and may be called off until then.
pub(crate) trait Callback {
    /// Runs it, unless it ran or was cancelled before.
    fn run(&self);
    /// Drops what it would have run.
    fn cancel(&self);
    fn is_cancelled(&self) -> bool;
    /// What asked for it, to be named where it takes too long.
    fn place(&self) -> &'static Location<'static>;
}

/// The [`Callback`] of a closure.
pub(crate) struct Call<F> {
    body: Cell<Option<F>>,
    cancelled: Cell<bool>,
    place: &'static Location<'static>,
}

impl<F: FnOnce()> Call<F> {
    #[track_caller]
    pub(crate) fn new(body: F) -> Call<F> {
        Call::made_at(Location::caller(), body)
    }

    pub(crate) fn made_at(place: &'static Location<'static>, body: F) -> Call<F> {
        Call {
            body: Cell::new(Some(body)),
            cancelled: Cell::new(false),
            place,
        }
    }
}

impl<F: FnOnce()> Callback for Call<F> {
    fn run(&self) {
        if let Some(body) = self.body.take() {
            body();
        }
    }

    fn cancel(&self) {
        self.cancelled.set(true);
        drop(self.body.take());
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.get()
    }

    fn place(&self) -> &'static Location<'static> {
        self.place
    }
}

/// One thing to run.
pub(crate) enum Entry {
    Task(Key),
    Callback(Rc<dyn Callback>),
}

pub(crate) struct Ready {
    id: LoopId,
    queue: RefCell<VecDeque<Entry>>,
    closed: Cell<bool>,
    exceptions: Exceptions,
}

thread_local! {
    /// The queues of the loops that live on this thread; nearly always one.
    static LOCAL: RefCell<Vec<Rc<Ready>>> = const { RefCell::new(Vec::new()) };
}

/// The queue of the loop `id` if that lives on this thread.
pub(crate) fn local(id: LoopId) -> Option<Rc<Ready>> {
    let find = |queues: &RefCell<Vec<Rc<Ready>>>| {
        let queues = queues.borrow();
        queues.iter().find(|queue| queue.id == id).cloned()
    };
    // The thread local itself is gone while the thread ends: then the answer is "not here", which is right too.
    LOCAL.try_with(find).ok().flatten()
}

impl Ready {
    /// Makes the queue of a new loop and makes it known on this thread until [`close`](Ready::close).
    pub(crate) fn new() -> Rc<Ready> {
        let ready = Rc::new(Ready {
            id: LoopId::next(),
            queue: RefCell::new(VecDeque::new()),
            closed: Cell::new(false),
            exceptions: Exceptions::default(),
        });
        LOCAL.with(|local| local.borrow_mut().push(ready.clone()));
        ready
    }

    pub(crate) fn id(&self) -> LoopId {
        self.id
    }

    /// The loop's exception handler, for all that hands work to this queue.
    pub(crate) fn exceptions(&self) -> &Exceptions {
        &self.exceptions
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.borrow().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    /// Puts a task's step at the end of the line.
    pub(crate) fn push_task(&self, key: Key) {
        if !self.closed.get() {
            self.queue.borrow_mut().push_back(Entry::Task(key));
        }
    }

    /// Puts a callback at the end of the line; a closed loop's queue cancels it instead.
    pub(crate) fn push(&self, callback: Rc<dyn Callback>) {
        if self.closed.get() {
            return callback.cancel();
        }
        let entry = Entry::Callback(callback);
        self.queue.borrow_mut().push_back(entry);
    }

    pub(crate) fn pop(&self) -> Option<Entry> {
        self.queue.borrow_mut().pop_front()
    }

    /// Cancels what is queued and all that comes later, and forgets the queue on this thread.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        // A cancelled callback's destructor is the user's code: the queue is not borrowed while it runs.
        while let Some(entry) = self.pop() {
            if let Entry::Callback(callback) = entry {
                self.exceptions
                    .contain("panic while a callback was dropped", || callback.cancel());
            }
        }
        let _ = LOCAL.try_with(|local| local.borrow_mut().retain(|queue| queue.id != self.id));
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready").field("id", &self.id).finish()
    }
}
