//! The poller, and who waits for what.
//!
//! # Who holds what
//!
//! A [`Source`] is what is known of one descriptor: for each direction, whether it may be ready and who waits for that. The
//! [`Reactor`] finds it by the token of an event; whoever uses the descriptor holds it as an [`Attachment`], whose end takes it
//! out of the poller. A task that waits holds a [`Waiting`], whose end takes its waker out of the source, at once.
//!
//! # Rules
//!
//! 1. The poller is edge-triggered: it says once that a descriptor became ready. A task waits only after a call of its own has
//!    failed with EAGAIN, so the edge that wakes it is still to come. `Side::exhausted` notes the EAGAIN directly after the
//!    call, so that no event can come in between. All is one thread.
//! 2. A registration is for both directions and stays until its attachments end: waiting costs no system call.
//! 3. A token carries a generation. An event for a descriptor that was closed meanwhile, or for its number used again, finds
//!    nothing (calloop's tokens; python/cpython#88968 and tokio-rs/mio#219 are what happens otherwise).
//! 4. Taking out of the poller comes strictly before closing the descriptor: an open dup would keep a ghost in it
//!    (tokio-rs/mio#361, libuv/libuv#1148).
//! 5. The table never decides that a registration can be skipped. What is attached a second time is modified; where the kernel
//!    knows nothing of it (ENOENT) it is another descriptor with an old number, and added as a new one; what should be new and is known (EEXIST) is modified. Both are logged: a
//!    descriptor was closed behind the loop's back. Tasks that wait for the old one are woken, and fail with EBADF.
//! 6. An event wakes one task, and that task the next if there may be more; an error or a hang-up wakes all (`waiters`).
//! 7. Wakers are collected, then borrows released, then the wakers woken: a waker is foreign code.

mod source;
mod waiters;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::error::{LoopClosedError, inherited, wake};
use crate::ready::Ready;
use crate::slots::{Key, Packing, Slots};
use crate::sync::{self, PollWaker};
use crate::sys::fork::{Process, drop_inherited_poller};
use crate::sys::{interest, uninterrupted};
pub(crate) use source::{Direction, Source, Waiting};
use waiters::{Handed, Woken};

/// How many events one poll takes; more stay in the kernel for the next turn.
pub(crate) const EVENTS_AT_ONCE: usize = 1024;
/// The token of the door. No key has it: an index of all ones is never reached.
const DOOR: Token = Token(usize::MAX);
/// The token of the timer of the loop's descriptor. It has the same index, so no key has it either.
const TIMER: Token = Token(usize::MAX >> 1);

/// A key in what a poller keeps with a descriptor.
const PACKING: Packing = match usize::BITS {
    64.. => Packing::new(32, 32),
    _ => Packing::new(20, 12),
};
/// How long to rest where the kernel has no memory, before it is asked again.
pub(crate) const REST: Duration = Duration::from_millis(10);

/// The shorter of two waits, where `None` is for ever.
pub(crate) fn shorter(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

fn token(key: Key) -> Token {
    Token(key.pack(PACKING) as usize)
}

/// The use of a registered descriptor; the end of the last one takes it out of the poller.
pub(crate) struct Attachment {
    reactor: Rc<Reactor>,
    fd: RawFd,
    key: Key,
    source: Rc<Source>,
}

impl Attachment {
    pub(crate) fn source(&self) -> &Rc<Source> {
        &self.source
    }

    /// Has the poller say again what the descriptor is ready for: level-triggered, for one turn.
    ///
    /// During a [`Once`] the poller is asked at its end.
    pub(crate) fn rearm(&self) {
        if let Some(deferred) = &mut *self.reactor.deferred.borrow_mut() {
            return deferred.push((self.fd, self.key));
        }
        self.reactor.arm(self.fd, self.key);
    }

    /// Returns the number of the present [`Once`], or 0 outside of one.
    pub(crate) fn once(&self) -> u64 {
        match *self.reactor.deferred.borrow() {
            Some(_) => self.reactor.onces.get(),
            None => 0,
        }
    }

    pub(crate) fn is_of(&self, reactor: &Rc<Reactor>) -> bool {
        Rc::ptr_eq(&self.reactor, reactor)
    }

    /// Whether the loop that it belongs to is closed: it says nothing any more.
    pub(crate) fn is_dead(&self) -> bool {
        self.reactor.is_closed()
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.reactor.detach(self.fd, self.key);
    }
}

/// The time in which each fd callback runs at most once.
pub(crate) struct Once<'a>(&'a Reactor);

impl Drop for Once<'_> {
    fn drop(&mut self) {
        let deferred = self.0.deferred.take();
        for (fd, key) in deferred.into_iter().flatten() {
            self.0.arm(fd, key);
        }
    }
}

struct Registered {
    source: Rc<Source>,
    attachments: usize,
}

/// Everything of a reactor that a closed one has no more.
struct Open {
    poll: Poll,
    events: Events,
}

pub(crate) struct Reactor {
    process: Process,
    open: RefCell<Option<Open>>,
    sources: RefCell<Slots<Registered>>,
    /// The source of each descriptor that is attached, by number: a descriptor is in the poller once, however many use it.
    numbers: RefCell<HashMap<RawFd, Key>>,
    woken: Cell<Woken>,
    /// The directions in which a task has been woken and others still wait.
    handed: RefCell<Vec<Handed>>,
    /// What the kernel had no memory to arm again.
    unarmed: RefCell<Vec<(RawFd, Key)>>,
    /// The descriptors to arm again at the end of the present [`Once`].
    deferred: RefCell<Option<Vec<(RawFd, Key)>>>,
    /// How many there were.
    onces: Cell<u64>,
    /// How many times epoll_ctl(2) or its like was called.
    registrations: Cell<u64>,
    events_seen: Cell<u64>,
}

impl Reactor {
    /// A poller, and the waker that makes [`poll`](Reactor::poll) return from another thread.
    pub(crate) fn new() -> io::Result<(Rc<Reactor>, PollWaker)> {
        let (poll, waker) = uninterrupted(|| {
            let poll = Poll::new()?;
            let waker = PollWaker::new(poll.registry(), DOOR)?;
            Ok((poll, waker))
        })?;
        let events = Events::with_capacity(EVENTS_AT_ONCE);
        let reactor = Reactor {
            process: Process::current(),
            open: RefCell::new(Some(Open { poll, events })),
            sources: RefCell::new(Slots::new()),
            numbers: RefCell::default(),
            woken: Cell::default(),
            handed: RefCell::default(),
            unarmed: RefCell::default(),
            deferred: RefCell::default(),
            onces: Cell::new(0),
            registrations: Cell::new(0),
            events_seen: Cell::new(0),
        };
        Ok((Rc::new(reactor), waker))
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

    /// How many descriptors are in the poller now.
    pub(crate) fn registered(&self) -> usize {
        self.sources.borrow().len()
    }

    /// A duplicate of the poller's descriptor: readable when an event waits.
    pub(crate) fn descriptor(&self) -> io::Result<std::os::fd::OwnedFd> {
        match &*self.open.borrow() {
            Some(open) => {
                let fd = open.poll.registry().as_fd();
                uninterrupted(|| fd.try_clone_to_owned())
            }
            None => Err(LoopClosedError.into()),
        }
    }

    /// Registers the timer that makes the loop's descriptor readable. Its events are ignored.
    pub(crate) fn add_timer(&self, timer: BorrowedFd<'_>) -> io::Result<()> {
        let fd = timer.as_raw_fd();
        self.control(|poll| {
            poll.registry()
                .register(&mut SourceFd(&fd), TIMER, Interest::READABLE)
        })
    }

    /// Lets each fd callback run at most once until the guard is dropped.
    pub(crate) fn once(&self) -> Once<'_> {
        self.onces.set(self.onces.get() + 1);
        self.deferred.replace(Some(Vec::new()));
        Once(self)
    }

    /// Puts a descriptor into the poller for both directions, or joins those who put it there.
    pub(crate) fn attach(self: &Rc<Reactor>, fd: BorrowedFd<'_>) -> io::Result<Attachment> {
        let fd = fd.as_raw_fd();
        let known = self.numbers.borrow().get(&fd).copied();
        let mut abandoned = Woken::default();
        let registered = match known {
            Some(key) => self.join(fd, key, &mut abandoned),
            None => self.add(fd),
        };
        let attachment = registered.map(|(key, source)| Attachment {
            reactor: self.clone(),
            fd,
            key,
            source,
        });
        abandoned.wakers.into_iter().for_each(wake);
        attachment
    }

    fn add(&self, fd: RawFd) -> io::Result<(Key, Rc<Source>)> {
        let source = Rc::new(Source::new());
        let key = self.sources.borrow_mut().insert(Registered {
            source: source.clone(),
            attachments: 1,
        });
        let added = self.control(|poll| {
            poll.registry()
                .register(&mut SourceFd(&fd), token(key), interest::ALL)
        });
        let added = match added {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {
                log::warn!(
                    "descriptor {fd} was in the poller already; something closed it without telling the loop"
                );
                self.rearm(fd, key)
            }
            other => other,
        };
        if let Err(error) = added {
            self.sources.borrow_mut().remove(key);
            return Err(error);
        }
        self.numbers.borrow_mut().insert(fd, key);
        Ok((key, source))
    }

    /// Joins those who registered this number before, if it still is what they registered.
    fn join(&self, fd: RawFd, key: Key, abandoned: &mut Woken) -> io::Result<(Key, Rc<Source>)> {
        match self.rearm(fd, key) {
            // The kernel took it out as its last descriptor was closed: this is another one with its number, and the old one's
            // users are not its users.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                log::warn!("descriptor {fd} was closed without telling the loop");
                if let Some(registered) = self.sources.borrow().get(key) {
                    registered.source.abandon(abandoned);
                }
                return self.add(fd);
            }
            other => other?,
        }
        let mut sources = self.sources.borrow_mut();
        let registered = sources.get_mut(key).expect("a number's key is of a source");
        registered.attachments += 1;
        Ok((key, registered.source.clone()))
    }

    /// Has the poller look at the descriptor again, and say at its next turn what it is ready for: an edge where there was none.
    fn rearm(&self, fd: RawFd, key: Key) -> io::Result<()> {
        self.control(|poll| {
            poll.registry()
                .reregister(&mut SourceFd(&fd), token(key), interest::ALL)
        })
    }

    /// Whether the number still is what was registered by it: else it was closed, and is another's by now.
    fn is_number_of(&self, fd: RawFd, key: Key) -> bool {
        self.numbers.borrow().get(&fd) == Some(&key)
    }

    /// [`rearm`](Reactor::rearm) for who watches, and would hear nothing more: where it fails it is tried again, until the
    /// descriptor turns out to be closed.
    fn arm(&self, fd: RawFd, key: Key) {
        if !self.is_number_of(fd, key) {
            return;
        }
        let gone =
            |error: &io::Error| matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EBADF));
        match self.rearm(fd, key) {
            Ok(()) => {}
            Err(error) if gone(&error) || self.is_closed() => {
                log::debug!("descriptor {fd} cannot be watched on: {error}");
            }
            Err(error) => {
                log::warn!("descriptor {fd} is watched again later: {error}");
                self.unarmed.borrow_mut().push((fd, key));
            }
        }
    }

    fn arm_again(&self) {
        for (fd, key) in self.unarmed.take() {
            self.arm(fd, key);
        }
    }

    /// How long may be waited for events: what is to be armed again gives none, nor does a task that was woken and has not tried.
    pub(crate) fn patience(&self) -> Option<Duration> {
        if self.handed.borrow().iter().any(Handed::is_open) {
            return Some(Duration::ZERO);
        }
        (!self.unarmed.borrow().is_empty()).then_some(REST)
    }

    fn control(&self, mut change: impl FnMut(&Poll) -> io::Result<()>) -> io::Result<()> {
        // A forked child shares the poller with its parent: each change there is one of the
        // parent's registrations.
        if !self.process.is_current() {
            return Err(inherited());
        }
        let open = self.open.borrow();
        let open = open.as_ref().ok_or(LoopClosedError)?;
        self.registrations.set(self.registrations.get() + 1);
        uninterrupted(|| change(&open.poll))
    }

    fn detach(&self, fd: RawFd, key: Key) {
        let mut sources = self.sources.borrow_mut();
        let Some(registered) = sources.get_mut(key) else {
            return;
        };
        registered.attachments -= 1;
        if registered.attachments > 0 {
            return;
        }
        let gone = sources.remove(key);
        drop(sources);
        drop(gone);
        // Unless the number is another's by now: then the kernel has taken this one out already.
        if !self.is_number_of(fd, key) {
            return;
        }
        self.numbers.borrow_mut().remove(&fd);
        if let Err(error) = self.control(|poll| poll.registry().deregister(&mut SourceFd(&fd))) {
            log::debug!("descriptor {fd} could not be taken out of the poller: {error}");
        }
    }

    /// Waits for events at most `timeout`, wakes who waited for them and queues who watches. True where the door was knocked at.
    pub(crate) fn poll(&self, timeout: Option<Duration>, ready: &Ready) -> io::Result<bool> {
        self.arm_again();
        let timeout = shorter(timeout, self.patience());
        let mut woken = self.woken.take();
        self.handed
            .borrow_mut()
            .retain_mut(|handed| handed.look(&mut woken));
        let polled = self.collect(timeout, &mut woken);
        self.handed.borrow_mut().append(&mut woken.handed);
        woken.wakers.drain(..).for_each(wake);
        for callback in woken.callbacks.drain(..) {
            if callback.is_due() {
                ready.push(callback);
            }
        }
        self.woken.set(woken);
        polled
    }

    fn collect(&self, timeout: Option<Duration>, woken: &mut Woken) -> io::Result<bool> {
        let mut open = self.open.borrow_mut();
        let Open { poll, events } = open.as_mut().ok_or(LoopClosedError)?;
        match sync::poll(poll, events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(false),
            other => other?,
        }
        let sources = self.sources.borrow();
        let mut knocked = false;
        for event in &*events {
            self.events_seen.set(self.events_seen.get() + 1);
            if event.token() == DOOR {
                knocked = true;
            } else if let Some(registered) = sources.get_packed(event.token().0 as u64, PACKING) {
                registered.source.dispatch(event, woken);
            }
        }
        Ok(knocked)
    }

    /// Closes the poller and wakes all who wait, to find it closed.
    pub(crate) fn close(&self) {
        let open = self.open.borrow_mut().take();
        match self.process.is_current() {
            true => drop(open),
            false => drop_inherited_poller(open),
        }
        let mut woken = Woken::default();
        self.handed.take();
        let sources = mem::take(&mut *self.sources.borrow_mut());
        self.numbers.borrow_mut().clear();
        for registered in sources.values() {
            registered.source.wake_all(&mut woken);
        }
        woken.wakers.into_iter().for_each(wake);
    }
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor")
            .field("registered", &self.registered())
            .finish()
    }
}
