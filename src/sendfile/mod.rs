//! Sending a file over a stream socket.
//!
//! # Who holds what
//!
//! The user holds a [`SendFile`]; from its first poll on that holds a [`Transfer`]: the [`machine`] which knows how far it is
//! and what comes next, the turn among the socket's writers, the waiting for the socket, and the reading where sendfile is not
//! available. [`plan`] counts, [`machine`] decides, [`native`] and [`fallback`] call the system, [`position`] is the way out.
//! The driver below does what the machine says and decides nothing.
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
//!
//! # Situations
//!
//! - *Dropped while parked*: the waiting takes its waker out of the reactor, the position is set, the next writer is woken.
//! - *Dropped while the executor reads*: the thread ends on its own with its duplicate of the file; its block is dropped.
//! - *The loop is closed under it*: a transfer in a task is dropped with it; one that is polled elsewhere is woken, finds its
//!   poller gone and ends with [`LoopClosed`](crate::LoopClosed).
//! - *The file shrinks*: a call sends nothing though bytes are owed. One read says whether it is the end; nothing is repeated.

mod fallback;
mod machine;
mod native;
mod plan;
mod position;

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::event_loop::LoopHandle;
use crate::reactor::{Direction, Waiting};
use crate::ready_io::{check_nonblocking, poll_wait};
use crate::socket::Socket;
use crate::sys::socket::Kind;
use crate::turns::Turn;
use fallback::Reader;
use machine::{Answer, Machine, Step};
use plan::Plan;
use position::Positioned;

impl LoopHandle {
    /// Sends a file over a stream socket, by sendfile(2) where the system can, and gives the number of the file's bytes sent.
    ///
    /// The result is a future whose methods are asyncio's keyword arguments: [`offset`](SendFile::offset),
    /// [`count`](SendFile::count), [`fallback`](SendFile::fallback). Without them the whole file is sent, from its start,
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
    /// - No more than 1 MiB per system call and some 2 MiB in a row are sent before other tasks run. A peer that does not read costs
    ///   nothing.
    ///
    /// Bytes that the kernel has taken still are the file's pages: where the file is overwritten in place before the peer
    /// has read them, the peer may get the new ones. Replace files by renaming, not by rewriting.
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
    /// - [`LoopClosed`](crate::LoopClosed) where it would have to wait on a closed loop.
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
    /// Native on Linux; elsewhere the fallback.
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
            offset: 0,
            count: None,
            fallback: true,
            state: State::Unbegun,
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
    offset: u64,
    count: Option<u64>,
    fallback: bool,
    state: State<'a>,
}

enum State<'a> {
    Unbegun,
    Begun(Transfer<'a>),
    Over,
}

impl<T: AsFd> SendFile<'_, T> {
    /// Where in the file to begin, in bytes from its start; 0 unless set. At or past the end nothing is sent.
    pub fn offset(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// How many bytes to send: exactly so many, or fewer where the file ends first. Until the end unless set; 0 sends nothing.
    pub fn count(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// Whether to read and send where sendfile is not available; true unless set.
    pub fn fallback(mut self, fallback: bool) -> Self {
        self.fallback = fallback;
        self
    }

    fn begin(&mut self) -> io::Result<()> {
        check_nonblocking(&self.event_loop, self.socket)?;
        let problem = match self.socket.kind() {
            Kind::Datagram | Kind::NotSocket => "sendfile needs a stream socket",
            _ if i64::try_from(self.offset).is_err() => "an offset is at most i64::MAX",
            Kind::Tcp | Kind::Stream => {
                let machine = Machine::new(Plan::new(self.offset, self.count), self.fallback);
                self.state = State::Begun(Transfer {
                    positioned: Positioned::new(machine, self.file),
                    waiting: Waiting::default(),
                    turn: Turn::new(self.socket.turns()),
                    reader: None,
                });
                return Ok(());
            }
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, problem))
    }
}

impl<T: AsFd> Future for SendFile<'_, T> {
    type Output = io::Result<u64>;

    /// # Panics
    ///
    /// If it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        let this = &mut *self;
        if let State::Unbegun = this.state {
            ready!(this.event_loop.poll_budget(cx));
            if let Err(error) = this.begin() {
                this.state = State::Over;
                return Poll::Ready(Err(error));
            }
        }
        let State::Begun(transfer) = &mut this.state else {
            panic!("a SendFile was polled after it was ready");
        };
        let result = ready!(transfer.poll(&this.event_loop, this.socket, this.file, cx));
        this.event_loop
            .spend_budget(transfer.positioned.machine.spent());
        this.state = State::Over;
        Poll::Ready(result)
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for SendFile<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let position = match &self.state {
            State::Unbegun | State::Over => None,
            State::Begun(transfer) => Some(transfer.positioned.machine.position()),
        };
        f.debug_struct("SendFile")
            .field("socket", self.socket)
            .field("file", self.file)
            .field("offset", &self.offset)
            .field("count", &self.count)
            .field("fallback", &self.fallback)
            .field("position", &position)
            .finish()
    }
}

/// A transfer that has begun. Its fields end in this order: the position is right before the next writer is woken.
struct Transfer<'a> {
    positioned: Positioned<'a>,
    waiting: Waiting,
    turn: Turn<'a>,
    reader: Option<Reader>,
}

impl Transfer<'_> {
    fn poll<T: AsFd>(
        &mut self,
        event_loop: &LoopHandle,
        socket: &Socket<T>,
        file: &File,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<u64>> {
        let machine = &mut self.positioned.machine;
        if !machine.is_done() {
            ready!(self.turn.poll(cx));
        }
        machine.begin_turn(socket.may_be_ready(event_loop, Direction::Write));
        loop {
            match machine.step() {
                Step::Learn => {
                    native::keep_nonblocking(socket.as_fd());
                    machine.learned(native::facts(file));
                }
                Step::Send { offset, len } => {
                    let answer = native::send(socket.as_fd(), file, offset, len);
                    count(event_loop, &answer);
                    machine.answered(answer);
                }
                Step::Read { offset, len } => {
                    let reader = match &mut self.reader {
                        Some(reader) => reader,
                        None => self.reader.insert(Reader::new(event_loop, file)?),
                    };
                    machine.filled(ready!(reader.poll_read(event_loop, cx, offset, len)));
                }
                Step::Drain(range) => {
                    let reader = self.reader.as_ref().expect("what is sent was read");
                    machine.answered(native::send_bytes(socket.as_fd(), reader.bytes(range)));
                }
                Step::Wait => {
                    let waiting = &mut self.waiting;
                    return poll_wait(event_loop, socket, Direction::Write, waiting, cx).map(Err);
                }
                Step::Yield => {
                    event_loop.counters().sendfile_yields.add(1);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Step::End => return Poll::Ready(machine.result()),
            }
        }
    }
}

fn count(event_loop: &LoopHandle, answer: &Answer) {
    let counters = event_loop.counters();
    counters.sendfile_calls.add(1);
    if let Answer::WouldBlock = answer {
        counters.sendfile_would_block.add(1);
    }
}
