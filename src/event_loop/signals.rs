//! Signals as callbacks of the loop.

use std::cell::{Cell, RefCell};
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
use crate::sys::signal::{self, Mailbox};
use crate::task::{Promise, PromiseFuture};

type Body = Rc<RefCell<dyn FnMut()>>;
type Place = &'static Location<'static>;

/// The signals that one loop catches.
#[derive(Default)]
pub(crate) struct Signals {
    /// From the first handler on, until the loop is closed.
    mailbox: RefCell<Option<Rc<Mailbox>>>,
    handlers: RefCell<HashMap<i32, (Body, Place)>>,
    /// Kept at the first Ctrl-C, for [`run`](crate::run).
    interrupt: Cell<Option<Promise<()>>>,
}

impl Signals {
    /// Queues a call for each signal that arrived, in the order in which they arrived. A signal
    /// without a handler is ignored.
    fn deliver(&self, mailbox: &Mailbox, ready: &Ready) {
        for signal in mailbox.take() {
            let Some((body, place)) = self.handlers.borrow().get(&signal).cloned() else {
                continue;
            };
            ready.push(Rc::new(Call::made_at(place, move || {
                // A handler that runs the loop from inside itself does not get its own next signal
                // there.
                if let Ok(mut body) = body.try_borrow_mut() {
                    body();
                }
            })));
        }
        let promise = self.interrupt.take();
        if !mailbox.take_interrupt() {
            self.interrupt.set(promise);
        } else if let Some(promise) = promise {
            let _ = promise.set_result(());
        }
    }

    /// Returns whether a descriptor is registered for Ctrl-C alone, not for a signal of the
    /// program's.
    pub(super) fn has_only_interrupt(&self) -> bool {
        self.mailbox.borrow().is_some() && self.handlers.borrow().is_empty()
    }

    pub(super) fn close(&self, exceptions: &Exceptions) {
        for handler in self.handlers.take().into_values() {
            exceptions.contain("panic while a callback was dropped", || drop(handler));
        }
        drop(self.interrupt.take());
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
    /// Calls `callback` on the loop each time the process gets `signal`.
    ///
    /// The callback runs as a callback of the loop, not inside the signal handler. A second
    /// callback replaces the first. Callbacks of several signals run in the order in which the
    /// signals arrived. If more than about 250 wait, the later ones run in the order of their
    /// numbers.
    ///
    /// Several loops may catch one signal: each calls its callback. Any thread's loop may do this;
    /// asyncio allows it only on the main thread.
    ///
    /// The former disposition comes back when the last callback of the signal is
    /// [removed](LoopHandle::remove_signal_handler) or its loop is closed. If the program installs
    /// a handler of its own with sigaction(2) meanwhile, that handler stays. It may call the
    /// handler that it replaced: the callbacks still run then. Another `add_signal_handler` takes
    /// the signal again, and gives it back to that handler.
    ///
    /// A callback for SIGINT replaces what [`run`](crate::run) does at Ctrl-C.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for SIGKILL and SIGSTOP, for the signals of a fault (SIGSEGV, SIGBUS, SIGFPE,
    /// SIGILL), and for what is no signal; [`LoopClosedError`](crate::LoopClosedError) on a closed loop; what the system says
    /// where it has no descriptors left.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let handle = event_loop.handle();
    /// event_loop.add_signal_handler(libc::SIGTERM, move || handle.stop())?;
    /// rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM)?;
    /// event_loop.run_forever();
    /// assert!(event_loop.remove_signal_handler(libc::SIGTERM));
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn add_signal_handler(
        &self,
        signal: i32,
        callback: impl FnMut() + 'static,
    ) -> io::Result<()> {
        if self.is_closed() {
            return Err(self.closed_error());
        }
        let mailbox = self.mailbox()?;
        mailbox.want(signal)?;
        let signals = &self.inner.signals;
        if signal == libc::SIGINT && mailbox.unwant_interrupt() {
            drop(signals.interrupt.take());
        }
        let body: Body = Rc::new(RefCell::new(callback));
        let entry = (body, Location::caller());
        let before = signals.handlers.borrow_mut().insert(signal, entry);
        drop_bounded(Kind::Cancel, DROPPED, before);
        Ok(())
    }

    /// Drops the callback for `signal` and returns whether there was one.
    ///
    /// As in asyncio, a call that is already queued still runs. A signal that arrived but has no
    /// queued call yet is ignored.
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

    /// Returns a future that is ready at the first Ctrl-C, or `None` if the program handles or
    /// ignores SIGINT itself. The second Ctrl-C has its default effect. The future fails if the
    /// program adds a handler meanwhile.
    pub(super) fn interrupt(&self) -> io::Result<Option<PromiseFuture<()>>> {
        if !signal::is_default(libc::SIGINT) || !self.mailbox()?.want_interrupt()? {
            return Ok(None);
        }
        let (promise, future) = self.create_future();
        self.inner.signals.interrupt.set(Some(promise));
        Ok(Some(future))
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
