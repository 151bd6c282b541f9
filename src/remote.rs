//! The inbox through which other threads reach a loop, and the public handle to it.
//!
//! A thread sends a [`Message`]. If the loop has not been notified of an earlier message, the
//! thread wakes the poller. So one system call is enough for all messages between two iterations.
//! The loop takes the messages after the poller has reported the wake-up. A closing loop drops the
//! messages and the poller's waker, so an inbox that outlives its loop holds no descriptor.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::mem;
use std::panic::Location;
use std::rc::Rc;
use std::sync::atomic::AtomicU16;
use std::sync::{Arc, PoisonError};
use std::task::Wake;

use crate::error::{LoopClosedError, drop_bounded};
use crate::nesting::Kind;
use crate::run_queue::{self, Call, LoopId};
use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering, PollWaker, RwLock, shared_static};
use crate::sys::fork::{PerProcess, Process, drop_inherited_poller};
use crate::sys::uninterrupted;

/// A message from another thread.
pub(crate) enum Message {
    Call(Box<dyn FnOnce() + Send>, &'static Location<'static>),
    /// Wakes the task of a waker's number.
    WakeTask(u64),
    /// Makes the loop run an iteration, as after an advance of its clock.
    WakeLoop,
    Stop,
}

/// The capacity that the inbox always keeps for the set of woken tasks.
const MIN_WOKEN_CAPACITY: usize = 100;

struct OpenInbox {
    messages: Vec<Message>,
    /// The numbers of the `WakeTask` messages. The inbox drops a second message for the same task,
    /// which is safe:
    ///
    /// 1. The waking thread writes its data, and then takes the lock.
    /// 2. The loop takes the lock for the first message, and then polls the task, which sees the
    ///    data.
    woken: HashSet<u64>,
    poller: Arc<PollWaker>,
}

pub(crate) struct Inbox {
    pub(crate) id: LoopId,
    process: Process,
    /// `None` after the loop was closed.
    open: Mutex<Option<OpenInbox>>,
    /// True if the poller was woken for the messages, or is about to be. It changes only under the
    /// lock.
    notified: AtomicBool,
    /// True if the poller could not be woken. The next iteration takes the messages without an
    /// event.
    notify_failed: AtomicBool,
}

/// Sorted by the id.
type Inboxes = RwLock<Vec<Arc<Inbox>>>;

shared_static! {
    /// The inboxes of the open loops. A waker holds only a number, and finds its inbox here.
    static INBOXES: PerProcess<Inboxes> = PerProcess::new();
}

/// Returns the inboxes of this process's loops.
fn inboxes() -> &'static Inboxes {
    INBOXES.get(|| RwLock::new(Vec::new()))
}

/// Wakes the task of a waker's number from another thread. A closed loop has no tasks to wake.
pub(crate) fn wake(number: u64) {
    let inboxes = inboxes().read().unwrap_or_else(PoisonError::into_inner);
    if let Ok(index) = inboxes.binary_search_by_key(&LoopId::of(number), |inbox| inbox.id) {
        let inbox = inboxes[index].clone();
        drop(inboxes);
        let _ = inbox.send(Message::WakeTask(number));
    }
}

impl Inbox {
    /// Creates a loop's inbox. Wakers find it until [`close`](Inbox::close).
    pub(crate) fn new(poller: PollWaker) -> io::Result<Arc<Inbox>> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let mut inboxes = inboxes().write().unwrap_or_else(PoisonError::into_inner);
        let mut ids = (0..=u16::MAX).map(|_| LoopId(NEXT.fetch_add(1, Ordering::Relaxed)));
        let place = |id| inboxes.binary_search_by_key(&id, |inbox| inbox.id).err();
        let free = ids.find_map(|id| Some((id, place(id)?)));
        let (id, place) =
            free.ok_or_else(|| io::Error::other("cannot create a loop: 65,536 loops are open"))?;
        let inbox = Arc::new(Inbox {
            id,
            process: Process::current(),
            open: Mutex::new(Some(OpenInbox {
                messages: Vec::new(),
                woken: HashSet::new(),
                poller: Arc::new(poller),
            })),
            notified: AtomicBool::new(false),
            notify_failed: AtomicBool::new(false),
        });
        inboxes.insert(place, inbox.clone());
        Ok(inbox)
    }

    fn open(&self) -> MutexGuard<'_, Option<OpenInbox>> {
        // No code under the lock panics midway, so a poisoned state is consistent.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a message, and wakes the poller unless the loop is notified.
    ///
    /// If the loop is closed, this drops the message without the lock, as that runs the user's
    /// destructors.
    pub(crate) fn send(&self, message: Message) -> Result<(), LoopClosedError> {
        if !self.process.is_current() {
            return Err(LoopClosedError);
        }
        let mut guard = self.open();
        let Some(open) = &mut *guard else {
            drop(guard);
            drop_bounded(Kind::Drop, "while a refused call was dropped", message);
            return Err(LoopClosedError);
        };
        match message {
            Message::WakeTask(number) if !open.woken.insert(number) => return Ok(()),
            message => open.messages.push(message),
        }
        if self.notified.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let poller = open.poller.clone();
        // The loop may run at once on this core. With the lock held, it would have to wait.
        drop(guard);
        if let Err(error) = uninterrupted(|| poller.wake()) {
            log::error!("cannot wake a loop for a message from another thread: {error}");
            // The next message retries, and the next iteration takes the messages.
            let _guard = self.open();
            self.notified.store(false, Ordering::Relaxed);
            self.notify_failed.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Returns whether the poller was woken for messages, or is about to be.
    pub(crate) fn is_notified(&self) -> bool {
        self.notified.load(Ordering::Relaxed)
    }

    /// Returns whether there are messages for which the poller reports no event.
    pub(crate) fn has_failed_to_notify(&self) -> bool {
        self.notify_failed.load(Ordering::Relaxed)
    }

    /// Takes all messages, in the order in which they were sent.
    pub(crate) fn take(&self) -> Vec<Message> {
        let mut open = self.open();
        let Some(open) = &mut *open else {
            return Vec::new();
        };
        self.notified.store(false, Ordering::Relaxed);
        self.notify_failed.store(false, Ordering::Relaxed);
        let woken = open.woken.len();
        open.woken.clear();
        // The time that `clear` takes grows with the capacity, which is large after a burst.
        open.woken.shrink_to(2 * woken + MIN_WOKEN_CAPACITY);
        mem::take(&mut open.messages)
    }

    /// Closes the inbox and returns its messages. Dropping them runs the user's destructors.
    ///
    /// If a thread of a forked child's parent held the lock at the fork, the messages stay.
    pub(crate) fn close(&self) -> Vec<Message> {
        if !self.process.is_current() {
            let open = self.open.try_lock().ok().and_then(|mut open| open.take());
            return open.map_or_else(Vec::new, |open| {
                drop_inherited_poller(open.poller);
                open.messages
            });
        }
        // The caller has another reference, so this drops no inbox.
        let mut inboxes = inboxes().write().unwrap_or_else(PoisonError::into_inner);
        inboxes.retain(|inbox| inbox.id != self.id);
        drop(inboxes);
        let open = self.open().take();
        open.map_or_else(Vec::new, |open| open.messages)
    }

    /// Returns whether the loop is closed. An inbox that a forked child inherited is closed there.
    pub(crate) fn is_closed(&self) -> bool {
        !self.process.is_current() || self.open().is_none()
    }
}

/// As a waker, the inbox makes its loop run an iteration.
impl Wake for Inbox {
    fn wake(self: Arc<Self>) {
        let _ = self.send(Message::WakeLoop);
    }
}

/// A handle to a loop for other threads: `Send`, `Sync` and `Clone`.
///
/// The loop and its [`LoopHandle`](crate::LoopHandle) stay on one thread. A `Remote` can be used on
/// every thread. If it outlives its loop, each call fails with [`LoopClosedError`].
///
/// # Examples
///
/// ```
/// use sendloop::Loop;
///
/// # fn main() -> std::io::Result<()> {
/// let event_loop = Loop::new()?;
/// let remote = event_loop.remote();
/// let (promise, result) = event_loop.create_future();
/// let worker = std::thread::spawn(move || {
///     remote.call_soon_threadsafe(|| println!("on the loop's thread"))
/// });
/// worker.join().unwrap().unwrap();
/// event_loop.call_soon(move || promise.set_result(7).unwrap());
/// assert_eq!(event_loop.run_until_complete(result).unwrap(), 7);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Remote {
    pub(crate) inbox: Arc<Inbox>,
}

impl Remote {
    /// Calls `callback` on the loop's thread, in the next iteration.
    ///
    /// The calls of one thread run in the order in which they were made. For a call after a delay
    /// use [`call_later_threadsafe`](Remote::call_later_threadsafe).
    ///
    /// The difference from asyncio: the method returns no handle that could cancel the call.
    ///
    /// # Examples
    ///
    /// The closure may start a task on the loop:
    ///
    /// ```
    /// use std::{thread, time::Duration};
    /// use sendloop::{Loop, get_running_loop};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = Loop::new()?;
    /// let remote = event_loop.remote();
    /// let thread = thread::spawn(move || {
    ///     remote.call_soon_threadsafe(|| {
    ///         let event_loop = get_running_loop().unwrap();
    ///         event_loop.clone().create_task(async move {
    ///             event_loop.sleep(Duration::from_millis(1)).await;
    ///             event_loop.stop();
    ///         });
    ///     })
    /// });
    /// event_loop.run_forever();
    /// thread.join().unwrap().unwrap();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`LoopClosedError`] if the loop is closed. The callback is dropped.
    #[track_caller]
    pub fn call_soon_threadsafe(
        &self,
        callback: impl FnOnce() + Send + 'static,
    ) -> Result<(), LoopClosedError> {
        // On the loop's own thread the callback is queued at once, as in asyncio.
        match run_queue::local(self.inbox.id) {
            Some(run_queue) if !self.inbox.is_closed() => {
                run_queue.push(Rc::new(Call::new(callback)));
                Ok(())
            }
            _ => {
                let location = Location::caller();
                self.inbox.send(Message::Call(Box::new(callback), location))
            }
        }
    }

    /// Stops the loop as [`LoopHandle::stop`](crate::LoopHandle::stop) does, from another thread.
    ///
    /// On a closed loop it has no effect.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let remote = event_loop.remote();
    /// let thread = std::thread::spawn(move || remote.stop());
    /// event_loop.run_forever();
    /// thread.join().unwrap();
    /// # Ok(())
    /// # }
    /// ```
    pub fn stop(&self) {
        let _ = self.inbox.send(Message::Stop);
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("closed", &self.inbox.is_closed()).finish()
    }
}
