//! Waiting for a descriptor: `readable` and `writable`.
//!
//! A wait calls poll(2) first, and registers the descriptor only if it is not ready. So a ready
//! descriptor costs one system call, and a file that epoll refuses is ready at once. After an event
//! the wait calls poll(2) again, as another task may have read the data.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::LoopHandle;
use crate::reactor::{Attachment, Direction, WaitGuard};
use crate::sys::interest::poll_now;

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
        source.state(self.direction).clear_ready();
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
