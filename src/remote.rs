//! The one inbox through which other threads reach a loop.
//!
//! Whoever is outside leaves a [`Message`] in the open and, if it was empty before, wakes the poller: however many messages
//! come between two turns, one system call announces them. The loop empties the open when the poller says so. When the loop
//! closes, open and poller's waker go at once, so that a inbox that outlives its loop holds no descriptor.

use std::collections::{BTreeMap, HashSet};
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

/// What may come through the inbox.
pub(crate) enum Message {
    Call(Box<dyn FnOnce() + Send>, &'static Location<'static>),
    /// The task of a waker, by its number.
    Wake(u64),
    /// Nothing but to look again: the clock has moved.
    Wakeup,
    Stop,
}

/// For how many tasks that are woken there always is room.
const MIN_WOKEN_CAPACITY: usize = 100;

struct OpenInbox {
    messages: Vec<Message>,
    /// The tasks among the messages. Who finds its own here has written what the task is to see before it took the lock, and
    /// the loop takes the lock before the step: the message that is there covers it.
    woken: HashSet<u64>,
    poller: Arc<PollWaker>,
}

pub(crate) struct Inbox {
    id: LoopId,
    process: Process,
    /// `None` once the loop is closed.
    open: Mutex<Option<OpenInbox>>,
    /// Whether the poller was woken for what is there, or is about to be. Changes under the lock alone.
    notified: AtomicBool,
    /// Whether the poller could not be woken for what is there: the next turn looks by itself.
    notify_failed: AtomicBool,
}

type Inboxes = RwLock<BTreeMap<u16, Arc<Inbox>>>;

shared_static! {
    /// The inboxes of the loops that live, for wakers, which know no more than a number.
    static INBOXES: PerProcess<Inboxes> = PerProcess::new();
}

/// The inboxes of the loops of this process.
fn inboxes() -> &'static Inboxes {
    INBOXES.get(|_| RwLock::new(BTreeMap::new()))
}

/// Wakes the task that `number` names from outside its loop's thread. A closed loop has no tasks: nobody is left to be woken.
pub(crate) fn wake(number: u64) {
    let inboxes = inboxes().read().unwrap_or_else(PoisonError::into_inner);
    let inbox = inboxes.get(&LoopId::of(number).0).cloned();
    drop(inboxes);
    if let Some(inbox) = inbox {
        let _ = inbox.send(Message::Wake(number));
    }
}

impl Inbox {
    /// Makes a loop's inbox and makes it known until [`close`](Inbox::close).
    pub(crate) fn new(poller: PollWaker) -> io::Result<Arc<Inbox>> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let mut inboxes = inboxes().write().unwrap_or_else(PoisonError::into_inner);
        let mut numbers = (0..=u16::MAX).map(|_| NEXT.fetch_add(1, Ordering::Relaxed));
        let number = numbers.find(|number| !inboxes.contains_key(number));
        let number = number.ok_or_else(|| io::Error::other("65,536 loops are open"))?;
        let inbox = Arc::new(Inbox {
            id: LoopId(number),
            process: Process::current(),
            open: Mutex::new(Some(OpenInbox {
                messages: Vec::new(),
                woken: HashSet::new(),
                poller: Arc::new(poller),
            })),
            notified: AtomicBool::new(false),
            notify_failed: AtomicBool::new(false),
        });
        inboxes.insert(number, inbox.clone());
        Ok(inbox)
    }

    pub(crate) fn id(&self) -> LoopId {
        self.id
    }

    fn open(&self) -> MutexGuard<'_, Option<OpenInbox>> {
        // Nothing panics while it holds the lock but by exhausted memory; what is inside is whole in any case.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a message. A closed loop's is dropped, after the lock is released: it may hold the user's destructors.
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
            Message::Wake(number) if !open.woken.insert(number) => return Ok(()),
            message => open.messages.push(message),
        }
        if self.notified.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let poller = open.poller.clone();
        // The loop may run at once, on this core, and would find the lock taken.
        drop(guard);
        if let Err(error) = uninterrupted(|| poller.wake()) {
            log::error!("a loop could not be woken: {error}");
            // The next message tries again, and the next turn looks.
            let _inbox = self.open();
            self.notified.store(false, Ordering::Relaxed);
            self.notify_failed.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether something was left, or is about to be notified.
    pub(crate) fn is_notified(&self) -> bool {
        self.notified.load(Ordering::Relaxed)
    }

    /// Whether something was left that the poller does not tell of.
    pub(crate) fn has_failed_to_notify(&self) -> bool {
        self.notify_failed.load(Ordering::Relaxed)
    }

    /// Returns whether a message waits.
    pub(crate) fn has_messages(&self) -> bool {
        self.is_notified() || self.has_failed_to_notify()
    }

    /// Takes all that was left, in the order in which it came; `spare` becomes the empty open.
    pub(crate) fn take(&self, spare: Vec<Message>) -> Vec<Message> {
        match &mut *self.open() {
            Some(open) => {
                self.notified.store(false, Ordering::Relaxed);
                self.notify_failed.store(false, Ordering::Relaxed);
                let many = open.woken.len();
                open.woken.clear();
                // Clearing takes time by the room that there is, and after a burst that is much.
                open.woken.shrink_to(2 * many + MIN_WOKEN_CAPACITY);
                mem::replace(&mut open.messages, spare)
            }
            None => spare,
        }
    }

    /// Refuses all that comes later, and gives back what is there: dropping it runs the user's destructors.
    pub(crate) fn close(&self) -> Vec<Message> {
        if !self.process.is_current() {
            return self.close_inherited();
        }
        let mut inboxes = inboxes().write().unwrap_or_else(PoisonError::into_inner);
        let own = inboxes.remove(&self.id.0);
        drop(inboxes);
        drop(own);
        let open = self.open().take();
        open.map_or_else(Vec::new, |open| open.messages)
    }

    /// The same in a forked child, where a thread of the parent may have held the lock: then what
    /// it guards is left alone.
    fn close_inherited(&self) -> Vec<Message> {
        let open = self.open.try_lock().ok().and_then(|mut it| it.take());
        open.map_or_else(Vec::new, |open| {
            drop_inherited_poller(open.poller);
            open.messages
        })
    }

    /// True in a forked child, of a inbox that it inherited.
    pub(crate) fn is_closed(&self) -> bool {
        !self.process.is_current() || self.open().is_none()
    }
}

/// As a waker, the inbox makes its loop take a turn.
impl Wake for Inbox {
    fn wake(self: Arc<Self>) {
        let _ = self.send(Message::Wakeup);
    }
}

/// A handle to a loop for other threads: `Send`, `Sync` and `Clone`.
///
/// The loop and its [`LoopHandle`](crate::LoopHandle) stay on one thread. A `Remote` may outlive
/// its loop: then each call fails with [`LoopClosedError`].
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
    inbox: Arc<Inbox>,
}

impl Remote {
    pub(crate) fn new(inbox: Arc<Inbox>) -> Remote {
        Remote { inbox }
    }

    /// Calls `callback` on the loop's thread, in the next iteration.
    ///
    /// The calls of one thread run in the order in which they were made. For a call after a delay
    /// there is [`call_later_threadsafe`](Remote::call_later_threadsafe).
    ///
    /// The difference from asyncio: there is no handle to cancel the call.
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
    /// [`LoopClosedError`] if the loop is closed. The callback was dropped then.
    #[track_caller]
    pub fn call_soon_threadsafe(
        &self,
        callback: impl FnOnce() + Send + 'static,
    ) -> Result<(), LoopClosedError> {
        // On the loop's own thread it takes its location in the line at once, as in asyncio.
        match run_queue::local(self.inbox.id()) {
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
    /// On a closed loop there is nothing to stop.
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
        f.debug_struct("Remote")
            .field("closed", &self.inbox.is_closed())
            .finish()
    }
}
