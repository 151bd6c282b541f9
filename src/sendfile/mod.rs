//! Sending a file over a stream socket.
//!
//! # Who holds what
//!
//! The caller holds a [`SendFile`], a builder. Awaiting it makes a [`SendFileFuture`], whose first
//! poll either sends everything with one call or makes a `Transfer`. The parts of a transfer, in
//! the order in which a reader meets them:
//!
//! | file | owns |
//! |---|---|
//! | this one | the builder, the checks, the future |
//! | `transfer.rs` | the driver: the one-call path, the loop over actions, position guard, stall timer |
//! | `machine.rs` | the state machine: the next action, the budget; pure |
//! | `plan.rs` | which bytes are owed; pure |
//! | `page_cache.rs` | whether bytes can be sent without a wait for the disk: questions, prefetch, mounts |
//! | `native.rs` | the calls on file and socket, and what their results mean |
//! | `fallback.rs` | reading blocks on the executor |
//!
//! # Rules
//!
//! 1. Each call names its offset: the file's position is neither used nor changed until the
//!    transfer ends. Then one destructor sets it.
//! 2. A transfer waits for an edge after an EAGAIN and nothing else. The poller is edge-triggered:
//!    after a call that was short or capped no event comes (netty/netty#2823).
//! 3. Bytes are counted by what the calls that send return, in the fallback too.
//! 4. The executor's work owns what it uses. So a transfer can be dropped at every await, and no
//!    thread then uses a descriptor that is something else by now (erlang/otp#1635,
//!    cgzones/apt-cacher-rs#122). The send itself stays on the loop's thread.
//! 5. What may wait for the disk is the executor's: the page cache is asked before each send. A
//!    server is never asked by the loop's thread.
//!
//! # Situations
//!
//! - *Dropped while it waits for the socket*: its waker leaves the reactor, the position is set,
//!   the next writer is woken.
//! - *Dropped while the executor reads*: the thread ends on its own with its duplicate of the file.
//!   A read that no thread has begun is dropped with all that it holds.
//! - *The loop is closed under it*: a transfer in a task is dropped with it. One that is polled
//!   elsewhere is woken, finds its poller gone and ends with [`LoopClosed`](crate::LoopClosed).
//! - *The file shrinks*: a call sends nothing though bytes are owed. One read shows whether it is
//!   the end.

mod fallback;
mod machine;
mod native;
mod page_cache;
mod plan;
mod transfer;

use std::fmt;
use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::event_loop::LoopHandle;
use crate::ready_io::check_nonblocking;
use crate::socket::Socket;
use crate::sys::file::Shown;
use crate::sys::socket::Kind;
use crate::turns::Turn;
use machine::{Machine, MachineOptions};
use page_cache::PageCache;
use plan::Plan;
use transfer::{AtOnce, Parts, Progress, SentFile, Transfer, send_at_once};

impl LoopHandle {
    /// Sends a file over a stream socket, by sendfile(2) if the system can, and returns how many of
    /// the file's bytes were sent.
    ///
    /// The result is a builder: its methods are asyncio's keyword arguments
    /// [`offset`](SendFile::offset), [`count`](SendFile::count) and
    /// [`fallback`](SendFile::fallback), and more that asyncio does not have. Await it, or give it
    /// to [`run_until_complete`](crate::Loop::run_until_complete) or
    /// [`wait_for`](LoopHandle::wait_for). Without options, the transfer sends the whole file from
    /// its start, whatever its position is. The bytes are not copied through the program, and other
    /// tasks run between the steps. The transfer leaves the file's position where the sending
    /// stopped, **however** it stopped.
    ///
    /// # Behaviour
    ///
    /// - Without a count, a file that grows meanwhile is sent to its new end. A file that shrinks
    ///   ends the transfer, short. A file of unknown size, as those of procfs, is sent whole.
    /// - If sendfile is not available for this file and socket, the transfer reads the file on the
    ///   executor, 256 KiB at a time, and sends that, from wherever it is.
    /// - Writers of one socket send one after the other. Transfers of one file are each exact; the
    ///   last one to end sets the position, unless
    ///   [`update_position(false)`](SendFile::update_position) says not to.
    /// - A peer that closes only its sending side still gets everything.
    /// - A transfer sends at most 1 MiB per system call, and about 2 MiB or 128 calls before other
    ///   tasks run. A peer that does not read costs nothing.
    /// - Ranges that are not in the page cache are read by executor threads before the loop sends
    ///   them: [`prefetch`](SendFile::prefetch).
    ///
    /// Bytes that the kernel has taken still are pages of the file. If the file is overwritten in
    /// place before the peer has read them, the peer may get the new bytes. Replace files by
    /// renaming, not by rewriting.
    ///
    /// The executor reads through a duplicate of the descriptor. Closing that releases the locks
    /// that this process holds on the file by fcntl(2)'s F_SETLK, as closing any descriptor of the
    /// file does. The locks of flock(2) stay.
    ///
    /// # Difference from asyncio
    ///
    /// A count of 0 sends nothing; asyncio raises. Errors of the connection are reported as they
    /// are, also before the first byte; asyncio takes each for "not available". The position is
    /// exact after a cancellation. Files of procfs are not taken for empty.
    ///
    /// # Errors
    ///
    /// - `InvalidInput`, before anything is done: not a stream socket, an offset beyond `i64::MAX`,
    ///   a chunk of 0, or a socket of another loop.
    /// - `Unsupported`, with a [`SendfileNotAvailableError`](crate::SendfileNotAvailableError)
    ///   inside: sendfile is not available and the fallback is not allowed.
    /// - Any OS error of the connection (`BrokenPipe`, `ConnectionReset`, `NotConnected`, …), never
    ///   as SIGPIPE, and of the file (EBADF if it is not open for reading, EISDIR, EIO, …).
    /// - `TimedOut` after a [`stall_timeout`](SendFile::stall_timeout).
    /// - [`LoopClosed`](crate::LoopClosed) if it would have to wait on a closed loop.
    ///
    /// After an error the file's position tells how much was sent.
    ///
    /// # Cancel safety
    ///
    /// Dropped at any moment after its first poll, the transfer leaves the file's position at the
    /// offset plus the bytes that the socket took. The peer can read exactly those. Never polled,
    /// it touches nothing. A read that an executor thread has begun ends on its own.
    ///
    /// # Platform
    ///
    /// Native on Linux, FreeBSD and DragonFly; elsewhere the fallback. The page cache is asked on
    /// Linux only.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::fs::File;
    /// use std::io::Seek;
    /// use sendloop::{Loop, Socket};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = Loop::new()?;
    /// let (near, far) = Socket::pair()?;
    /// let mut file = File::open("Cargo.toml")?;
    ///
    /// let sent = event_loop.run_until_complete(event_loop.sock_sendfile(&near, &file).offset(1).count(7))?;
    /// assert_eq!(sent, 7);
    /// assert_eq!(file.stream_position()?, 8);
    /// let received = event_loop.run_until_complete(event_loop.sock_recv(&far, 100))?;
    /// assert_eq!(received, b"package");
    ///
    /// // A peer that is gone is an error, and the position still tells what was sent: nothing.
    /// drop(far);
    /// let error = event_loop.run_until_complete(event_loop.sock_sendfile(&near, &file)).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    /// assert_eq!(file.stream_position()?, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn sock_sendfile<'a, T: AsFd, F: AsFd + ?Sized>(
        &self,
        sock: &'a Socket<T>,
        file: &'a F,
    ) -> SendFile<'a, T, F> {
        SendFile {
            event_loop: self.clone(),
            socket: sock,
            file,
            options: Options::default(),
        }
    }
}

struct Options<'a> {
    offset: u64,
    count: Option<u64>,
    fallback: bool,
    prefetch: bool,
    update_position: bool,
    chunk: Option<u64>,
    header: &'a [u8],
    stall_timeout: Option<Duration>,
    progress: Option<Progress<'a>>,
}

impl Options<'_> {
    fn plan(&self) -> io::Result<Plan> {
        let plan = Plan::new(self.offset, self.count);
        match self.chunk {
            Some(0) => Err(invalid("a chunk is at least one byte")),
            Some(chunk) => Ok(plan.with_chunk(chunk)),
            None => Ok(plan),
        }
    }

    /// Whether the first thing to do is to send bytes of the file, and nobody wants to hear of it.
    fn is_plain(&self) -> bool {
        self.fallback && self.header.is_empty() && self.progress.is_none()
    }
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options {
            offset: 0,
            count: None,
            fallback: true,
            prefetch: true,
            update_position: true,
            chunk: None,
            header: &[],
            stall_timeout: None,
            progress: None,
        }
    }
}

/// A transfer that has not begun, as [`sock_sendfile`](LoopHandle::sock_sendfile) returns it.
///
/// It does nothing until it is awaited, or given to a method that takes `impl IntoFuture`. `T` is
/// the socket's type, `F` the file's.
#[must_use = "a transfer does nothing unless it is awaited"]
pub struct SendFile<'a, T: AsFd, F: AsFd + ?Sized> {
    event_loop: LoopHandle,
    socket: &'a Socket<T>,
    file: &'a F,
    options: Options<'a>,
}

impl<'a, T: AsFd, F: AsFd + ?Sized> SendFile<'a, T, F> {
    /// Begins at this offset, in bytes from the start of the file; 0 by default. At or past the end
    /// nothing is sent.
    pub fn offset(mut self, offset: u64) -> Self {
        self.options.offset = offset;
        self
    }

    /// Sends exactly this many bytes, or fewer if the file ends first; to the end by default. 0
    /// sends nothing.
    pub fn count(mut self, count: u64) -> Self {
        self.options.count = Some(count);
        self
    }

    /// Sets whether to read and send if sendfile is not available; true by default.
    pub fn fallback(mut self, fallback: bool) -> Self {
        self.options.fallback = fallback;
        self
    }

    /// Sends these bytes in front of the file, as the header of a response; none by default.
    ///
    /// They share a segment with the file's first bytes (MSG_MORE). Without that, a TCP socket
    /// without TCP_NODELAY would hold a short file back until the peer has acknowledged the header,
    /// which takes 40 ms. The result, the progress and the position count the file's bytes alone. A
    /// transfer that is dropped while it sends the header may have sent any part of it. If sendfile
    /// is not available at its first call, and the fallback is not allowed, the header is sent
    /// already.
    pub fn header(mut self, header: &'a [u8]) -> Self {
        self.options.header = header;
        self
    }

    /// Sets whether to keep the loop from waiting for the disk; true by default.
    ///
    /// The transfer then asks the page cache before it sends. A range that is missing is read by an
    /// executor thread first, without a copy, and what follows is read ahead. Asking takes a system
    /// call or two for each MiB, and again after each wait for the socket: under 1 % of the time of
    /// a large transfer on ext4, about 3 % on overlayfs. File systems in memory (tmpfs, procfs, …)
    /// are asked once.
    ///
    /// Files of remote and unknown file systems (FUSE, NFS, …) may take any time for anything. The
    /// executor reads them, and the loop sends from memory, as in the fallback. If the fallback is
    /// not allowed, the executor reads each range and sendfile sends it. For a file system that you
    /// know to be quick, `prefetch(false)` saves the copy.
    ///
    /// If the executor takes no work, everything is sent as it is. Without prefetch the loop's
    /// thread waits whenever the disk must be read.
    pub fn prefetch(mut self, prefetch: bool) -> Self {
        self.options.prefetch = prefetch;
        self
    }

    /// Sets whether the file's position follows the transfer; true by default.
    ///
    /// With false, the position is neither used nor changed, and a transfer costs one system call
    /// less. It is the choice for one open file that many transfers share.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::fs::File;
    /// use std::io::{Seek, SeekFrom};
    /// use sendloop::{Loop, Socket};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = Loop::new()?;
    /// let (near, far) = Socket::pair()?;
    /// let mut file = File::open("Cargo.toml")?;
    /// file.seek(SeekFrom::Start(3))?;
    /// let transfer = event_loop.sock_sendfile(&near, &file).count(9).update_position(false);
    /// assert_eq!(event_loop.run_until_complete(transfer)?, 9);
    /// assert_eq!(file.stream_position()?, 3);
    /// # drop(far);
    /// # Ok(())
    /// # }
    /// ```
    pub fn update_position(mut self, update_position: bool) -> Self {
        self.options.update_position = update_position;
        self
    }

    /// Sets the most bytes that one step moves: of a system call (1 MiB by default, and at most)
    /// and of a read in the fallback (256 KiB by default). 0 fails with `InvalidInput`.
    pub fn chunk(mut self, bytes: u64) -> Self {
        self.options.chunk = Some(bytes);
        self
    }

    /// Fails with `TimedOut` if no byte moves for this long, counted from the last one that did;
    /// never by default.
    ///
    /// This is a limit on a peer that does not read, or a disk that does not answer, and not on the
    /// whole transfer: a slow peer that reads something now and then is served. The time in which
    /// other writers of the socket send does not count.
    pub fn stall_timeout(mut self, limit: Duration) -> Self {
        self.options.stall_timeout = Some(limit);
        self
    }

    /// Calls `progress` with the total sent after each step that sends bytes of the file.
    ///
    /// It runs on the loop's thread, inside the transfer's poll. Its panic leaves that poll, as
    /// from any future.
    pub fn progress(mut self, progress: impl FnMut(u64) + 'a) -> Self {
        self.options.progress = Some(Box::new(progress));
        self
    }
}

impl<'a, T: AsFd, F: AsFd + ?Sized> IntoFuture for SendFile<'a, T, F> {
    type Output = io::Result<u64>;
    type IntoFuture = SendFileFuture<'a, T>;

    fn into_future(self) -> SendFileFuture<'a, T> {
        SendFileFuture {
            event_loop: self.event_loop,
            socket: self.socket,
            file: self.file.as_fd(),
            options: self.options,
            state: State::NotBegun,
        }
    }
}

impl<T: AsFd + fmt::Debug, F: AsFd + ?Sized> fmt::Debug for SendFile<'_, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendFile")
            .field("socket", self.socket)
            .field("file", &Shown(self.file.as_fd()))
            .field("position", &None::<u64>)
            .finish_non_exhaustive()
    }
}

/// The future of a [`SendFile`].
#[must_use = "a transfer does nothing unless it is awaited"]
pub struct SendFileFuture<'a, T: AsFd> {
    event_loop: LoopHandle,
    socket: &'a Socket<T>,
    file: BorrowedFd<'a>,
    options: Options<'a>,
    state: State<'a>,
}

enum State<'a> {
    NotBegun,
    /// In a box, as a small send never gets here and its future stays small.
    Begun(Box<Transfer<'a>>),
    Done,
}

impl<'a, T: AsFd> SendFileFuture<'a, T> {
    /// Begins the transfer. Returns the bytes sent if one call has sent everything.
    fn begin(&mut self, cx: &Context<'_>, is_due: bool) -> io::Result<Option<u64>> {
        check_nonblocking(&self.event_loop, self.socket)?;
        check_arguments(self.socket, self.options.offset)?;
        let plan = self.options.plan()?;
        let file = SentFile {
            fd: self.file,
            update_position: self.options.update_position,
        };
        let mut page_cache = PageCache::new(self.options.prefetch, self.options.fallback);
        let may_send = is_due && self.options.is_plain() && !self.socket.turns().is_taken();
        let at_once = match may_send {
            true => {
                let socket = self.socket.as_fd();
                send_at_once(&self.event_loop, socket, file, &plan, &mut page_cache)
            }
            false => AtOnce::NotTried,
        };
        let mut machine = match at_once {
            AtOnce::Done(sent) => return Ok(Some(sent)),
            _ => Machine::new(plan, self.machine_options()),
        };
        if let AtOnce::Tried(outcome) = at_once {
            machine.on_outcome(outcome);
        }
        let options = mem::take(&mut self.options);
        let transfer = Transfer::new(Parts {
            machine,
            file,
            socket: self.socket.as_fd(),
            turn: Turn::begin(self.socket.turns(), cx),
            page_cache,
            header: options.header,
            progress: options.progress,
            stall_timeout: options.stall_timeout,
        });
        self.state = State::Begun(Box::new(transfer));
        Ok(None)
    }

    fn machine_options(&self) -> MachineOptions {
        MachineOptions {
            fallback: self.options.fallback,
            prefetch: self.options.prefetch,
            header: self.options.header.len(),
        }
    }
}

/// Checks what must hold before anything is done.
fn check_arguments<T: AsFd>(socket: &Socket<T>, offset: u64) -> io::Result<()> {
    match socket.kind()? {
        Kind::Datagram | Kind::NotSocket => Err(invalid("sendfile needs a stream socket")),
        _ if i64::try_from(offset).is_err() => Err(invalid("an offset is at most i64::MAX")),
        Kind::Tcp | Kind::Stream => Ok(()),
    }
}

fn invalid(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, problem)
}

impl<T: AsFd> Future for SendFileFuture<'_, T> {
    type Output = io::Result<u64>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        let this = &mut *self;
        if let State::NotBegun = this.state {
            let is_due = this.event_loop.poll_budget(cx).is_ready();
            if let Some(result) = this.begin(cx, is_due).transpose() {
                this.state = State::Done;
                this.event_loop.spend_budget(*result.as_ref().unwrap_or(&0));
                return Poll::Ready(result);
            }
            // It has begun, also if others are to run first.
            if !is_due {
                return Poll::Pending;
            }
        }
        let State::Begun(transfer) = &mut this.state else {
            panic!("a SendFileFuture was polled after it was ready");
        };
        let result = ready!(transfer.poll(&this.event_loop, this.socket, cx));
        this.event_loop.spend_budget(transfer.machine().spent());
        this.state = State::Done;
        Poll::Ready(result)
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for SendFileFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let position = match &self.state {
            State::NotBegun | State::Done => None,
            State::Begun(transfer) => Some(transfer.machine().position()),
        };
        f.debug_struct("SendFileFuture")
            .field("socket", self.socket)
            .field("file", &Shown(self.file))
            .field("position", &position)
            .finish_non_exhaustive()
    }
}
