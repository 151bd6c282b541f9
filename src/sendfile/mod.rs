//! Sending a file over a stream socket.
//!
//! # Structure
//!
//! The caller holds a [`SendFile`], a builder. Awaiting it makes a [`SendFileFuture`]. The future's
//! first poll either sends everything with one call or makes a `Transfer`. To read the code of a
//! transfer, use this order:
//!
//! | file | owns |
//! |---|---|
//! | this file | the builder, the checks, the future, the one-call path |
//! | `transfer.rs` | the driver: loop over actions, position guard, stall timer |
//! | `machine.rs` | the state machine: the next action, the budget; no system calls |
//! | `plan.rs` | the bytes that are owed; no system calls |
//! | `page_cache.rs` | whether a send would wait for the disk: probes, prefetch, mounts |
//! | `native.rs` | the calls on file and socket, and the meaning of their results |
//! | `fallback.rs` | the reads on the executor |
//!
//! # Rules
//!
//! 1. Each call names its offset. The transfer neither uses nor changes the file's position until
//!    it ends. Then one destructor sets the position.
//! 2. A transfer waits for an edge only after an EAGAIN. The poller is edge-triggered, so no event
//!    comes after a call that was short or capped (netty/netty#2823).
//! 3. The transfer counts the bytes that the sending calls report, in the fallback too.
//! 4. The executor's work owns its file and memory, so the caller can drop a transfer at every
//!    await. Otherwise a thread could use a descriptor whose number now names another file
//!    (erlang/otp#1635, cgzones/apt-cacher-rs#122). Only the loop's thread sends.
//! 5. The executor makes the calls that may wait for the disk. The transfer probes the page cache
//!    before each send. On a remote file system, the loop's thread queries the server only for a
//!    size that could end the transfer.
//!
//! # Situations
//!
//! - *The caller drops it while it waits for the socket*: the destructor sets the position. Then
//!   the waker leaves the reactor, and the next writer wakes.
//! - *The caller drops it while the executor reads*: the thread finishes alone, with its duplicate
//!   of the file. The transfer drops a read that no thread has begun, with all that it owns.
//! - *The loop closes*: a transfer in a task is dropped with the task. A transfer that is polled
//!   elsewhere wakes, finds no reactor and fails with [`LoopClosedError`](crate::LoopClosedError).
//! - *The file shrinks*: a call sends nothing although bytes are owed. One read finds the end.

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
use crate::ready_io::{Operation, check_nonblocking};
use crate::socket::Socket;
use crate::sys::file::DebugFile;
use crate::sys::fork::Process;
use crate::sys::socket::SocketKind;
use machine::Machine;
use native::SendOutcome;
use page_cache::PageCache;
use plan::{Next, Plan};
use transfer::{Guard, Transfer, set_position};

impl LoopHandle {
    /// Sends a file over a stream socket, and returns the number of file bytes sent.
    ///
    /// If sendfile(2) is available, the transfer uses it, so the program copies no bytes. Other
    /// tasks run between the steps of a transfer.
    ///
    /// The method returns a builder. To start the transfer, await the builder, or pass it to
    /// [`run_until_complete`](crate::Loop::run_until_complete) or
    /// [`wait_for`](LoopHandle::wait_for). The builder's methods set asyncio's keyword arguments
    /// [`offset`](SendFile::offset), [`count`](SendFile::count) and
    /// [`fallback`](SendFile::fallback), and options that asyncio does not have.
    ///
    /// Without options, the transfer sends the whole file from its start, whatever the file's
    /// position is. When it ends, also by an error or a cancellation, it sets the file's position
    /// after the last byte sent.
    ///
    /// # Behaviour
    ///
    /// - Without a count, the transfer sends a growing file to its new end. If the file shrinks,
    ///   the transfer ends early. If the file does not report its size, as in procfs, the transfer
    ///   sends the whole file.
    /// - If sendfile is not available for this file and socket, the transfer takes the
    ///   [`fallback`](SendFile::fallback) from its current offset. The
    ///   [executor](LoopHandle::run_in_executor) then reads 256 KiB at a time, and the loop sends
    ///   each block.
    /// - If several tasks send on one socket, each sends all its bytes before the next one, in the
    ///   order in which they began.
    /// - Several transfers may send the same open file at once. Each sends the right bytes, and the
    ///   last one to end sets the position. With
    ///   [`update_position(false)`](SendFile::update_position), a transfer leaves the position
    ///   alone.
    /// - A peer that closes only its sending side still receives everything.
    /// - A transfer sends at most 1 MiB in one system call. After about 2 MiB or 128 calls, other
    ///   tasks run. While the peer does not read, the transfer takes no CPU time.
    /// - If a range is not in the page cache, an executor thread reads it before the loop sends it.
    ///   [`prefetch`](SendFile::prefetch) turns that off.
    ///
    /// Bytes in the kernel's socket buffer are still pages of the file. If a program overwrites the
    /// file in place before the peer has read them, the peer may get the new bytes. Replace files
    /// by renaming, not by rewriting.
    ///
    /// The executor reads through a duplicate of the descriptor. When a process closes any
    /// descriptor of a file, the kernel releases the locks that the process holds on the file by
    /// F_SETLK of fcntl(2). So closing the duplicate releases them. The locks of flock(2) stay.
    ///
    /// # Difference from asyncio
    ///
    /// A count of 0 sends nothing; asyncio raises. The transfer reports errors of the connection
    /// unchanged, even before the first byte; asyncio takes each for "not available". The position
    /// is exact after a cancellation. The transfer sends files of procfs whole; asyncio takes them
    /// for empty.
    ///
    /// # Errors
    ///
    /// - `InvalidInput` if the socket is not a stream socket, the offset is beyond `i64::MAX`, or
    ///   the chunk is 0. The transfer checks these before any I/O.
    /// - `InvalidInput` if the socket belongs to another loop.
    /// - `Unsupported`, with a [`SendfileNotAvailableError`](crate::SendfileNotAvailableError)
    ///   inside: sendfile is not available, and the caller does not allow the fallback.
    /// - Any OS error of the connection (`BrokenPipe`, `ConnectionReset`, `NotConnected`, …), never
    ///   as SIGPIPE.
    /// - Any OS error of the file (EBADF if it is not open for reading, EISDIR, EIO, …).
    /// - `TimedOut` after a [`stall_timeout`](SendFile::stall_timeout).
    /// - [`LoopClosedError`](crate::LoopClosedError) if the transfer would have to wait on a closed
    ///   loop.
    ///
    /// After an error, the file's position shows how many bytes were sent.
    ///
    /// # Cancel safety
    ///
    /// You can drop the transfer at any moment. If it was polled, it sets the file's position to
    /// the offset plus the bytes that the socket took, unless
    /// [`update_position`](SendFile::update_position) is off. The peer can read exactly those
    /// bytes. A transfer that was never polled changes nothing. If an executor thread has begun a
    /// read, it finishes the read on its own.
    ///
    /// # Platform
    ///
    /// The transfer uses sendfile(2) on Linux, FreeBSD and DragonFly, and the fallback elsewhere.
    /// It probes the page cache on Linux only.
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
    /// let transfer = event_loop.sock_sendfile(&near, &file).offset(1).count(7);
    /// assert_eq!(event_loop.run_until_complete(transfer)?, 7);
    /// assert_eq!(file.stream_position()?, 8);
    /// let received = event_loop.run_until_complete(event_loop.sock_recv(&far, 100))?;
    /// assert_eq!(received, b"package");
    ///
    /// // A peer that is gone is an error, and the position still shows that no byte was sent.
    /// drop(far);
    /// let transfer = event_loop.sock_sendfile(&near, &file);
    /// let error = event_loop.run_until_complete(transfer).unwrap_err();
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
        SendFile { event_loop: self.clone(), socket: sock, file, options: Options::default() }
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
    progress: Option<Box<dyn FnMut(u64) + 'a>>,
}

impl Options<'_> {
    fn plan(&self) -> io::Result<Plan> {
        let plan = Plan::new(self.offset, self.count);
        match self.chunk {
            Some(0) => Err(invalid("the chunk is 0, but must be at least 1")),
            Some(chunk) => Ok(plan.with_chunk(chunk)),
            None => Ok(plan),
        }
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

/// A transfer that has not begun, the result of [`sock_sendfile`](LoopHandle::sock_sendfile).
///
/// It does nothing until you await it, or pass it to a method that takes `impl IntoFuture`. `T` is
/// the socket's type, `F` the file's.
#[must_use = "a transfer does nothing unless it is awaited"]
pub struct SendFile<'a, T: AsFd, F: AsFd + ?Sized> {
    event_loop: LoopHandle,
    socket: &'a Socket<T>,
    file: &'a F,
    options: Options<'a>,
}

impl<'a, T: AsFd, F: AsFd + ?Sized> SendFile<'a, T, F> {
    /// Sets the offset of the first byte to send; 0 by default.
    ///
    /// The offset counts from the start of the file. At or past the end, the transfer sends
    /// nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::fs::File;
    /// use sendloop::{Loop, Socket};
    ///
    /// let event_loop = Loop::new()?;
    /// let (near, far) = Socket::pair()?;
    /// let file = File::open("Cargo.toml")?;
    /// let transfer = event_loop.sock_sendfile(&near, &file).offset(1).count(7);
    /// event_loop.run_until_complete(transfer)?;
    /// let received = event_loop.run_until_complete(event_loop.sock_recv(&far, 100))?;
    /// assert_eq!(received, b"package");
    /// # Ok(())
    /// # }
    /// ```
    pub fn offset(mut self, offset: u64) -> Self {
        self.options.offset = offset;
        self
    }

    /// Sets the number of bytes to send; by default all bytes to the end.
    ///
    /// The transfer sends fewer if the file ends first. 0 sends nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::fs::File;
    /// use sendloop::{Loop, Socket};
    ///
    /// let event_loop = Loop::new()?;
    /// let (near, far) = Socket::pair()?;
    /// let file = File::open("Cargo.toml")?;
    /// let transfer = event_loop.sock_sendfile(&near, &file).count(9);
    /// event_loop.run_until_complete(transfer)?;
    /// let received = event_loop.run_until_complete(event_loop.sock_recv(&far, 100))?;
    /// assert_eq!(received, b"[package]");
    /// # Ok(())
    /// # }
    /// ```
    pub fn count(mut self, count: u64) -> Self {
        self.options.count = Some(count);
        self
    }

    /// Sets whether to read and send if sendfile is not available; true by default.
    ///
    /// In the fallback the executor reads blocks of the file, and the loop sends them. With false,
    /// the transfer fails with `Unsupported` instead.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use sendloop::{Loop, Socket};
    ///
    /// let event_loop = Loop::new()?;
    /// let (near, _far) = Socket::pair()?;
    /// let (pipe, _writer) = std::io::pipe()?; // sendfile(2) sends no pipe.
    /// let transfer = event_loop.sock_sendfile(&near, &pipe).fallback(false);
    /// let error = event_loop.run_until_complete(transfer).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    /// # Ok(())
    /// # }
    /// ```
    pub fn fallback(mut self, fallback: bool) -> Self {
        self.options.fallback = fallback;
        self
    }

    /// Sends these bytes before the file, as the header of a response; none by default.
    ///
    /// The header shares a TCP segment with the file's first bytes (MSG_MORE). Otherwise, a TCP
    /// socket without TCP_NODELAY would hold a short file back until the peer has acknowledged the
    /// header, which takes 40 ms.
    ///
    /// The result, the progress and the position count the file's bytes alone. If you drop a
    /// transfer while it sends the header, it may have sent any part of the header. If the first
    /// call finds that sendfile is not available, and you do not allow the fallback, the transfer
    /// has already sent the header.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::fs::File;
    /// use sendloop::{Loop, Socket};
    ///
    /// let event_loop = Loop::new()?;
    /// let (near, far) = Socket::pair()?;
    /// let file = File::open("Cargo.toml")?;
    /// let header = b"HTTP/1.1 200 OK\r\n\r\n";
    /// let transfer = event_loop.sock_sendfile(&near, &file).header(header).count(9);
    /// event_loop.run_until_complete(transfer)?;
    /// let received = event_loop.run_until_complete(event_loop.sock_recv(&far, 100))?;
    /// assert_eq!(received, b"HTTP/1.1 200 OK\r\n\r\n[package]");
    /// # Ok(())
    /// # }
    /// ```
    pub fn header(mut self, header: &'a [u8]) -> Self {
        self.options.header = header;
        self
    }

    /// Sets whether the executor reads missing pages before the send; true by default.
    ///
    /// With true, the loop's thread does not wait for the disk. The transfer probes the page cache
    /// before it sends. If a range is missing, an executor thread first reads it into the page
    /// cache, without a copy, and reads ahead. A probe takes one or two system calls for each MiB,
    /// and again after each wait for the socket. The probes take under 1 % of the time of a large
    /// transfer on ext4, and about 3 % on overlayfs. For file systems in memory (tmpfs, procfs, …),
    /// one probe is enough.
    ///
    /// On remote and unknown file systems (FUSE, NFS, …), any call may take any time. The executor
    /// reads these files, and the loop sends from memory, as in the fallback. If you do not allow
    /// the fallback, the executor reads each range and sendfile sends it. If you know that a file
    /// system is quick, `prefetch(false)` saves the copy. Use it for a tun or tap device too,
    /// because a probe would take a packet.
    ///
    /// If the executor accepts no work, the loop sends everything without prefetch. Without
    /// prefetch, the loop's thread waits for each read from the disk.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::fs::File;
    /// use sendloop::{Loop, Socket};
    ///
    /// let event_loop = Loop::new()?;
    /// let (near, far) = Socket::pair()?;
    /// let file = File::open("Cargo.toml")?;
    /// let transfer = event_loop.sock_sendfile(&near, &file).prefetch(false).count(9);
    /// event_loop.run_until_complete(transfer)?;
    /// let received = event_loop.run_until_complete(event_loop.sock_recv(&far, 100))?;
    /// assert_eq!(received, b"[package]");
    /// # Ok(())
    /// # }
    /// ```
    pub fn prefetch(mut self, prefetch: bool) -> Self {
        self.options.prefetch = prefetch;
        self
    }

    /// Sets whether the transfer sets the file's position at its end; true by default.
    ///
    /// With false, the transfer neither uses nor changes the position, and makes one system call
    /// less. Choose it if many transfers share one open file.
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

    /// Sets the most bytes of one send, and of one read in the fallback.
    ///
    /// By default, a call sends at most 1 MiB, and a read in the fallback takes at most 256 KiB. A
    /// value over 1 MiB counts as 1 MiB. With 0, the transfer fails with `InvalidInput`.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::fs::File;
    /// use sendloop::{Loop, Socket};
    ///
    /// let event_loop = Loop::new()?;
    /// let (near, far) = Socket::pair()?;
    /// let file = File::open("Cargo.toml")?;
    /// let transfer = event_loop.sock_sendfile(&near, &file).chunk(4).count(9);
    /// event_loop.run_until_complete(transfer)?;
    /// assert_eq!(event_loop.stats().sendfile_calls, 3);
    /// # drop(far);
    /// # Ok(())
    /// # }
    /// ```
    pub fn chunk(mut self, bytes: u64) -> Self {
        self.options.chunk = Some(bytes);
        self
    }

    /// Limits the time without progress; no limit by default.
    ///
    /// If no byte moves for this long, the transfer fails with `TimedOut`.
    ///
    /// The limit is not for the whole transfer. It ends a transfer whose peer does not read or
    /// whose disk does not respond. A peer that reads slowly does not reach the limit. The time in
    /// which other tasks send on the socket does not count.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::{fs::File, io, time::Duration};
    /// use sendloop::{Clock, Loop, Socket};
    ///
    /// let event_loop = Loop::builder().clock(Clock::paused()).build()?;
    /// let (near, _far) = Socket::pair()?; // The peer reads nothing.
    /// let mut file = tempfile::tempfile()?;
    /// file.set_len(16 << 20)?;
    /// let limit = Duration::from_secs(60);
    /// let transfer = event_loop.sock_sendfile(&near, &file).stall_timeout(limit);
    /// let error = event_loop.run_until_complete(transfer).unwrap_err();
    /// assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    /// # Ok(())
    /// # }
    /// ```
    pub fn stall_timeout(mut self, limit: Duration) -> Self {
        self.options.stall_timeout = Some(limit);
        self
    }

    /// Calls `progress` with the total sent after each step that sends file bytes.
    ///
    /// The function runs on the loop's thread, inside the transfer's poll. If it panics, the poll
    /// panics, as in any future.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::fs::File;
    /// use sendloop::{Loop, Socket};
    ///
    /// let event_loop = Loop::new()?;
    /// let (near, far) = Socket::pair()?;
    /// let file = File::open("Cargo.toml")?;
    /// let mut sent = 0;
    /// let transfer = event_loop.sock_sendfile(&near, &file).count(9);
    /// event_loop.run_until_complete(transfer.progress(|total| sent = total))?;
    /// assert_eq!(sent, 9);
    /// # drop(far);
    /// # Ok(())
    /// # }
    /// ```
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
            state: FutureState::NotStarted,
        }
    }
}

impl<T: AsFd + fmt::Debug, F: AsFd + ?Sized> fmt::Debug for SendFile<'_, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendFile")
            .field("socket", self.socket)
            .field("file", &DebugFile(self.file.as_fd()))
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
    state: FutureState<'a, T>,
}

enum FutureState<'a, T: AsFd> {
    NotStarted,
    /// Boxed, so that the future of a small send, which never gets here, stays small.
    Running(Box<Transfer<'a, T>>),
    Done,
}

impl<'a, T: AsFd> SendFileFuture<'a, T> {
    /// Begins the transfer, and returns the bytes sent if one call sends everything.
    ///
    /// Without `is_due`, other tasks run first.
    fn begin(&mut self, cx: &Context<'_>, is_due: bool) -> io::Result<Option<u64>> {
        check_nonblocking(&self.event_loop, self.socket.as_fd())?;
        check_arguments(self.socket, self.options.offset)?;
        let (event_loop, options) = (&self.event_loop, &self.options);
        let (socket, file) = (self.socket.as_fd(), self.file);
        let plan = options.plan()?;
        let mut page_cache = PageCache::new(event_loop, file, options.prefetch, options.fallback);
        let is_plain = options.fallback && options.header.is_empty() && options.progress.is_none();
        let may_send = is_due && is_plain && !self.socket.write_lock().is_taken();
        let outcome = match plan.next() {
            Next::Bytes { range, .. } if may_send && page_cache.is_ready_now(&range) => {
                Some(native::send(event_loop, socket, file, &range))
            }
            _ => None,
        };
        if let Some(SendOutcome::Sent(sent)) = outcome {
            // Nearly all small sends end here, without the state of a transfer.
            if options.count == Some(sent as u64) {
                if options.update_position {
                    set_position(file, options.offset + sent as u64);
                }
                return Ok(options.count);
            }
        }
        let mut machine = Machine::new(plan, options);
        if let Some(outcome) = outcome {
            machine.on_outcome(outcome);
        }
        let (update_position, process) = (options.update_position, Process::current());
        let guard = Guard { machine, file, update_position, socket, process };
        let operation = Operation::new(event_loop, self.socket);
        let options = mem::take(&mut self.options);
        let transfer = Transfer::new(guard, operation, page_cache, options, cx);
        self.state = FutureState::Running(Box::new(transfer));
        Ok(None)
    }
}

/// Checks the socket and the offset before any I/O.
fn check_arguments<T: AsFd>(socket: &Socket<T>, offset: u64) -> io::Result<()> {
    match socket.kind()? {
        SocketKind::Datagram => Err(invalid("cannot send a file on a datagram socket")),
        _ if i64::try_from(offset).is_err() => Err(invalid("the offset is beyond i64::MAX")),
        SocketKind::Tcp | SocketKind::Stream => Ok(()),
    }
}

fn invalid(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, problem)
}

impl<T: AsFd> Future for SendFileFuture<'_, T> {
    type Output = io::Result<u64>;

    /// # Panics
    ///
    /// If the caller polls it again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        let this = &mut *self;
        if let FutureState::NotStarted = this.state {
            let is_due = this.event_loop.poll_budget(cx).is_ready();
            // After an error without budget, the next poll begins again.
            if let Some(result) = this.begin(cx, is_due).transpose().filter(|_| is_due) {
                this.state = FutureState::Done;
                this.event_loop.consume_budget(*result.as_ref().unwrap_or(&0));
                return Poll::Ready(result);
            }
            // The transfer has begun even if other tasks run first.
            if !is_due {
                return Poll::Pending;
            }
        }
        let FutureState::Running(transfer) = &mut this.state else {
            panic!("a SendFileFuture was polled after it was ready");
        };
        let result = ready!(transfer.poll(cx));
        this.event_loop.consume_budget(transfer.guard.machine.step_bytes);
        this.state = FutureState::Done;
        Poll::Ready(result)
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for SendFileFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let position = match &self.state {
            FutureState::NotStarted | FutureState::Done => None,
            FutureState::Running(transfer) => Some(transfer.guard.machine.plan.position),
        };
        f.debug_struct("SendFileFuture")
            .field("socket", self.socket)
            .field("file", &DebugFile(self.file))
            .field("position", &position)
            .finish_non_exhaustive()
    }
}
