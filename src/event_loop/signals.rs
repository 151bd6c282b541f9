//! Signals: callbacks of the loop, and the `Signal` that a task awaits.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::os::fd::AsFd;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::{Inner, LoopHandle};
use crate::error::{drop_bounded, wake};
use crate::nesting::Kind;
use crate::run_queue::{Call, Callback, DROPPING_CALLBACK};
use crate::sys::signal::{self, SignalSlot};

type Incoming = (Rc<SignalSlot>, Rc<dyn Callback>);

/// A callback, and the location that added it.
type Handler = (Rc<RefCell<dyn FnMut()>>, &'static Location<'static>);

/// The number of the signal, and that of a [`Signal`] among those of the same signal.
type ListenerKey = (i32, u64);

/// Returns the range of the keys of these signals.
fn keys(signals: RangeInclusive<i32>) -> RangeInclusive<ListenerKey> {
    (*signals.start(), 0)..=(*signals.end(), u64::MAX)
}

/// The signals that one loop catches.
#[derive(Default)]
pub(super) struct Signals {
    /// The slot, and the fd callback that empties it. Set from the first handler on, until the loop
    /// is closed.
    incoming: RefCell<Option<Incoming>>,
    handlers: RefCell<HashMap<i32, Handler>>,
    /// One for each [`Signal`], by its key. Those of one signal are in the order of creation.
    listeners: RefCell<BTreeMap<ListenerKey, Rc<Listener>>>,
    /// Gets the first Ctrl-C, for [`run`](crate::run).
    pub(super) interrupt: Listener,
    /// True while the next SIGINT is for `interrupt`.
    awaits_interrupt: Cell<bool>,
}

/// The loop's part of one [`Signal`].
#[derive(Default)]
pub(super) struct Listener {
    /// True if the signal arrived after the last `recv` returned.
    arrived: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

impl Listener {
    /// Is ready if the signal arrived after this was last ready.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.arrived.take() {
            return Poll::Ready(());
        }
        drop(self.waker.replace(Some(cx.waker().clone())));
        Poll::Pending
    }

    /// Notes that the signal arrived, and returns the waker of the task that waits for it.
    fn arrive(&self) -> Option<Waker> {
        self.arrived.set(true);
        self.waker.take()
    }
}

impl Signals {
    /// Wakes the tasks that wait for one of these signals.
    fn wake_listeners(&self, signals: RangeInclusive<i32>) {
        let listeners = self.listeners.borrow();
        let concerned = listeners.range(keys(signals));
        let wakers: Vec<Waker> = concerned.filter_map(|(_, listener)| listener.arrive()).collect();
        drop(listeners);
        wakers.into_iter().for_each(wake);
    }

    /// Stops catching a signal, unless a handler or a [`Signal`] needs it.
    fn release(&self, signal: i32) {
        let has_listener = self.listeners.borrow().range(keys(signal..=signal)).next().is_some();
        let is_needed = has_listener || self.handlers.borrow().contains_key(&signal);
        if let (false, Some((slot, _))) = (is_needed, &*self.incoming.borrow()) {
            slot.release(signal);
        }
    }

    /// Returns whether the signal slot is registered only for Ctrl-C, and for no other signal.
    pub(super) fn has_only_interrupt(&self) -> bool {
        let is_used = !self.handlers.borrow().is_empty() || !self.listeners.borrow().is_empty();
        self.incoming.borrow().is_some() && !is_used
    }
}

impl Inner {
    /// Queues a callback for each signal that arrived, in the order of arrival, and wakes the tasks
    /// that wait for it. A signal without a handler is ignored.
    fn deliver_signals(&self, slot: &SignalSlot) {
        for signal in slot.take() {
            if signal == libc::SIGINT && self.signals.awaits_interrupt.take() {
                self.signals.interrupt.arrive().into_iter().for_each(wake);
                continue;
            }
            self.signals.wake_listeners(signal..=signal);
            let handler = self.signals.handlers.borrow().get(&signal).cloned();
            if let Some((body, location)) = handler {
                self.run_queue.push(Rc::new(Call::with_location(location, move || {
                    // A loop does not run inside its own handler, so this borrow succeeds.
                    if let Ok(mut body) = body.try_borrow_mut() {
                        body();
                    }
                })));
            }
        }
    }

    pub(super) fn close_signals(&self) {
        for handler in self.signals.handlers.take().into_values() {
            let dropped = || drop(handler);
            self.run_queue.exceptions.contain("panic while a callback was dropped", dropped);
        }
        // The woken tasks find the loop closed.
        self.signals.wake_listeners(0..=i32::MAX);
        // The order matters: the pipe must leave the poller before it is closed.
        if let Some((slot, incoming)) = self.signals.incoming.take() {
            incoming.cancel();
            drop(slot);
        }
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
    /// Several loops may catch one signal: each calls its callback. A loop on any thread may do
    /// this; asyncio allows it only on the main thread.
    ///
    /// The loop restores the former disposition when the last callback of the signal is
    /// [removed](LoopHandle::remove_signal_handler) or its loop is closed. If the program has
    /// installed another handler with sigaction(2) meanwhile, that handler stays. If that handler
    /// calls the one that it replaced, the callbacks still run. Another `add_signal_handler`
    /// catches the signal again, and its removal restores the program's handler.
    ///
    /// A callback for SIGINT replaces the Ctrl-C handling of [`run`](crate::run).
    ///
    /// # Errors
    ///
    /// - `InvalidInput` for SIGKILL and SIGSTOP, for the signals of a fault (SIGSEGV, SIGBUS,
    ///   SIGFPE, SIGILL), and for a number that is not a signal.
    /// - [`LoopClosedError`](crate::LoopClosedError) on a closed loop.
    /// - Any OS error, for example if the process is out of descriptors.
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
    #[doc(alias = "ctrl_c")]
    pub fn add_signal_handler(
        &self,
        signal: i32,
        callback: impl FnMut() + 'static,
    ) -> io::Result<()> {
        self.catch_signal(signal)?;
        let handler: Handler = (Rc::new(RefCell::new(callback)), Location::caller());
        let before = self.inner.signals.handlers.borrow_mut().insert(signal, handler);
        drop_bounded(Kind::Cancel, DROPPING_CALLBACK, before);
        Ok(())
    }

    /// Removes the callback for `signal`, and returns whether there was one.
    ///
    /// As in asyncio, a call that is already queued still runs. If the signal has arrived, but no
    /// call is queued yet, the loop ignores the signal.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// event_loop.add_signal_handler(libc::SIGHUP, || println!("reload"))?;
    /// assert!(event_loop.remove_signal_handler(libc::SIGHUP));
    /// assert!(!event_loop.remove_signal_handler(libc::SIGHUP));
    /// # Ok(())
    /// # }
    /// ```
    pub fn remove_signal_handler(&self, signal: i32) -> bool {
        let body = self.inner.signals.handlers.borrow_mut().remove(&signal);
        if body.is_none() {
            return false;
        }
        self.inner.signals.release(signal);
        drop_bounded(Kind::Cancel, DROPPING_CALLBACK, body);
        true
    }

    /// Returns a [`Signal`], with which a task waits for `signal`.
    ///
    /// One signal may have several `Signal`s and a [handler](LoopHandle::add_signal_handler), and
    /// each gets the signal. When the last of them is dropped or removed, the loop restores the
    /// former disposition, as `add_signal_handler` describes.
    ///
    /// Like a handler, a `Signal` for SIGINT replaces the Ctrl-C handling of [`run`](crate::run).
    /// After such a `Signal` is dropped, Ctrl-C ends the process. asyncio has no such method.
    ///
    /// # Errors
    ///
    /// The same as [`add_signal_handler`](LoopHandle::add_signal_handler).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let mut hangup = event_loop.signal(libc::SIGHUP)?;
    /// rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP)?;
    /// event_loop.run_until_complete(hangup.recv())
    /// # }
    /// ```
    #[doc(alias("ctrl_c", "unix::signal"))]
    pub fn signal(&self, signal: i32) -> io::Result<Signal> {
        let slot = self.catch_signal(signal)?;
        // Delivers earlier signals first: the new listener must not get them.
        self.inner.deliver_signals(&slot);
        let listener = Rc::new(Listener::default());
        let mut listeners = self.inner.signals.listeners.borrow_mut();
        let last = listeners.range(keys(signal..=signal)).next_back();
        let key = (signal, last.map_or(0, |((_, number), _)| number + 1));
        listeners.insert(key, listener.clone());
        Ok(Signal { event_loop: self.clone(), key, listener })
    }

    /// Catches `signal`. For SIGINT this ends the Ctrl-C handling of [`run`](crate::run).
    fn catch_signal(&self, signal: i32) -> io::Result<Rc<SignalSlot>> {
        self.check_closed()?;
        let slot = self.slot()?;
        if slot.catch(signal)? {
            self.inner.signals.awaits_interrupt.set(false);
        }
        Ok(slot)
    }

    /// Lets the first Ctrl-C reach [`Signals::interrupt`], unless the program handles or ignores
    /// SIGINT itself. The second Ctrl-C has its default effect. A handler that the program adds
    /// ends this.
    pub(super) fn enable_interrupt(&self) -> io::Result<()> {
        let is_caught = signal::is_default(libc::SIGINT) && self.slot()?.catch_interrupt()?;
        self.inner.signals.awaits_interrupt.set(is_caught);
        Ok(())
    }

    fn slot(&self) -> io::Result<Rc<SignalSlot>> {
        if let Some((slot, _)) = &*self.inner.signals.incoming.borrow() {
            return Ok(slot.clone());
        }
        let slot = Rc::new(SignalSlot::new()?);
        let (event_loop, own) = (self.clone(), slot.clone());
        let deliver = Box::new(move || event_loop.inner.deliver_signals(&own));
        let incoming = self.add_internal_reader(slot.as_fd(), deliver)?;
        *self.inner.signals.incoming.borrow_mut() = Some((slot.clone(), incoming));
        Ok(slot)
    }
}

/// A signal for which a task can wait, from [`LoopHandle::signal`].
#[must_use = "a signal is caught only until this is dropped"]
pub struct Signal {
    event_loop: LoopHandle,
    key: ListenerKey,
    listener: Rc<Listener>,
}

impl Signal {
    /// Waits until the signal arrives.
    ///
    /// If the signal has arrived since this `Signal` was created, or since the last `recv`
    /// returned, the wait ends at once. Several arrivals before the next `recv` count as one, as in
    /// the kernel.
    ///
    /// # Errors
    ///
    /// [`LoopClosedError`](crate::LoopClosedError) on a closed loop, also if the loop is closed
    /// during the wait.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the wait loses no signal. The next `recv` returns it.
    ///
    /// # Examples
    ///
    /// ```
    /// use rustix::process::{getpid, kill_process};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// sendloop::run(async |event_loop| -> std::io::Result<()> {
    ///     let mut reload = event_loop.signal(libc::SIGHUP)?;
    ///     let mut terminate = event_loop.signal(libc::SIGTERM)?;
    ///     let watcher = event_loop.create_task(async move {
    ///         while reload.recv().await.is_ok() {
    ///             println!("reload the settings");
    ///         }
    ///     });
    ///     kill_process(getpid(), rustix::process::Signal::HUP)?;
    ///     kill_process(getpid(), rustix::process::Signal::TERM)?;
    ///     terminate.recv().await?;
    ///     watcher.cancel();
    ///     Ok(())
    /// })?
    /// # }
    /// ```
    #[doc(alias = "ctrl_c")]
    pub fn recv(&mut self) -> impl Future<Output = io::Result<()>> + use<'_> {
        Recv(self)
    }
}

/// Restores the former disposition if no other `Signal` or handler needs the signal.
impl Drop for Signal {
    fn drop(&mut self) {
        let signals = &self.event_loop.inner.signals;
        signals.listeners.borrow_mut().remove(&self.key);
        signals.release(self.key.0);
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signal").field(&self.key.0).finish()
    }
}

#[must_use = "futures do nothing unless awaited"]
struct Recv<'a>(&'a Signal);

impl Future for Recv<'_> {
    type Output = io::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Signal { event_loop, listener, .. } = self.0;
        if let Err(error) = event_loop.check_closed() {
            return event_loop.poll_proceed(cx).map(|()| Err(error));
        }
        listener.poll(cx).map(Ok)
    }
}

impl Drop for Recv<'_> {
    fn drop(&mut self) {
        let waker = self.0.listener.waker.take();
        drop_bounded(Kind::Drop, "while a waker was dropped", waker);
    }
}
