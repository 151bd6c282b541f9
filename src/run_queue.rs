//! The run queue: what the next turn of a loop runs, first in, first out, callbacks and task steps in one line, as asyncio has it;
//! and the loop's tasks, as who wakes one finds them.
//!
//! A task's waker may be on any thread and cannot hold the queue, which is of one thread. It holds the queue's [`LoopId`] and
//! asks [`local`] for it: on the loop's own thread that finds the queue in a thread local, without a lock or a system call,
//! whether the loop runs at that moment or not. Elsewhere it finds nothing, and the wake-up goes through the
//! [`Inbox`](crate::remote::Inbox).

#[cfg(sendloop_shuffle)]
mod shuffle;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::mem::{self, ManuallyDrop};
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

/// A task's key in its waker's number, whose upper 16 bits are its loop's. A waker that is kept until 2^20 other tasks have had
/// the location of its own would wake the next one for nothing, which a future must bear in any case.
const WAKER: Packing = Packing::new(28, 20);
const LOOP_SHIFT: u32 = 48;

/// Names a loop among those that live in its process. The number of a closed loop is used again, at the earliest when 65,535
/// others have been given out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LoopId(pub(crate) u16);

impl LoopId {
    /// The loop of the task that a waker's number names.
    pub(crate) fn of(number: u64) -> LoopId {
        LoopId((number >> LOOP_SHIFT) as u16)
    }

    /// The number for the waker of one of this loop's tasks.
    pub(crate) fn number(self, task: Key) -> u64 {
        u64::from(self.0) << LOOP_SHIFT | task.pack(WAKER)
    }
}

/// A call that the loop has been asked for: it runs at most once, and may be called off until then.
pub(crate) trait Callback {
    /// Runs it, unless it ran or was cancelled before.
    fn run(&self);
    /// Drops what it would have run.
    fn cancel(&self);
    fn is_cancelled(&self) -> bool;
    /// Returns whether an event calls it now.
    fn is_due(&self) -> bool {
        true
    }
    /// What asked for it, to be named where it takes too long.
    fn location(&self) -> &'static Location<'static>;
}

/// The log names this if the destructor of a cancelled callback panics.
pub(crate) const DROPPED: &str = "while a cancelled callback was dropped";

/// The [`Callback`] of a closure.
pub(crate) struct Call<F> {
    body: Cell<Option<F>>,
    cancelled: Cell<bool>,
    location: &'static Location<'static>,
}

impl<F: FnOnce()> Call<F> {
    #[track_caller]
    pub(crate) fn new(body: F) -> Call<F> {
        Call::made_at(Location::caller(), body)
    }

    pub(crate) fn made_at(location: &'static Location<'static>, body: F) -> Call<F> {
        Call {
            body: Cell::new(Some(body)),
            cancelled: Cell::new(false),
            location,
        }
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
            drop_bounded(Kind::Cancel, DROPPED, body);
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.get()
    }

    fn location(&self) -> &'static Location<'static> {
        self.location
    }
}

/// What the queue knows of a task.
pub(crate) struct TaskHeader {
    key: Cell<Option<Key>>,
    /// Whether the task is in the line.
    queued: Cell<bool>,
    /// What made it, to be named where it takes too long.
    pub(crate) location: &'static Location<'static>,
}

impl TaskHeader {
    #[track_caller]
    pub(crate) fn new() -> TaskHeader {
        TaskHeader {
            key: Cell::new(None),
            queued: Cell::new(false),
            location: Location::caller(),
        }
    }

    /// Where it is found, as long as it is one of the loop's tasks.
    pub(crate) fn key(&self) -> Option<Key> {
        self.key.get()
    }
}

/// What came of a step.
pub(crate) enum Stepped {
    /// A task was polled, or had ended before.
    Task,
    /// The future that the loop runs until it is complete has to be polled.
    Root,
}

/// A task as the loop has it: without its type.
pub(crate) trait Step {
    /// Polls it once.
    fn step(self: Pin<&Self>, header: &TaskHeader, waker: &Waker) -> Stepped;
    /// Cancels it; false if it has ended.
    fn cancel(self: Pin<&Self>, header: &TaskHeader) -> bool;
    /// Drops the future of a task that was cancelled while it did not run, and ends the task.
    fn end_cancelled(self: Pin<&Self>, header: &TaskHeader);
}

pub(crate) type Runnable = Pin<Rc<WithHeader<TaskHeader, dyn Step>>>;

/// One thing to run.
pub(crate) enum Entry {
    Task(Runnable),
    Callback(Rc<dyn Callback>),
    /// An timer_waker is due.
    TimerWaker(Key),
}

pub(crate) struct RunQueue {
    id: LoopId,
    queue: RefCell<VecDeque<Entry>>,
    tasks: RefCell<Slots<Runnable>>,
    closed: Cell<bool>,
    process: Process,
    exceptions: Exceptions,
    /// Makes the loop's descriptor readable.
    embedder: Waker,
    /// Whether the next work that is queued wakes `embedder`.
    notifies: Cell<bool>,
    #[cfg(sendloop_shuffle)]
    shuffle: shuffle::Shuffle,
}

thread_local! {
    /// The queues of the loops that live on this thread; nearly always one. Without a destructor,
    /// as a loop may live in that of another thread local. The last loop frees its memory.
    static LOCAL: RefCell<ManuallyDrop<Vec<Rc<RunQueue>>>> =
        const { RefCell::new(ManuallyDrop::new(Vec::new())) };
}

fn with_local<T>(id: LoopId, f: impl FnOnce(&Rc<RunQueue>) -> T) -> Option<T> {
    LOCAL.with(|queues| queues.borrow().iter().find(|queue| queue.id == id).map(f))
}

/// Takes the queues out of this thread's that `is_kept` refuses.
fn retain_local(is_kept: impl Fn(&RunQueue) -> bool) {
    let gone: Vec<Rc<RunQueue>> = LOCAL.with(|queues| {
        let mut queues = queues.borrow_mut();
        let (kept, gone) = mem::take(&mut **queues)
            .into_iter()
            .partition(|queue| is_kept(queue));
        **queues = kept;
        gone
    });
    drop(gone);
}

/// The queue of the loop `id` if that lives on this thread.
pub(crate) fn local(id: LoopId) -> Option<Rc<RunQueue>> {
    with_local(id, Rc::clone)
}

/// Queues a step of the task that `number` names, if its loop lives on this thread; no code of the user's runs.
pub(crate) fn wake_local(number: u64) -> bool {
    with_local(LoopId::of(number), |ready| ready.wake(number)).is_some()
}

impl RunQueue {
    /// Makes the queue of a new loop and makes it known on this thread until [`close`](RunQueue::close).
    ///
    /// `embedder` is woken as [`notify_next`](RunQueue::notify_next) says.
    pub(crate) fn new(id: LoopId, embedder: Waker) -> Rc<RunQueue> {
        let ready = Rc::new(RunQueue {
            id,
            queue: RefCell::new(VecDeque::new()),
            tasks: RefCell::new(Slots::new()),
            closed: Cell::new(false),
            process: Process::current(),
            exceptions: Exceptions::default(),
            embedder,
            notifies: Cell::new(false),
            #[cfg(sendloop_shuffle)]
            shuffle: shuffle::Shuffle::from_environment(),
        });
        // In a forked child: the id of a new loop may be that of one of the parent's loops.
        retain_local(|queue| queue.process.is_current());
        LOCAL.with(|queues| queues.borrow_mut().push(ready.clone()));
        ready
    }

    pub(crate) fn id(&self) -> LoopId {
        self.id
    }

    /// Returns whether this is a forked child, which has the queue from its parent.
    pub(crate) fn is_inherited(&self) -> bool {
        !self.process.is_current()
    }

    /// The loop's exception handler, for all that hands work to this queue.
    pub(crate) fn exceptions(&self) -> &Exceptions {
        &self.exceptions
    }

    /// How much there is for the turn that begins: what is queued from here on is for the next one.
    pub(crate) fn begin_iteration(&self) -> usize {
        #[cfg(sendloop_shuffle)]
        self.shuffle.mix(&mut self.queue.borrow_mut());
        self.queue.borrow().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    /// How many tasks the loop has.
    pub(crate) fn tasks(&self) -> usize {
        self.tasks.borrow().len()
    }

    /// Sets whether the next work that is queued wakes the embedder. Later work does not: the
    /// descriptor is readable by then.
    pub(crate) fn notify_next(&self, notifies: bool) {
        self.notifies.set(notifies);
    }

    #[inline]
    fn enqueue(&self, entry: Entry) {
        self.queue.borrow_mut().push_back(entry);
        if self.notifies.get() {
            self.notifies.set(false);
            self.embedder.wake_by_ref();
        }
    }

    /// Makes `task` one of the loop's.
    pub(crate) fn register(&self, task: &Runnable) {
        let key = self.tasks.borrow_mut().insert(task.clone());
        task.head().key.set(Some(key));
    }

    /// Returns the task of this key, until it is dismissed.
    pub(crate) fn task(&self, key: Key) -> Option<Runnable> {
        self.tasks.borrow().get(key).cloned()
    }

    /// Makes `task` one of the loop's, and queues its first step.
    pub(crate) fn admit(&self, task: Runnable) {
        self.register(&task);
        task.head().queued.set(true);
        self.enqueue(Entry::Task(task));
    }

    /// What was a task of the loop's is none any more: whoever wakes it finds nobody.
    pub(crate) fn dismiss(&self, header: &TaskHeader) {
        let task = header
            .key
            .take()
            .map(|key| self.tasks.borrow_mut().remove(key));
        drop(task);
    }

    /// The tasks that there are now, for going through them while they come and go.
    pub(crate) fn all_tasks(&self) -> Vec<Runnable> {
        self.tasks.borrow().values().cloned().collect()
    }

    /// Queues a step of the task that `number` names. One that has ended is nobody.
    pub(crate) fn wake(&self, number: u64) {
        if let Some(task) = self.tasks.borrow().get_packed(number, WAKER) {
            self.push_task(task);
        }
    }

    /// Puts a task's step at the end of the line, unless it stands there already.
    fn push_task(&self, task: &Runnable) {
        if !self.closed.get() && !task.head().queued.replace(true) {
            self.enqueue(Entry::Task(task.clone()));
        }
    }

    /// Puts a callback at the end of the line; a closed loop's queue cancels it instead.
    pub(crate) fn push(&self, callback: Rc<dyn Callback>) {
        if self.closed.get() || self.is_inherited() {
            return callback.cancel();
        }
        self.enqueue(Entry::Callback(callback));
    }

    /// Puts an timer_waker at the end of the line.
    pub(crate) fn push_timer_waker(&self, timer_waker: Key) {
        self.enqueue(Entry::TimerWaker(timer_waker));
    }

    /// Takes what is first in the line. A task that is woken from here on will stand in it again.
    pub(crate) fn pop(&self) -> Option<Entry> {
        let entry = self.queue.borrow_mut().pop_front();
        if let Some(Entry::Task(task)) = &entry {
            task.head().queued.set(false);
        }
        entry
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
        retain_local(|queue| !ptr::eq(queue, self));
    }
}

impl fmt::Debug for RunQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunQueue").field("id", &self.id).finish()
    }
}
