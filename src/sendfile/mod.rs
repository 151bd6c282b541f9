//! Sending a file over a stream socket.
//!
//! # Who holds what
//!
//! The user holds a [`SendFile`]; from its first poll on that holds a [`Transfer`]: the [`machine`] which knows how far it is
//! and what comes next, the turn among the socket's writers, the waiting for the socket, the reading in of what is not in
//! memory, and the reading where sendfile is not available. [`plan`] counts, [`residency`] knows the page cache, [`share`] when
//! others run, [`machine`] decides: these four are pure. [`native`], [`prefetch`] and [`fallback`] call the system, [`stall`] is
//! the clock, [`position`] the way out. The driver ([`transfer`]) does what the machine says and decides nothing.
//!
//! # Rules
//!
//! 1. Each call names its offset: the file's position is not used and not moved until the transfer ends, when one destructor
//!    sets it. There is no other way out.
//! 2. An edge is waited for after an EAGAIN and nothing else. The poller is edge-triggered: after a call that was short or was
//!    capped no event will come (netty/netty#2823).
//! 3. A count is counted where the bytes go: what a call sent is what it returned, in the fallback too.
//! 4. What the executor works on, it owns: a transfer can be dropped at every await, and no thread then writes to a descriptor
//!    that is something else by now (erlang/otp#1635 and cgzones/apt-cacher-rs#122 tell how that ends). The send itself stays on
//!    the loop's thread.
//! 5. What may wait for the disk is the executor's: a chunk that is not in the page cache is read in there first. The look that
//!    tells goes by single bytes, and does not see a hole between them. Nor is a server asked for the size or the kind of a file, where the
//!    transfer cannot end by it.
//!
//! # Situations
//!
//! - *Dropped while parked*: the waiting takes its waker out of the reactor, the position is set, the next writer is woken.
//! - *Dropped while the executor reads*: the thread ends on its own with its duplicate of the file; its block is dropped. Where no
//!   thread has begun to, the read is dropped with all that it holds.
//! - *The loop is closed under it*: a transfer in a task is dropped with it; one that is polled elsewhere is woken, finds its
//!   poller gone and ends with [`LoopClosedError`](crate::LoopClosedError).
//! - *The file shrinks*: a call sends nothing though bytes are owed. One read says whether it is the end; nothing is repeated.

mod attempt;
mod fallback;
mod first;
mod machine;
mod native;
mod plan;
mod position;
mod prefetch;
mod residency;
mod share;
mod stall;
mod steps;
mod transfer;

use std::fmt;
use std::fs::File;
use std::io;
use std::mem;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::event_loop::LoopHandle;
use crate::ready_io::check_nonblocking;
use crate::socket::Socket;
use crate::sys::socket::Kind;
use crate::turns::Turn;
use first::First;
use machine::Machine;
use plan::Plan;
use position::Positioned;
use steps::Wishes;
use transfer::{Progress, Transfer};

impl LoopHandle {
    /// Sends a file over a stream socket, by sendfile(2) where the system can, and gives the number of the file's bytes sent.
    ///
    /// The result is a future whose methods are asyncio's keyword arguments: [`offset`](SendFile::offset),
    /// [`count`](SendFile::count), [`fallback`](SendFile::fallback); and more that asyncio does not have. Without them the whole file is sent, from its start,
    /// whatever its position is. Bytes are not copied through the program, other tasks run between the steps, and the file's
    /// position is where the sending stopped, **however** it stopped.
    ///
    /// # Behaviour
    ///
    /// - A file that grows while it is sent without a count is sent to its new end. One that shrinks ends the transfer, short.
    ///   One whose size says nothing, as those of procfs, is sent whole.
    /// - Where sendfile is not available for this file and socket, it reads the file on the executor, 256 KiB at a time, and
    ///   sends that, from wherever it is.
    /// - Several writers of one socket take turns; several transfers of one file are each exact, and the last to end sets the
    ///   position.
    /// - A peer that closes only its sending side still gets everything.
    /// - No more than 1 MiB per system call and some 2 MiB in a row, or 128 calls, are sent before other tasks run. A peer that does
    ///   not read costs nothing.
    ///
    /// Bytes that the kernel has taken still are the file's pages: where the file is overwritten in place before the peer
    /// has read them, the peer may get the new ones. Replace files by renaming, not by rewriting.
    ///
    /// Where the executor reads of the file, it does so by a duplicate, and closing that takes away the locks that this process holds
    /// on the file by fcntl(2)'s F_SETLK, as closing any descriptor of it does. Those of flock(2) stay.
    ///
    /// # Difference from asyncio
    ///
    /// A count of 0 sends nothing, where asyncio raises. Errors of the connection are reported as they are, also before the
    /// first byte, where asyncio takes each for "not available". The position is right after a cancellation. Files of procfs are
    /// not taken for empty.
    ///
    /// # Errors
    ///
    /// - `InvalidInput`, before anything is done: not a stream socket, or an offset beyond `i64::MAX`; also where the socket
    ///   belongs to another loop.
    /// - `Unsupported`, with a [`SendfileNotAvailableError`](crate::SendfileNotAvailableError) inside: sendfile is not
    ///   available and the fallback not allowed.
    /// - What the system says of the connection (`BrokenPipe`, `ConnectionReset`, `NotConnected`, …), never as SIGPIPE, and of
    ///   the file (EBADF where it is not open for reading, EISDIR, EIO, …).
    /// - `TimedOut` after a [`stall_timeout`](SendFile::stall_timeout).
    /// - [`LoopClosedError`](crate::LoopClosedError) where it would have to wait on a closed loop.
    ///
    /// After an error the file's position says how much was sent.
    ///
    /// # Cancel safety
    ///
    /// Dropped at any moment after its first poll, it leaves the file's position at the offset plus the bytes that the socket
    /// took; the peer can read exactly those. Never polled, it touches nothing. A read that the executor is in the middle
    /// of ends on its own.
    ///
    /// # Platform
    ///
    /// Native on Linux, FreeBSD and DragonFly; elsewhere the fallback. Looks at the page cache are Linux's.
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
    pub fn sock_sendfile<'a, T: AsFd>(
        &self,
        sock: &'a Socket<T>,
        file: &'a File,
    ) -> SendFile<'a, T> {
        SendFile {
            event_loop: self.clone(),
            socket: sock,
            file,
            options: Options::default(),
            state: State::Unbegun,
        }
    }
}

struct Options<'a> {
    offset: u64,
    count: Option<u64>,
    fallback: bool,
    prefetch: bool,
    chunk: Option<u64>,
    header: &'a [u8],
    stall_timeout: Option<Duration>,
    progress: Option<Progress<'a>>,
}

impl Options<'_> {
    /// Whether the first thing to be done is to send the file's bytes, and nobody wants to hear of it.
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
            chunk: None,
            header: &[],
            stall_timeout: None,
            progress: None,
        }
    }
}

/// The future of [`LoopHandle::sock_sendfile`].
///
/// What its methods set counts until its first poll.
#[must_use = "a transfer does nothing unless it is awaited"]
pub struct SendFile<'a, T: AsFd> {
    event_loop: LoopHandle,
    socket: &'a Socket<T>,
    file: &'a File,
    options: Options<'a>,
    state: State<'a>,
}

enum State<'a> {
    Unbegun,
    /// In a box, as the future is moved by each method that sets something, and a small send never comes here.
    Begun(Box<Transfer<'a>>),
    Over,
}

impl<'a, T: AsFd> SendFile<'a, T> {
    /// Where in the file to begin, in bytes from its start; 0 unless set. At or past the end nothing is sent.
    pub fn offset(mut self, offset: u64) -> Self {
        self.options.offset = offset;
        self
    }

    /// How many bytes to send: exactly so many, or fewer where the file ends first. Until the end unless set; 0 sends nothing.
    pub fn count(mut self, count: u64) -> Self {
        self.options.count = Some(count);
        self
    }

    /// Whether to read and send where sendfile is not available; true unless set.
    pub fn fallback(mut self, fallback: bool) -> Self {
        self.options.fallback = fallback;
        self
    }

    /// Bytes to send in front of the file, as the header of a response; none unless set.
    ///
    /// They go in one train of packets with the file's first bytes (MSG_MORE): without that, a TCP socket without TCP_NODELAY
    /// would hold a short file back until the peer has acknowledged the header, which takes 40 ms. The result, the progress and the
    /// file's position count the file's bytes alone; dropped while the header is being sent, it may have sent any part of it.
    /// Where sendfile turns out to be not available at its first call, and the fallback is not allowed, the header has gone.
    pub fn header(mut self, header: &'a [u8]) -> Self {
        self.options.header = header;
        self
    }

    /// Whether to keep the loop from waiting for the disk; true unless set.
    ///
    /// What is not in the page cache is then read in by a thread of the executor before it is sent, and what follows is read
    /// ahead. A look at the page cache takes a system call for each 256 KiB, and some after each wait for the socket: some 1 % of the
    /// time of a large transfer from warm pages. File systems that live in memory (tmpfs, procfs, …) are asked once. Those that tell
    /// nothing (FUSE, NFS, overlayfs, …) may take any time for anything, so their files are read by the executor and sent from memory,
    /// as by the fallback; where that is not allowed, they are read in and then sent by sendfile. Where the executor takes no
    /// work, all is sent as it is.
    ///
    /// Without it the loop's thread waits where the disk has to be read, and no file system is asked.
    pub fn prefetch(mut self, prefetch: bool) -> Self {
        self.options.prefetch = prefetch;
        self
    }

    /// The most that one step moves, in bytes: what a system call is asked for, and what the fallback reads at a time. 1 MiB
    /// and 256 KiB unless set, and never more than 1 MiB; 0 is an error of kind `InvalidInput`.
    pub fn chunk(mut self, bytes: u64) -> Self {
        self.options.chunk = Some(bytes);
        self
    }

    /// Ends the transfer with `TimedOut` when no byte moved for so long, counted from the last that did; for ever unless set.
    ///
    /// This is a limit on a peer that does not read, or a disk that does not answer, and not on the whole: a slow peer that
    /// reads something now and then is served. The time in which other writers of the socket have their turn does not count.
    pub fn stall_timeout(mut self, limit: Duration) -> Self {
        self.options.stall_timeout = Some(limit);
        self
    }

    /// Has `progress` called after each step that moved bytes of the file, with how many were sent so far in all.
    ///
    /// It runs on the loop's thread, inside the transfer's poll. Its panic comes out of that, as from any future.
    pub fn progress(mut self, progress: impl FnMut(u64) + 'a) -> Self {
        self.options.progress = Some(Box::new(progress));
        self
    }

    /// The bytes sent, where the first step was due and sent everything; else there is a transfer now.
    fn begin(&mut self, cx: &Context<'_>, is_due: bool) -> io::Result<Option<u64>> {
        check_nonblocking(&self.event_loop, self.socket)?;
        check(self.socket, self.options.offset)?;
        let plan = Plan::new(self.options.offset, self.options.count);
        let plan = match self.options.chunk {
            Some(0) => return Err(invalid("a chunk is at least one byte")),
            Some(chunk) => plan.in_chunks(chunk),
            None => plan,
        };
        let is_first = is_due && self.options.is_plain() && !self.socket.turns().is_taken();
        let first = match is_first {
            true => {
                let between = (self.socket.as_fd(), self.file);
                First::take(&self.event_loop, between, &plan, self.options.prefetch)
            }
            false => First::default(),
        };
        let sent = first.finish(self.file, &plan);
        if sent.is_none() {
            self.begin_transfer(plan, first, cx);
        }
        Ok(sent)
    }

    fn begin_transfer(&mut self, plan: Plan, first: First, cx: &Context<'_>) {
        let options = mem::take(&mut self.options);
        let wishes = Wishes {
            fallback: options.fallback,
            prefetch: options.prefetch,
            header: options.header.len(),
        };
        let mut machine = Machine::new(plan, wishes);
        first.tell(&mut machine);
        let positioned = Positioned::new(machine, self.file, self.socket.as_fd());
        let turn = Turn::begin(self.socket.turns(), cx);
        let transfer = Transfer::new(positioned, turn, options.header);
        let transfer = transfer.reporting(options.progress, options.stall_timeout);
        self.state = State::Begun(Box::new(transfer));
    }
}

/// What must hold before anything is done.
fn check<T: AsFd>(socket: &Socket<T>, offset: u64) -> io::Result<()> {
    match socket.kind()? {
        Kind::Datagram | Kind::NotSocket => Err(invalid("sendfile needs a stream socket")),
        _ if i64::try_from(offset).is_err() => Err(invalid("an offset is at most i64::MAX")),
        Kind::Tcp | Kind::Stream => Ok(()),
    }
}

fn invalid(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, problem)
}

impl<T: AsFd> Future for SendFile<'_, T> {
    type Output = io::Result<u64>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        let this = &mut *self;
        if let State::Unbegun = this.state {
            let is_due = this.event_loop.poll_budget(cx).is_ready();
            if let Some(over) = this.begin(cx, is_due).transpose() {
                this.state = State::Over;
                this.event_loop.spend_budget(*over.as_ref().unwrap_or(&0));
                return Poll::Ready(over);
            }
            // It has begun, also where others are to run first.
            if !is_due {
                return Poll::Pending;
            }
        }
        let State::Begun(transfer) = &mut this.state else {
            panic!("a SendFile was polled after it was ready");
        };
        let result = ready!(transfer.poll(&this.event_loop, this.socket, cx));
        this.event_loop.spend_budget(transfer.machine().spent());
        this.state = State::Over;
        Poll::Ready(result)
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for SendFile<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let position = match &self.state {
            State::Unbegun | State::Over => None,
            State::Begun(transfer) => Some(transfer.machine().position()),
        };
        f.debug_struct("SendFile")
            .field("socket", self.socket)
            .field("file", self.file)
            .field("position", &position)
            .finish_non_exhaustive()
    }
}
