//! A task's waker: from any thread, at any time, also after the task and the loop are gone.
//!
//! Two flags keep a task from standing in the line more than once:
//!
//! - `queued` belongs to the loop's thread alone: set when the key is put into the run queue, cleared when the step begins.
//!   Relaxed is enough, as one thread reads and writes it.
//! - `sent` is for other threads: the first that sets it leaves one message at the door, the others are covered by that.
//!   1. A thread writes its data, then swaps `sent` to true (release).
//!   2. The loop takes the message, swaps `sent` to false (acquire), then queues the task.
//!   3. A thread that found `sent` true wrote its data before that swap to false, so the step sees it. One that swaps after it
//!      finds false and leaves a message of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::task::{Wake, Waker};

use crate::ready::{self, Ready};
use crate::remote::{Door, Message};
use crate::slots::Key;

pub(super) struct TaskWaker {
    /// The task's key in two words; written only while nobody else has this waker.
    key: [AtomicUsize; 2],
    queued: AtomicBool,
    sent: AtomicBool,
    door: Arc<Door>,
}

impl TaskWaker {
    pub(super) fn new(door: Arc<Door>) -> TaskWaker {
        TaskWaker {
            key: [AtomicUsize::new(0), AtomicUsize::new(0)],
            queued: AtomicBool::new(false),
            sent: AtomicBool::new(false),
            door,
        }
    }

    /// Makes this the waker of a new task, whose first step is about to be queued.
    pub(super) fn serve(&self, key: Key) {
        let (index, generation) = key.parts();
        self.key[0].store(index as usize, Ordering::Relaxed);
        self.key[1].store(generation as usize, Ordering::Relaxed);
        self.queued.store(true, Ordering::Relaxed);
        self.sent.store(false, Ordering::Relaxed);
    }

    fn key(&self) -> Key {
        let [index, generation] = &self.key;
        Key::from_parts(
            index.load(Ordering::Relaxed) as u32,
            generation.load(Ordering::Relaxed) as u32,
        )
    }

    /// From here on a wake-up queues another step.
    pub(super) fn begin_step(&self) {
        self.queued.store(false, Ordering::Relaxed);
    }

    /// Whether nobody else holds it, so that it may serve another task.
    pub(super) fn is_unshared(self: &Arc<Self>) -> bool {
        let alone = Arc::strong_count(self) == 1;
        // The count is read relaxed: what the last other holder did must be seen before this is used again.
        fence(Ordering::Acquire);
        alone
    }

    fn queue(&self, ready: &Ready) {
        if self.sent.load(Ordering::Relaxed) {
            self.sent.swap(false, Ordering::AcqRel);
        }
        if !self.queued.load(Ordering::Relaxed) {
            self.queued.store(true, Ordering::Relaxed);
            ready.push_task(self.key());
        }
    }

    fn send(self: &Arc<Self>) {
        if !self.sent.swap(true, Ordering::AcqRel) {
            // A closed loop has no tasks: nobody is left to be woken.
            let _ = self.door.send(Message::Wake(Waker::from(self.clone())));
        }
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        match ready::local(self.door.id()) {
            Some(ready) => self.queue(&ready),
            None => self.send(),
        }
    }
}
