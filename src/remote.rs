//! The one door through which other threads reach a loop.
//!
//! Whoever is outside leaves a [`Message`] in the inbox and, if it was empty before, wakes the poller: however many messages
//! come between two turns, one system call announces them. The loop empties the inbox when the poller says so. When the loop
//! closes, inbox and poller's waker go at once, so that a door that outlives its loop holds no descriptor.

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
use crate::ready::{self, Call, LoopId};
use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering, PollWaker, RwLock, shared_static};
use crate::sys::fork::{PerProcess, Process, drop_inherited_poller};
use crate::sys::uninterrupted;

/// What may come through the door.
pub(crate) enum Message {
    Call(Box<dyn FnOnce() + Send>, &'static Location<'static>),
    /// The task of a waker, by its number.
    Wake(u64),
    /// Nothing but to look again: the clock has moved.
    Look,
    Stop,
}

/// For how many tasks that are woken there always is room.
const FEW: usize = 100;

struct Inbox {
    messages: Vec<Message>,
    /// The tasks among the messages. Who finds its own here has written what the task is to see before it took the lock, and
    /// the loop takes the lock before the step: the message that is there covers it.
    woken: HashSet<u64>,
    poller: Arc<PollWaker>,
}

pub(crate) struct Door {
    id: LoopId,
    process: Process,
    /// `None` once the loop is closed.
    inbox: Mutex<Option<Inbox>>,
    /// Whether the poller was woken for what is there, or is about to be. Changes under the lock alone.
    announced: AtomicBool,
    /// Whether the poller could not be woken for what is there: the next turn looks by itself.
    unheard: AtomicBool,
}

type Doors = RwLock<BTreeMap<u16, Arc<Door>>>;

shared_static! {
    /// The doors of the loops that live, for wakers, which know no more than a number.
    static DOORS: PerProcess<Doors> = PerProcess::new();
}

/// The doors of the loops of this process.
fn doors() -> &'static Doors {
    DOORS.get(|_| RwLock::new(BTreeMap::new()))
}

/// Wakes the task that `number` names from outside its loop's thread. A closed loop has no tasks: nobody is left to be woken.
pub(crate) fn wake(number: u64) {
    let doors = doors().read().unwrap_or_else(PoisonError::into_inner);
    let door = doors.get(&LoopId::of(number).0).cloned();
    drop(doors);
    if let Some(door) = door {
        let _ = door.send(Message::Wake(number));
    }
}

impl Door {
    /// Makes a loop's door and makes it known until [`close`](Door::close).
    pub(crate) fn new(poller: PollWaker) -> io::Result<Arc<Door>> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let mut doors = doors().write().unwrap_or_else(PoisonError::into_inner);
        let mut numbers = (0..=u16::MAX).map(|_| NEXT.fetch_add(1, Ordering::Relaxed));
        let number = numbers.find(|number| !doors.contains_key(number));
        let number = number.ok_or_else(|| io::Error::other("65,536 loops are open"))?;
        let door = Arc::new(Door {
            id: LoopId(number),
            process: Process::current(),
            inbox: Mutex::new(Some(Inbox {
                messages: Vec::new(),
                woken: HashSet::new(),
                poller: Arc::new(poller),
            })),
            announced: AtomicBool::new(false),
            unheard: AtomicBool::new(false),
        });
        doors.insert(number, door.clone());
        Ok(door)
    }

    pub(crate) fn id(&self) -> LoopId {
        self.id
    }

    fn inbox(&self) -> MutexGuard<'_, Option<Inbox>> {
        // Nothing panics while it holds the lock but by exhausted memory; what is inside is whole in any case.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a message. A closed loop's is dropped, after the lock is released: it may hold the user's destructors.
    pub(crate) fn send(&self, message: Message) -> Result<(), LoopClosedError> {
        if !self.process.is_current() {
            return Err(LoopClosedError);
        }
        let mut guard = self.inbox();
        let Some(inbox) = &mut *guard else {
            drop(guard);
            drop_bounded(Kind::Drop, "while a refused call was dropped", message);
            return Err(LoopClosedError);
        };
        match message {
            Message::Wake(number) if !inbox.woken.insert(number) => return Ok(()),
            message => inbox.messages.push(message),
        }
        if self.announced.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let poller = inbox.poller.clone();
        // The loop may run at once, on this core, and would find the lock taken.
        drop(guard);
        if let Err(error) = uninterrupted(|| poller.wake()) {
            log::error!("a loop could not be woken: {error}");
            // The next message tries again, and the next turn looks.
            let _inbox = self.inbox();
            self.announced.store(false, Ordering::Relaxed);
            self.unheard.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether something was left, or is about to be announced.
    pub(crate) fn is_knocked_at(&self) -> bool {
        self.announced.load(Ordering::Relaxed)
    }

    /// Whether something was left that the poller does not tell of.
    pub(crate) fn is_unheard(&self) -> bool {
        self.unheard.load(Ordering::Relaxed)
    }

    /// Returns whether a message waits.
    pub(crate) fn has_messages(&self) -> bool {
        self.is_knocked_at() || self.is_unheard()
    }

    /// Takes all that was left, in the order in which it came; `spare` becomes the empty inbox.
    pub(crate) fn take(&self, spare: Vec<Message>) -> Vec<Message> {
        match &mut *self.inbox() {
            Some(inbox) => {
                self.announced.store(false, Ordering::Relaxed);
                self.unheard.store(false, Ordering::Relaxed);
                let many = inbox.woken.len();
                inbox.woken.clear();
                // Clearing takes time by the room that there is, and after a burst that is much.
                inbox.woken.shrink_to(2 * many + FEW);
                mem::replace(&mut inbox.messages, spare)
            }
            None => spare,
        }
    }

    /// Refuses all that comes later, and gives back what is there: dropping it runs the user's destructors.
    pub(crate) fn close(&self) -> Vec<Message> {
        if !self.process.is_current() {
            return self.close_inherited();
        }
        let mut doors = doors().write().unwrap_or_else(PoisonError::into_inner);
        let own = doors.remove(&self.id.0);
        drop(doors);
        drop(own);
        let inbox = self.inbox().take();
        inbox.map_or_else(Vec::new, |inbox| inbox.messages)
    }

    /// The same in a forked child, where a thread of the parent may have held the lock: then what
    /// it guards is left alone.
    fn close_inherited(&self) -> Vec<Message> {
        let inbox = self.inbox.try_lock().ok().and_then(|mut it| it.take());
        inbox.map_or_else(Vec::new, |inbox| {
            drop_inherited_poller(inbox.poller);
            inbox.messages
        })
    }

    /// True in a forked child, of a door that it inherited.
    pub(crate) fn is_closed(&self) -> bool {
        !self.process.is_current() || self.inbox().is_none()
    }
}

/// As a waker, the door makes its loop take a turn.
impl Wake for Door {
    fn wake(self: Arc<Self>) {
        let _ = self.send(Message::Look);
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
    door: Arc<Door>,
}

impl Remote {
    pub(crate) fn new(door: Arc<Door>) -> Remote {
        Remote { door }
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
        // On the loop's own thread it takes its place in the line at once, as in asyncio.
        match ready::local(self.door.id()) {
            Some(ready) if !self.door.is_closed() => {
                ready.push(Rc::new(Call::new(callback)));
                Ok(())
            }
            _ => {
                let place = Location::caller();
                self.door.send(Message::Call(Box::new(callback), place))
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
        let _ = self.door.send(Message::Stop);
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("closed", &self.door.is_closed())
            .finish()
    }
}
