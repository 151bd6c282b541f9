//! The run queue: callbacks and tasks that run in the next iteration, first in, first out.
//!
//! As in asyncio, one queue holds both. The module also holds the table of the loop's tasks.
//!
//! A task's waker may be on any thread, but the queue stays on the loop's thread. So the waker
//! holds the [`LoopId`] and calls [`wake_local`]. On the loop's thread that finds the queue in a
//! thread local, without a lock or a system call, whether the loop runs or not. On another thread
//! it finds nothing, and the wake-up goes through the [`Inbox`](crate::remote::Inbox).

mod header;
#[cfg(sendloop_shuffle)]
mod shuffle;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::pin::Pin;
use std::ptr;
use std::rc::Rc;
use std::task::Waker;

use crate::error::drop_bounded;
use crate::exceptions::Exceptions;
use crate::nesting::Kind;
use crate::slots::{Key, Packing, Slots};
use crate::sync::thread_local;
use crate::sys::fork::Process;
use crate::sys::task_cell::WithHeader;
pub(crate) use header::{Phase, TaskHeader, TaskLink};

/// The layout of a task's key in its waker's number, below the 16 bits of the loop's id.
///
/// The generation has 20 bits. If a waker is kept while its task's slot is reused 2^20 times, it
/// wakes the slot's present task. That is harmless: every future must bear a spurious wake-up.
const WAKER_PACKING: Packing = Packing::new(28, 20);
const LOOP_SHIFT: u32 = 48;

/// The id of an open loop in its process.
///
/// The id of a closed loop is reused, after 65,535 others at the earliest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct LoopId(pub(crate) u16);

impl LoopId {
    /// Returns the loop of a waker's number.
    pub(crate) fn of(number: u64) -> LoopId {
        LoopId((number >> LOOP_SHIFT) as u16)
    }

    /// Returns the number for the waker of a task of this loop.
    pub(crate) fn waker_number(self, task: Key) -> u64 {
        u64::from(self.0) << LOOP_SHIFT | task.pack(WAKER_PACKING)
    }
}

/// A callback in the run queue, which can be cancelled until it runs.
pub(crate) trait Callback {
    /// Runs the callback, unless it is used up or cancelled.
    fn run(&self);
    /// Drops the closure.
    fn cancel(&self);
    fn is_cancelled(&self) -> bool;
    /// Returns whether an event may queue it now.
    fn is_due(&self) -> bool {
        true
    }
    /// Returns the location that created the callback, for logs.
    fn location(&self) -> &'static Location<'static>;
}

/// The log's text for a panic in the destructor of a cancelled callback.
pub(crate) const DROPPING_CALLBACK: &str = "while a cancelled callback was dropped";

/// The [`Callback`] of a closure that runs once.
pub(crate) struct Call<F> {
    body: Cell<Option<F>>,
    cancelled: Cell<bool>,
    location: &'static Location<'static>,
}

impl<F: FnOnce()> Call<F> {
    #[track_caller]
    pub(crate) fn new(body: F) -> Call<F> {
        Call::with_location(Location::caller(), body)
    }

    pub(crate) fn with_location(location: &'static Location<'static>, body: F) -> Call<F> {
        Call { body: Cell::new(Some(body)), cancelled: Cell::new(false), location }
    }
}

impl<F: FnOnce() + 'static> Callback for Call<F> {
    fn run(&self) {
        if let Some(body) = self.body.take() {
            body();
        }
    }

    fn cancel(&self) {
        self.cancelled.set(true);
        if let Some(body) = self.body.take() {
            drop_bounded(Kind::Cancel, DROPPING_CALLBACK, body);
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.get()
    }

    fn location(&self) -> &'static Location<'static> {
        self.location
    }
}

/// A task as the loop sees it, without the type of its future.
pub(crate) trait Step {
    /// Polls the task once. Returns false for the task of `run_until_complete`, whose future the
    /// caller polls.
    fn step(self: Pin<&Self>, header: &TaskHeader, waker: &Waker) -> bool;
    /// Cancels the task. Returns false if it had ended already.
    fn cancel(self: Pin<&Self>, header: &TaskHeader) -> bool;
}

pub(crate) type Runnable = Pin<Rc<WithHeader<TaskHeader, dyn Step>>>;

/// An entry of the run queue.
pub(crate) enum Entry {
    Task(Runnable),
    Callback(Rc<dyn Callback>),
    /// A timer waker that is due, by its key.
    TimerWaker(Key),
}

pub(crate) struct RunQueue {
    pub(crate) id: LoopId,
    queue: RefCell<VecDeque<Entry>>,
    tasks: RefCell<Slots<Runnable>>,
    /// The number of steps of tasks.
    pub(crate) steps: Cell<u64>,
    closed: Cell<bool>,
    process: Process,
    /// The exception handler of the loop.
    pub(crate) exceptions: Exceptions,
    /// Makes the loop's descriptor readable, for a loop that embeds this one.
    embedder: Waker,
    /// True if the next entry that is queued wakes `embedder`. After it the descriptor is readable,
    /// so later entries wake nothing.
    pub(crate) notifies_embedder: Cell<bool>,
    #[cfg(sendloop_shuffle)]
    shuffle: shuffle::Shuffle,
}

thread_local! {
    /// The queues of the open loops of this thread, nearly always one.
    ///
    /// It has no destructor, as the destructor of another thread local may use a loop. The last
    /// loop frees the memory.
    static LOCAL: RefCell<ManuallyDrop<Vec<Rc<RunQueue>>>> =
        const { RefCell::new(ManuallyDrop::new(Vec::new())) };
}

fn with_local<T>(id: LoopId, f: impl FnOnce(&Rc<RunQueue>) -> T) -> Option<T> {
    // In a forked child, a new loop of any thread may have the id of one of the parent's loops.
    let is_wanted = |queue: &&Rc<RunQueue>| queue.id == id && !queue.is_inherited();
    LOCAL.with(|queues| queues.borrow().iter().find(is_wanted).map(f))
}

/// Returns the queue of the loop `id` if it is on this thread.
pub(crate) fn local(id: LoopId) -> Option<Rc<RunQueue>> {
    with_local(id, Rc::clone)
}

/// Queues the task of a waker's number if its loop is on this thread. Runs no code of the user's.
///
/// Returns false if the loop is not on this thread.
pub(crate) fn wake_local(number: u64) -> bool {
    with_local(LoopId::of(number), |queue| queue.wake(number)).is_some()
}

impl RunQueue {
    /// Creates the queue of a new loop. [`local`] finds it on this thread until
    /// [`close`](RunQueue::close).
    pub(crate) fn new(id: LoopId, embedder: Waker) -> Rc<RunQueue> {
        let run_queue = Rc::new(RunQueue {
            id,
            queue: RefCell::new(VecDeque::new()),
            tasks: RefCell::default(),
            steps: Cell::new(0),
            closed: Cell::new(false),
            process: Process::current(),
            exceptions: Exceptions::default(),
            embedder,
            notifies_embedder: Cell::new(false),
            #[cfg(sendloop_shuffle)]
            shuffle: shuffle::Shuffle::from_environment(),
        });
        LOCAL.with(|queues| queues.borrow_mut().push(run_queue.clone()));
        run_queue
    }

    /// Returns whether this is a forked child that inherited the queue.
    pub(crate) fn is_inherited(&self) -> bool {
        !self.process.is_current()
    }

    /// Returns the number of entries for this iteration. Later entries are for the next one.
    pub(crate) fn begin_iteration(&self) -> usize {
        #[cfg(sendloop_shuffle)]
        self.shuffle.mix(&mut self.queue.borrow_mut());
        self.queue.borrow().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    pub(crate) fn task_count(&self) -> usize {
        self.tasks.borrow().len()
    }

    /// Queues an entry, also on a closed queue.
    #[inline]
    pub(crate) fn enqueue(&self, entry: Entry) {
        self.queue.borrow_mut().push_back(entry);
        if self.notifies_embedder.get() {
            self.notifies_embedder.set(false);
            self.embedder.wake_by_ref();
        }
    }

    /// Adds `task` to the table of tasks and to the queue. Returns false if a closed loop does not
    /// run it.
    pub(crate) fn register(&self, task: Runnable) -> bool {
        let key = self.tasks.borrow_mut().insert(task.clone());
        task.head().key.set(Some(key));
        let is_open = !self.closed.get() && !self.is_inherited();
        if is_open {
            task.head().queued.set(true);
            self.enqueue(Entry::Task(task));
        }
        is_open
    }

    /// Removes a task from the table of tasks, so that stale wakers are ignored.
    pub(crate) fn unregister(&self, header: &TaskHeader) {
        let task = header.key.take().map(|key| self.tasks.borrow_mut().remove(key));
        drop(task);
    }

    /// Cancels all tasks. A task that is being polled ends after its step.
    pub(crate) fn cancel_tasks(&self) {
        // A destructor may create and end tasks, so the table is not borrowed while it runs.
        let tasks: Vec<Runnable> = self.tasks.borrow().values().cloned().collect();
        for task in tasks {
            task.as_ref().body().cancel(task.head());
        }
    }

    /// Queues the task of a waker's number, unless the task has ended or is in the queue.
    pub(crate) fn wake(&self, number: u64) {
        if let Some(task) = self.tasks.borrow().get_packed(number, WAKER_PACKING) {
            if !self.closed.get() && !task.head().queued.replace(true) {
                self.enqueue(Entry::Task(task.clone()));
            }
        }
    }

    /// Queues a callback. A closed queue cancels it instead.
    pub(crate) fn push(&self, callback: Rc<dyn Callback>) {
        if self.closed.get() || self.is_inherited() {
            return callback.cancel();
        }
        self.enqueue(Entry::Callback(callback));
    }

    /// Removes the first entry. A task that is woken from here on is queued again.
    pub(crate) fn pop(&self) -> Option<Entry> {
        let entry = self.queue.borrow_mut().pop_front();
        if let Some(Entry::Task(task)) = &entry {
            task.head().queued.set(false);
        }
        entry
    }

    /// Cancels all present and later tasks and callbacks, and removes the queue from this thread.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        self.cancel_tasks();
        // A callback's destructor may use the queue, so the queue is not borrowed while it runs.
        while let Some(entry) = self.pop() {
            if let Entry::Callback(callback) = entry {
                self.exceptions.contain("panic while a callback was dropped", || callback.cancel());
            }
        }
        LOCAL.with(|queues| {
            let mut queues = queues.borrow_mut();
            // The caller has another reference, so this drops no queue.
            queues.retain(|queue| !ptr::eq(&**queue, self));
            queues.shrink_to_fit();
        });
    }
}
