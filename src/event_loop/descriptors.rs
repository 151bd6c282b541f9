//! Waiting for a descriptor: the callbacks of `add_reader` and `add_writer`, and the futures of
//! `readable` and `writable`.
//!
//! # Callbacks
//!
//! asyncio calls a callback in each iteration while the descriptor is ready. This poller is
//! edge-triggered and reports an event only once. So each call first re-arms the descriptor. If the
//! descriptor is still ready, the next poll reports it, and the callback runs in the next
//! iteration.
//!
//! A callback may remove itself or another callback that is due in the same iteration. It may also
//! close the descriptor. Removing a callback cancels it, and the loop never calls a cancelled
//! callback.
//!
//! # Futures
//!
//! A wait calls poll(2) first, and registers the descriptor only if it is not ready. So a ready
//! descriptor costs one system call, and a file that epoll refuses is ready at once. After an event
//! the wait calls poll(2) again, as another task may have read the data.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::LoopHandle;
use crate::error::drop_bounded;
use crate::nesting::Kind;
use crate::reactor::{Attachment, Direction, Source, WaitGuard};
use crate::run_queue::{Callback, DROPPING_CALLBACK};
use crate::sys::interest::poll_now;

/// A callback that runs for each event, until it is cancelled.
struct FdCallback {
    /// `None` while it runs, so that it can remove itself.
    body: RefCell<Option<Box<dyn FnMut()>>>,
    /// `None` after it was cancelled.
    attachment: RefCell<Option<Attachment>>,
    location: &'static Location<'static>,
    direction: Direction,
}

impl FdCallback {
    #[track_caller]
    fn new(body: Box<dyn FnMut()>, attachment: Attachment, direction: Direction) -> Rc<FdCallback> {
        Rc::new(FdCallback {
            body: RefCell::new(Some(body)),
            attachment: RefCell::new(Some(attachment)),
            location: Location::caller(),
            direction,
        })
    }
}

impl Callback for FdCallback {
    fn run(&self) {
        let may_run = self.attachment.borrow().as_ref().is_some_and(|attachment| {
            // The poller checks the descriptor at the next poll, not now. So it does not report
            // data that this call reads.
            attachment.rearm();
            attachment.begin_call(self.direction)
        });
        if !may_run {
            return;
        }
        let Some(mut body) = self.body.take() else {
            return;
        };
        let called = catch_unwind(AssertUnwindSafe(&mut body));
        if !self.is_cancelled() {
            self.body.replace(Some(body));
        }
        called.unwrap_or_else(|panic| resume_unwind(panic));
    }

    fn cancel(&self) {
        // The order matters: the closure may own the descriptor, which must leave the poller before
        // it is closed.
        drop(self.attachment.take());
        if let Some(body) = self.body.take() {
            drop_bounded(Kind::Cancel, DROPPING_CALLBACK, body);
        }
    }

    fn is_cancelled(&self) -> bool {
        self.attachment.borrow().is_none()
    }

    fn is_due(&self) -> bool {
        self.attachment.borrow().as_ref().is_some_and(|it| it.is_due(self.direction))
    }

    fn location(&self) -> &'static Location<'static> {
        self.location
    }
}

/// Takes both callbacks of a descriptor out of the reactor, and returns them.
///
/// The caller cancels them last: their destructors are user code, which may use the loop.
pub(super) fn take_callbacks(source: Rc<Source>) -> impl Iterator<Item = Rc<dyn Callback>> {
    let directions = [Direction::Read, Direction::Write];
    let both = directions.map(|direction| source.state(direction).set_callback(None));
    both.into_iter().flatten()
}

/// The future of [`LoopHandle::readable`] and [`LoopHandle::writable`].
#[must_use = "futures do nothing unless awaited"]
pub struct Readiness<'a> {
    event_loop: LoopHandle,
    fd: BorrowedFd<'a>,
    direction: Direction,
    wait: WaitGuard,
    /// `Some` while the future waits.
    attachment: Option<Attachment>,
}

impl Readiness<'_> {
    fn poll_ready(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.event_loop.poll_budget(cx));
        self.event_loop.check_closed()?;
        let source = self.attachment.as_ref().map(Attachment::source);
        source.map_or(Ok(()), |source| source.check())?;
        let events = match self.direction {
            Direction::Read => libc::POLLIN,
            Direction::Write => libc::POLLOUT,
        };
        // Without an event since the last call, poll(2) would report the same again.
        let may_be_ready = source.is_none_or(|source| source.may_be_ready(self.direction));
        if may_be_ready && poll_now(self.fd, events)? != 0 {
            return Poll::Ready(Ok(()));
        }
        let attach = || self.event_loop.reactor().attach(self.fd);
        let attachment = self.attachment.take().map_or_else(attach, Ok)?;
        let source = self.attachment.insert(attachment).source().clone();
        self.wait.park(source, self.direction, cx);
        Poll::Pending
    }
}

impl Future for Readiness<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = self.poll_ready(cx);
        if polled.is_ready() {
            self.event_loop.consume_budget(0);
            self.wait.end();
            self.attachment = None;
        }
        polled
    }
}

impl fmt::Debug for Readiness<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness")
            .field("fd", &self.fd.as_raw_fd())
            .field("direction", &self.direction)
            .field("waits", &self.wait.is_parked())
            .finish()
    }
}

impl LoopHandle {
    /// Calls `callback` in each iteration in which the descriptor is readable.
    ///
    /// The end of a stream or an error counts as readable. The loop calls the callback until you
    /// [remove](LoopHandle::remove_reader) it. A second callback replaces the first.
    ///
    /// asyncio's selector loop calls its callbacks for the same events. The [page about
    /// asyncio](crate::docs::asyncio) has a table of them. Urgent TCP data does not count as
    /// readable.
    ///
    /// The descriptor may be a pipe, a terminal, a socket, an eventfd, a timerfd or an inotify. It
    /// may also be the descriptor of a [`Socket`](crate::Socket) that is registered with the loop.
    /// Remove the callback before you close the descriptor, as in asyncio. A callback may do both.
    ///
    /// In a task, use [`readable`](LoopHandle::readable) instead, so that a cancelled task leaves
    /// no callback behind.
    ///
    /// # Errors
    ///
    /// - `PermissionDenied` for a regular file or a directory, because epoll refuses them: they are
    ///   always ready.
    /// - [`LoopClosedError`](crate::LoopClosedError) on a closed loop.
    ///
    /// After an error, the callback is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::os::unix::net::UnixStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let (mut reader, mut writer) = UnixStream::pair()?;
    /// let watched = reader.try_clone()?;
    /// let handle = event_loop.handle();
    /// event_loop.add_reader(&watched, move || {
    ///     let mut text = [0; 5];
    ///     reader.read_exact(&mut text).unwrap();
    ///     assert_eq!(&text, b"hello");
    ///     handle.stop();
    /// })?;
    /// writer.write_all(b"hello")?;
    /// event_loop.run_forever();
    /// assert!(event_loop.remove_reader(&watched));
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    #[doc(alias = "AsyncFd")]
    pub fn add_reader(&self, fd: &impl AsFd, callback: impl FnMut() + 'static) -> io::Result<()> {
        self.add_callback(Direction::Read, fd, Box::new(callback))
    }

    /// Calls `callback` in each iteration while the descriptor is writable or has failed.
    ///
    /// The loop calls the callback until you [remove](LoopHandle::remove_writer) it. All other
    /// rules are those of [`add_reader`](LoopHandle::add_reader).
    ///
    /// # Errors
    ///
    /// As [`add_reader`](LoopHandle::add_reader).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let (_reader, writer) = std::os::unix::net::UnixStream::pair()?;
    /// let handle = event_loop.handle();
    /// event_loop.add_writer(&writer, move || handle.stop())?;
    /// event_loop.run_forever();
    /// assert!(event_loop.remove_writer(&writer));
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    #[doc(alias = "AsyncFd")]
    pub fn add_writer(&self, fd: &impl AsFd, callback: impl FnMut() + 'static) -> io::Result<()> {
        self.add_callback(Direction::Write, fd, Box::new(callback))
    }

    /// Removes the callback for reading, and returns whether there was one.
    ///
    /// This drops the callback at once. The loop does not call it again, even if it is due in this
    /// iteration. If the descriptor may be closed already, use
    /// [`remove_reader_raw`](LoopHandle::remove_reader_raw).
    ///
    /// If the callback's destructor removes further callbacks, the rule of
    /// [`Handle::cancel`](crate::Handle::cancel) for nested calls applies.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let (reader, _writer) = std::os::unix::net::UnixStream::pair()?;
    /// event_loop.add_reader(&reader, || println!("readable"))?;
    /// assert!(event_loop.remove_reader(&reader));
    /// assert!(!event_loop.remove_reader(&reader));
    /// # Ok(())
    /// # }
    /// ```
    pub fn remove_reader(&self, fd: &impl AsFd) -> bool {
        self.remove_reader_raw(fd.as_fd().as_raw_fd())
    }

    /// Removes the callback for writing, and returns whether there was one.
    ///
    /// All other rules are those of [`remove_reader`](LoopHandle::remove_reader).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let (_reader, writer) = std::os::unix::net::UnixStream::pair()?;
    /// event_loop.add_writer(&writer, || println!("writable"))?;
    /// assert!(event_loop.remove_writer(&writer));
    /// assert!(!event_loop.remove_writer(&writer));
    /// # Ok(())
    /// # }
    /// ```
    pub fn remove_writer(&self, fd: &impl AsFd) -> bool {
        self.remove_writer_raw(fd.as_fd().as_raw_fd())
    }

    /// Removes the callback for reading by its descriptor's number.
    ///
    /// This returns whether [`add_reader`](LoopHandle::add_reader) had added a callback for the
    /// number, and drops the callback at once.
    ///
    /// Use this method if the descriptor may be closed already. By then, a new descriptor may have
    /// the same number. The removal does not affect a [`Socket`](crate::Socket) or a
    /// [`readable`](LoopHandle::readable) of the new descriptor. But if the program has added a
    /// callback for the new descriptor, that callback has replaced the old one, so this removes it.
    ///
    /// If a duplicate of the closed descriptor is open, the kernel keeps the old registration,
    /// which has no effect. asyncio's `remove_reader` takes a number too.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::fd::AsRawFd;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let (reader, _writer) = std::os::unix::net::UnixStream::pair()?;
    /// event_loop.add_reader(&reader, || {})?;
    /// let number = reader.as_raw_fd();
    /// drop(reader);
    /// assert!(event_loop.remove_reader_raw(number));
    /// assert!(!event_loop.remove_reader_raw(number));
    /// # Ok(())
    /// # }
    /// ```
    pub fn remove_reader_raw(&self, fd: RawFd) -> bool {
        self.remove_callback(Direction::Read, fd)
    }

    /// Removes the callback for writing by its descriptor's number.
    ///
    /// This returns whether [`add_writer`](LoopHandle::add_writer) had added a callback for the
    /// number. All other rules are those of [`remove_reader_raw`](LoopHandle::remove_reader_raw).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::fd::AsRawFd;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let (_reader, writer) = std::os::unix::net::UnixStream::pair()?;
    /// event_loop.add_writer(&writer, || {})?;
    /// let number = writer.as_raw_fd();
    /// drop(writer);
    /// assert!(event_loop.remove_writer_raw(number));
    /// # Ok(())
    /// # }
    /// ```
    pub fn remove_writer_raw(&self, fd: RawFd) -> bool {
        self.remove_callback(Direction::Write, fd)
    }

    /// Calls `body` while `fd` is readable, until the callback is cancelled.
    ///
    /// This is for the loop's own descriptors. The callback is in no table, so the program cannot
    /// remove it.
    #[track_caller]
    pub(super) fn add_internal_reader(
        &self,
        fd: BorrowedFd<'_>,
        body: Box<dyn FnMut()>,
    ) -> io::Result<Rc<dyn Callback>> {
        let attachment = self.inner.reactor.attach(fd)?;
        let source = attachment.source().clone();
        let callback = FdCallback::new(body, attachment, Direction::Read);
        source.state(Direction::Read).set_callback(Some(callback.clone()));
        Ok(callback)
    }

    #[track_caller]
    fn add_callback(
        &self,
        direction: Direction,
        fd: &impl AsFd,
        body: Box<dyn FnMut()>,
    ) -> io::Result<()> {
        self.check_closed()?;
        let fd = fd.as_fd();
        // This also rearms a descriptor that has a callback, and finds out whether its number names
        // another descriptor by now.
        let attachment = self.inner.reactor.attach(fd)?;
        let source = attachment.source().clone();
        let callback = FdCallback::new(body, attachment, direction);
        let replaced = source.state(direction).set_callback(Some(callback));
        let before = self.inner.fd_callbacks.borrow_mut().insert(fd.as_raw_fd(), source.clone());
        let stale = before.filter(|before| !Rc::ptr_eq(before, &source));
        let callbacks = stale.into_iter().flat_map(take_callbacks).chain(replaced);
        callbacks.for_each(|callback| callback.cancel());
        Ok(())
    }

    fn remove_callback(&self, direction: Direction, fd: RawFd) -> bool {
        let mut table = self.inner.fd_callbacks.borrow_mut();
        let Some(source) = table.get(&fd).cloned() else {
            return false;
        };
        let removed = source.state(direction).set_callback(None);
        if !source.has_callback() {
            table.remove(&fd);
        }
        drop(table);
        removed.inspect(|callback| callback.cancel()).is_some()
    }

    /// Waits until the descriptor is readable, at its end, or has an error.
    ///
    /// The descriptor may be any that epoll takes: a pipe, a terminal, an eventfd, a timerfd, a
    /// pidfd, an inotify, or a socket of another crate. Use it for the output of a child process.
    /// The descriptor need not be non-blocking. A regular file is always ready, as in poll(2).
    ///
    /// The end of a stream or an error counts as readable; the next read reports it. The wait is
    /// level-triggered: if there is something to read, the future is ready at once.
    ///
    /// Several tasks may wait for one descriptor, which may also have an
    /// [`add_reader`](LoopHandle::add_reader) callback and operations of a
    /// [`Socket`](crate::Socket). While the descriptor is ready, the loop wakes one task after the
    /// other, in the order in which they began to wait. An error or a hang-up wakes all of them at
    /// once. If another task may read first, make the descriptor non-blocking, and expect
    /// `WouldBlock`.
    ///
    /// The future borrows the descriptor, so the descriptor stays open. asyncio has no such method;
    /// there, programs add a reader that sets a future.
    ///
    /// # Errors
    ///
    /// - [`LoopClosedError`](crate::LoopClosedError) on a closed loop, also if the loop is closed
    ///   during the wait.
    /// - Any OS error from poll(2) or the registration.
    /// - EBADF if unsafe code has closed the descriptor, and the loop has detected that its number
    ///   now names another descriptor.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future removes its registration at once and reads nothing from the
    /// descriptor.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Read;
    /// use std::process::{Command, Stdio};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let text = sendloop::run(async |event_loop| -> std::io::Result<String> {
    ///     let mut child = Command::new("echo").arg("hello").stdout(Stdio::piped()).spawn()?;
    ///     let mut output = child.stdout.take().expect("a pipe");
    ///     let mut text = Vec::new();
    ///     loop {
    ///         event_loop.readable(&output).await?;
    ///         let mut bytes = [0; 4096];
    ///         match output.read(&mut bytes)? {
    ///             0 => break,
    ///             n => text.extend_from_slice(&bytes[..n]),
    ///         }
    ///     }
    ///     child.wait()?;
    ///     Ok(String::from_utf8_lossy(&text).into_owned())
    /// })??;
    /// assert_eq!(text, "hello\n");
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias("AsyncFd", "Async", "ready", "readiness"))]
    pub fn readable<'a>(&self, fd: &'a impl AsFd) -> Readiness<'a> {
        self.readiness(fd.as_fd(), Direction::Read)
    }

    /// Waits until the descriptor is writable or has an error.
    ///
    /// All other rules are those of [`readable`](LoopHandle::readable).
    ///
    /// Make the descriptor non-blocking before you write, because a writable pipe may have less
    /// room than a write needs.
    ///
    /// # Errors
    ///
    /// As [`readable`](LoopHandle::readable).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, as [`readable`](LoopHandle::readable).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Write;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let (reader, mut writer) = std::os::unix::net::UnixStream::pair()?;
    /// writer.set_nonblocking(true)?;
    /// event_loop.run_until_complete(event_loop.writable(&writer))?;
    /// writer.write_all(b"hello")?;
    /// event_loop.run_until_complete(event_loop.readable(&reader))
    /// # }
    /// ```
    #[doc(alias("AsyncFd", "Async", "ready", "readiness"))]
    pub fn writable<'a>(&self, fd: &'a impl AsFd) -> Readiness<'a> {
        self.readiness(fd.as_fd(), Direction::Write)
    }

    fn readiness<'a>(&self, fd: BorrowedFd<'a>, direction: Direction) -> Readiness<'a> {
        let (event_loop, wait) = (self.clone(), WaitGuard::default());
        Readiness { event_loop, fd, direction, wait, attachment: None }
    }
}
