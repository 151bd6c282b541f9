//! Signals as callbacks of the loop.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::panic::Location;
use std::rc::Rc;

use super::LoopHandle;
use crate::error::drop_bounded;
use crate::exceptions::Exceptions;
use crate::nesting::Kind;
use crate::ready::{Call, DROPPED, Ready};
use crate::sys::signal::Mailbox;

type Body = Rc<RefCell<dyn FnMut()>>;
type Place = &'static Location<'static>;

/// The signals that one loop catches.
#[derive(Default)]
pub(crate) struct Signals {
    /// From the first handler on, until the loop is closed.
    mailbox: RefCell<Option<Rc<Mailbox>>>,
    handlers: RefCell<HashMap<i32, (Body, Place)>>,
}

impl Signals {
    /// Queues a call for each signal that has come, in the order of their numbers.
    fn deliver(&self, mailbox: &Mailbox, ready: &Ready) {
        for (signal, count) in mailbox.take() {
            let Some((body, place)) = self.handlers.borrow().get(&signal).cloned() else {
                continue;
            };
            for _ in 0..count {
                let body = body.clone();
                ready.push(Rc::new(Call::made_at(place, move || {
                    // A handler that runs the loop's turn from inside itself does not get its own next signal there.
                    if let Ok(mut body) = body.try_borrow_mut() {
                        body();
                    }
                })));
            }
        }
    }

    pub(super) fn close(&self, exceptions: &Exceptions) {
        for handler in self.handlers.take().into_values() {
            exceptions.contain("panic while a callback was dropped", || drop(handler));
        }
        let mailbox = self.mailbox.take();
        drop(mailbox);
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signals: Vec<i32> = self.handlers.borrow().keys().copied().collect();
        f.debug_tuple("Signals").field(&signals).finish()
    }
}

impl LoopHandle {
    /// Calls `callback` on the loop, not in the signal's context, each time that the process gets `signal`. A second one
    /// replaces the first.
    ///
    /// Several loops may catch one signal: each is told. What happened at the signal before happens again when the last
    /// handler is [removed](LoopHandle::remove_signal_handler) or its loop closed. Any thread's loop may do this; asyncio
    /// allows it on the main thread only.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for SIGKILL and SIGSTOP, for the signals of a fault (SIGSEGV, SIGBUS, SIGFPE, SIGILL), and for what is no
    /// signal; [`LoopClosedError`](crate::LoopClosedError) on a closed loop; what the system says where it
    /// has no descriptors left.
    #[track_caller]
    pub fn add_signal_handler(
        &self,
        signal: i32,
        callback: impl FnMut() + 'static,
    ) -> io::Result<()> {
        if self.is_closed() {
            return Err(self.closed_error());
        }
        self.mailbox()?.want(signal)?;
        let body: Body = Rc::new(RefCell::new(callback));
        let entry = (body, Location::caller());
        let before = self
            .inner
            .signals
            .handlers
            .borrow_mut()
            .insert(signal, entry);
        drop_bounded(Kind::Cancel, DROPPED, before);
        Ok(())
    }

    /// Drops the callback for `signal` and says whether there was one. What is queued already is still called, as in asyncio.
    pub fn remove_signal_handler(&self, signal: i32) -> bool {
        let body = self.inner.signals.handlers.borrow_mut().remove(&signal);
        if body.is_none() {
            return false;
        }
        if let Some(mailbox) = &*self.inner.signals.mailbox.borrow() {
            mailbox.unwant(signal);
        }
        drop_bounded(Kind::Cancel, DROPPED, body);
        true
    }

    fn mailbox(&self) -> io::Result<Rc<Mailbox>> {
        if let Some(mailbox) = &*self.inner.signals.mailbox.borrow() {
            return Ok(mailbox.clone());
        }
        let mailbox = Rc::new(Mailbox::new()?);
        let (signals, ready) = (self.inner.signals.clone(), self.inner.ready.clone());
        let incoming = mailbox.clone();
        self.add_reader(&*mailbox, move || signals.deliver(&incoming, &ready))?;
        *self.inner.signals.mailbox.borrow_mut() = Some(mailbox.clone());
        Ok(mailbox)
    }
}
