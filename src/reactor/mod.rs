//! The poller, and the tasks that wait for its events.
//!
//! # Ownership
//!
//! The [`Reactor`] has one [`Source`] for each registered descriptor, and finds it by the token of
//! an event. For each direction, a source knows whether it may be ready, and which tasks wait.
//!
//! Each user of a descriptor holds an [`Attachment`]. The drop of the last one deregisters the
//! descriptor. Each task that waits holds a [`WaitGuard`]. Its drop removes the task's waker.
//!
//! # Rules
//!
//! 1. The poller is edge-triggered: it reports once that a descriptor became ready. A task waits
//!    only after its own call failed with EAGAIN, so the next edge is still to come.
//!    [`WaitGuard::park`] clears the readiness. The loop has one thread, and polls neither during
//!    the call nor before the wait, so no event comes in between.
//! 2. A registration covers both directions and lasts as long as its attachments. So a wait costs
//!    no system call.
//! 3. A token carries a generation. An event for a closed descriptor finds no source, even if the
//!    number is in use again. Loops without this wake the wrong task (python/cpython#88968,
//!    tokio-rs/mio#219).
//! 4. The reactor deregisters a descriptor before the descriptor is closed. If a duplicate is open,
//!    the poller otherwise keeps reporting its events (tokio-rs/mio#361, libuv/libuv#1148).
//! 5. Each attachment makes a system call, as the table may be out of date. If the table has the
//!    descriptor, the reactor modifies the registration. ENOENT then means that the number is
//!    another descriptor's, and the reactor adds it. Tasks that wait for the old descriptor wake,
//!    and fail with EBADF. If a new descriptor fails with EEXIST, the reactor modifies it instead.
//!    The reactor logs both cases, as some code closed a descriptor without telling the loop.
//! 6. An event wakes one task. That task wakes the next one if there may be more. An error or a
//!    hang-up wakes all tasks (see `source`).
//! 7. The reactor collects wakers, releases its borrows, and then wakes. A waker is foreign code.

mod source;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};

use crate::error::{LoopClosedError, inherited, wake};
use crate::run_queue::RunQueue;
use crate::slots::{Key, Packing, Slots};
use crate::sync::{self, PollWaker};
use crate::sys::fork::{Process, drop_inherited_poller};
use crate::sys::{interest, uninterrupted};
pub(crate) use source::{Direction, Source, WaitGuard};
use source::{HolderCheck, Wakeups};

/// The most events of one poll. The kernel keeps the others for the next iteration.
pub(crate) const EVENTS_AT_ONCE: usize = 1024;
/// The token of the inbox. No key has it, as no index consists of ones alone.
const INBOX: Token = Token(usize::MAX);
/// The token of the timer of the loop's descriptor. Its index consists of ones alone too.
const TIMER: Token = Token(usize::MAX >> 1);

/// The layout of a key in a token.
const PACKING: Packing = match usize::BITS {
    64.. => Packing::new(32, 32),
    _ => Packing::new(20, 12),
};
/// The time until the next try if the kernel has no memory.
pub(crate) const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// Returns the shorter of two timeouts. `None` means no limit.
pub(crate) fn shorter(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    a.into_iter().chain(b).min()
}

fn token(key: Key) -> Token {
    Token(key.pack(PACKING) as usize)
}

fn warn_closed(fd: RawFd, is: &str) {
    log::warn!(
        "descriptor {fd} is {is} in the poller; some code closed it before the loop deregistered it"
    );
}

/// One use of a registered descriptor. The drop of the last one deregisters it.
pub(crate) struct Attachment {
    reactor: Rc<Reactor>,
    fd: RawFd,
    key: Key,
    source: Rc<Source>,
}

impl Attachment {
    fn new(reactor: &Rc<Reactor>, fd: RawFd, key: Key, source: Rc<Source>) -> Attachment {
        source.users.set(source.users.get() + 1);
        Attachment { reactor: reactor.clone(), fd, key, source }
    }

    pub(crate) fn source(&self) -> &Rc<Source> {
        &self.source
    }

    /// Makes the next poll report again what the descriptor is ready for.
    ///
    /// That makes an edge-triggered registration level-triggered. During a [`Once`], the reactor
    /// does it at the end.
    pub(crate) fn rearm(&self) {
        self.reactor.arm_or_retry(self.fd, self.key);
    }

    /// Returns whether an event may queue the fd callback of a direction now.
    ///
    /// If not, the poller reports the event again after the current [`Once`].
    pub(crate) fn is_due(&self, direction: Direction) -> bool {
        let call = (self.fd, direction);
        let is_due = self.reactor.once.borrow().as_ref().is_none_or(|once| !once.contains(&call));
        if !is_due {
            self.rearm();
        }
        is_due
    }

    /// Counts a call of the fd callback of a direction. Returns false if the current [`Once`] has
    /// had its call.
    pub(crate) fn begin_call(&self, direction: Direction) -> bool {
        let mut once = self.reactor.once.borrow_mut();
        once.as_mut().is_none_or(|once| once.insert((self.fd, direction)))
    }

    pub(crate) fn reactor(&self) -> &Rc<Reactor> {
        &self.reactor
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.source.users.set(self.source.users.get() - 1);
        if self.source.users.get() == 0 {
            self.reactor.detach(self.fd, self.key);
        }
    }
}

/// A period in which each descriptor and direction has at most one call of an fd callback.
pub(crate) struct Once<'a>(&'a Reactor);

impl Drop for Once<'_> {
    fn drop(&mut self) {
        self.0.once.take();
        self.0.retry_unarmed();
    }
}

#[derive(Default)]
pub(crate) struct Reactor {
    process: Process,
    /// `None` if the reactor is closed.
    open: RefCell<Option<(Poll, Events)>>,
    sources: RefCell<Slots<Rc<Source>>>,
    /// The registered descriptors. All users of one share its registration.
    by_fd: RefCell<HashMap<RawFd, (Key, Rc<Source>)>>,
    wakeups: Cell<Wakeups>,
    /// The directions in which one task was woken and others still wait.
    holder_checks: RefCell<Vec<HolderCheck>>,
    /// The descriptors to rearm: at the end of the current [`Once`], or when the kernel has memory.
    unarmed: RefCell<Vec<(RawFd, Key)>>,
    /// The calls in the current [`Once`]. A callback that removes itself and adds another one for
    /// the same descriptor has had its call.
    once: RefCell<Option<HashSet<(RawFd, Direction)>>>,
    /// The number of calls of epoll_ctl(2), or of kqueue's equivalent.
    registrations: Cell<u64>,
    events_seen: Cell<u64>,
}

impl Reactor {
    /// Creates a poller, and a waker with which another thread makes [`Reactor::poll`] return.
    pub(crate) fn new() -> io::Result<(Rc<Reactor>, PollWaker)> {
        let poll = uninterrupted(Poll::new)?;
        let waker = uninterrupted(|| PollWaker::new(poll.registry(), INBOX))?;
        let events = Events::with_capacity(EVENTS_AT_ONCE);
        let open = RefCell::new(Some((poll, events)));
        Ok((Rc::new(Reactor { open, ..Reactor::default() }), waker))
    }

    pub(crate) fn is_closed(&self) -> bool {
        !self.process.is_current() || self.open.borrow().is_none()
    }

    pub(crate) fn registrations(&self) -> u64 {
        self.registrations.get()
    }

    pub(crate) fn events_seen(&self) -> u64 {
        self.events_seen.get()
    }

    /// Returns the number of registered descriptors.
    pub(crate) fn registered(&self) -> usize {
        self.sources.borrow().len()
    }

    /// Duplicates the poller's descriptor, which is readable when there is an event.
    pub(crate) fn descriptor(&self) -> io::Result<std::os::fd::OwnedFd> {
        let open = self.open.borrow();
        let (poll, _) = open.as_ref().ok_or(LoopClosedError)?;
        uninterrupted(|| poll.registry().as_fd().try_clone_to_owned())
    }

    /// Registers the timer that makes the loop's descriptor readable.
    ///
    /// The reactor ignores its events.
    pub(crate) fn add_timer(&self, timer: BorrowedFd<'_>) -> io::Result<()> {
        let fd = timer.as_raw_fd();
        self.control(|registry| registry.register(&mut SourceFd(&fd), TIMER, Interest::READABLE))
    }

    /// Limits the fd callbacks of each descriptor to one call until the guard is dropped.
    pub(crate) fn once(&self) -> Once<'_> {
        // Until the guard is dropped, nothing is rearmed.
        self.retry_unarmed();
        self.once.replace(Some(HashSet::new()));
        Once(self)
    }

    /// Registers a descriptor for both directions, or joins its present registration.
    pub(crate) fn attach(self: &Rc<Reactor>, fd: BorrowedFd<'_>) -> io::Result<Attachment> {
        let fd = fd.as_raw_fd();
        let known = self.by_fd.borrow().get(&fd).cloned();
        let mut abandoned = Wakeups::default();
        let attached = match known {
            Some((key, source)) => match self.rearm(fd, key) {
                // The kernel removed the registration when the old descriptor was closed. This is
                // another descriptor with the same number and other users.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                    warn_closed(fd, "not");
                    source.is_stale.set(true);
                    source.wake_all(&mut abandoned);
                    self.add(fd)
                }
                rearmed => rearmed.map(|()| Attachment::new(self, fd, key, source)),
            },
            None => self.add(fd),
        };
        abandoned.wakers.into_iter().for_each(wake);
        attached
    }

    fn add(self: &Rc<Reactor>, fd: RawFd) -> io::Result<Attachment> {
        let source = Rc::<Source>::default();
        let key = self.sources.borrow_mut().insert(source.clone());
        let added = self
            .control(|registry| registry.register(&mut SourceFd(&fd), token(key), interest::ALL));
        let added = added.or_else(|error| match error.raw_os_error() {
            Some(libc::EEXIST) => {
                warn_closed(fd, "already");
                self.rearm(fd, key)
            }
            _ => Err(error),
        });
        added.inspect_err(|_| drop(self.sources.borrow_mut().remove(key)))?;
        self.by_fd.borrow_mut().insert(fd, (key, source.clone()));
        Ok(Attachment::new(self, fd, key, source))
    }

    /// Makes the next poll report what the descriptor is ready for, even without a new edge.
    fn rearm(&self, fd: RawFd, key: Key) -> io::Result<()> {
        self.control(|registry| registry.reregister(&mut SourceFd(&fd), token(key), interest::ALL))
    }

    /// Returns whether `fd` is registered under `key`, and not a later descriptor of that number.
    fn is_registered_as(&self, fd: RawFd, key: Key) -> bool {
        self.by_fd.borrow().get(&fd).is_some_and(|(present, _)| *present == key)
    }

    /// Rearms a descriptor for its fd callbacks, which would otherwise get no more events.
    ///
    /// During a [`Once`] and after an error it does that later, unless the descriptor is closed.
    fn arm_or_retry(&self, fd: RawFd, key: Key) {
        if self.once.borrow().is_some() {
            return self.unarmed.borrow_mut().push((fd, key));
        }
        if !self.is_registered_as(fd, key) {
            return;
        }
        let Err(error) = self.rearm(fd, key) else {
            return;
        };
        if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EBADF)) || self.is_closed() {
            log::debug!("cannot rearm descriptor {fd}, which gets no more events: {error}");
        } else {
            log::warn!("cannot rearm descriptor {fd}, the loop retries: {error}");
            self.unarmed.borrow_mut().push((fd, key));
        }
    }

    fn retry_unarmed(&self) {
        if self.once.borrow().is_some() {
            return;
        }
        for (fd, key) in self.unarmed.take() {
            self.arm_or_retry(fd, key);
        }
    }

    /// Returns the longest time that a poll may wait, or `None` for no limit.
    ///
    /// No event comes for a descriptor that must be rearmed, nor for a holder that has not tried.
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        let checks = self.holder_checks.borrow();
        if checks.iter().any(HolderCheck::is_pending) {
            return Some(Duration::ZERO);
        }
        let retries = self.once.borrow().is_none() && !self.unarmed.borrow().is_empty();
        retries.then_some(RETRY_INTERVAL)
    }

    fn control(&self, mut change: impl FnMut(&Registry) -> io::Result<()>) -> io::Result<()> {
        // A forked child shares the poller with its parent. A change in the child would change the
        // parent's registrations.
        if !self.process.is_current() {
            return Err(inherited());
        }
        let open = self.open.borrow();
        let (poll, _) = open.as_ref().ok_or(LoopClosedError)?;
        self.registrations.set(self.registrations.get() + 1);
        uninterrupted(|| change(poll.registry()))
    }

    fn detach(&self, fd: RawFd, key: Key) {
        self.sources.borrow_mut().remove(key);
        // If the number is another descriptor's, the kernel has already removed the old one. If the
        // reactor is closed, no descriptor is registered.
        if !self.is_registered_as(fd, key) {
            return;
        }
        self.by_fd.borrow_mut().remove(&fd);
        if let Err(error) = self.control(|registry| registry.deregister(&mut SourceFd(&fd))) {
            log::debug!("cannot deregister descriptor {fd}: {error}");
        }
    }

    /// Waits at most `timeout` for events, wakes the tasks that wait, and queues fd callbacks.
    ///
    /// Returns whether another thread has notified the inbox.
    pub(crate) fn poll(&self, timeout: Option<Duration>, run_queue: &RunQueue) -> io::Result<bool> {
        self.retry_unarmed();
        let timeout = shorter(timeout, self.poll_timeout());
        let mut wakeups = self.wakeups.take();
        self.holder_checks.borrow_mut().retain_mut(|check| check.check(&mut wakeups));
        let polled = self.collect(timeout, &mut wakeups);
        self.holder_checks.borrow_mut().append(&mut wakeups.holder_checks);
        wakeups.wakers.drain(..).for_each(wake);
        let due = wakeups.callbacks.drain(..).filter(|callback| callback.is_due());
        due.for_each(|callback| run_queue.push(callback));
        self.wakeups.set(wakeups);
        polled
    }

    fn collect(&self, timeout: Option<Duration>, wakeups: &mut Wakeups) -> io::Result<bool> {
        let mut open = self.open.borrow_mut();
        let (poll, events) = open.as_mut().ok_or(LoopClosedError)?;
        match sync::poll(poll, events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(false),
            other => other?,
        }
        let sources = self.sources.borrow();
        let mut is_notified = false;
        for event in &*events {
            self.events_seen.set(self.events_seen.get() + 1);
            if event.token() == INBOX {
                is_notified = true;
            } else if let Some(source) = sources.get_packed(event.token().0 as u64, PACKING) {
                source.dispatch(event, wakeups);
            }
        }
        Ok(is_notified)
    }

    /// Closes the poller and wakes all tasks that wait. Their next poll finds it closed.
    pub(crate) fn close(&self) {
        let open = self.open.borrow_mut().take();
        match self.process.is_current() {
            true => drop(open),
            false => drop_inherited_poller(open),
        }
        let mut wakeups = Wakeups::default();
        self.holder_checks.take();
        let sources = self.sources.take();
        self.by_fd.borrow_mut().clear();
        sources.values().for_each(|source| source.wake_all(&mut wakeups));
        wakeups.wakers.into_iter().for_each(wake);
    }
}
