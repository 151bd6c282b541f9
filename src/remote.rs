//! The one door through which other threads reach a loop.
//!
//! Whoever is outside leaves a [`Message`] in the inbox and, if it was empty before, wakes the poller: however many messages
//! come between two turns, one system call announces them. The loop empties the inbox when the poller says so. When the loop
//! closes, inbox and poller's waker go at once, so that a door that outlives its loop holds no descriptor.

use std::fmt;
use std::mem;
use std::panic::Location;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use crate::error::LoopClosed;
use crate::ready::{self, Call, LoopId};
use crate::sys::uninterrupted;

/// What may come through the door.
pub(crate) enum Message {
    Call(Box<dyn FnOnce() + Send>, &'static Location<'static>),
    /// A task's waker, to be woken once more on the loop's own thread.
    Wake(Waker),
    /// Nothing but to look again: the clock has moved.
    Look,
    Stop,
}

struct Inbox {
    messages: Vec<Message>,
    /// Whether the poller was woken for what is there.
    announced: bool,
    poller: mio::Waker,
}

pub(crate) struct Door {
    id: LoopId,
    /// `None` once the loop is closed.
    inbox: Mutex<Option<Inbox>>,
}

impl Door {
    pub(crate) fn new(id: LoopId, poller: mio::Waker) -> Arc<Door> {
        let messages = Vec::new();
        Arc::new(Door {
            id,
            inbox: Mutex::new(Some(Inbox {
                messages,
                announced: false,
                poller,
            })),
        })
    }

    pub(crate) fn id(&self) -> LoopId {
        self.id
    }

    fn inbox(&self) -> MutexGuard<'_, Option<Inbox>> {
        // Nothing panics while it holds the lock but by exhausted memory; what is inside is whole in any case.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a message. A closed loop's is dropped, after the lock is released: it may hold the user's destructors.
    pub(crate) fn send(&self, message: Message) -> Result<(), LoopClosed> {
        let mut guard = self.inbox();
        let Some(inbox) = &mut *guard else {
            drop(guard);
            return Err(LoopClosed);
        };
        inbox.messages.push(message);
        if inbox.announced {
            return Ok(());
        }
        // Where it fails, the next message tries again.
        let woken = uninterrupted(|| inbox.poller.wake());
        inbox.announced = woken.is_ok();
        drop(guard);
        woken.unwrap_or_else(|error| log::error!("a loop could not be woken: {error}"));
        Ok(())
    }

    /// Takes all that was left, in the order in which it came; `spare` becomes the empty inbox.
    pub(crate) fn take(&self, spare: Vec<Message>) -> Vec<Message> {
        match &mut *self.inbox() {
            Some(inbox) => {
                inbox.announced = false;
                mem::replace(&mut inbox.messages, spare)
            }
            None => spare,
        }
    }

    /// Refuses all that comes later, and gives back what is there: dropping it runs the user's destructors.
    pub(crate) fn close(&self) -> Vec<Message> {
        let inbox = self.inbox().take();
        inbox.map_or_else(Vec::new, |inbox| inbox.messages)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.inbox().is_none()
    }
}

/// As a waker, the door makes its loop take a turn.
impl Wake for Door {
    fn wake(self: Arc<Self>) {
        let _ = self.send(Message::Look);
    }
}

/// The way to a loop from other threads: `Send`, `Sync` and `Clone`, where the loop and its
/// [`LoopHandle`](crate::LoopHandle) are of one thread.
///
/// It may outlive its loop: then each call says [`LoopClosed`].
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

    /// Has the loop call `callback` soon, on its own thread. The calls of one thread run in the order in which they were made.
    ///
    /// The difference from asyncio: there is no handle to cancel it, as what crosses threads cannot be taken back safely.
    ///
    /// # Errors
    ///
    /// [`LoopClosed`]: the loop is closed, and the callback was dropped.
    #[track_caller]
    pub fn call_soon_threadsafe(
        &self,
        callback: impl FnOnce() + Send + 'static,
    ) -> Result<(), LoopClosed> {
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

    /// [`LoopHandle::stop`](crate::LoopHandle::stop) from another thread. On a closed loop there is nothing to stop.
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
