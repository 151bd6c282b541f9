//! The errors that are not an `io::Error` of the system.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;

use crate::nesting::{self, Kind};

/// The reason why a task, a promise or executor work has no result.
///
/// The type is opaque and `Sync`, so `?` converts it into an `io::Error`, a boxed error or an
/// `anyhow::Error`.
///
/// # Examples
///
/// ```
/// use std::error::Error;
///
/// async fn both(
///     event_loop: sendloop::LoopHandle,
/// ) -> Result<i32, Box<dyn Error + Send + Sync>> {
///     let task = event_loop.create_task(async { 1 });
///     let work = event_loop.run_in_executor(|| 2);
///     Ok(task.await? + work.await?)
/// }
///
/// # fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
/// assert_eq!(sendloop::run(both)??, 3);
/// # Ok(())
/// # }
/// ```
pub struct TaskError {
    reason: Reason,
}

enum Reason {
    Cancelled,
    ShutDown,
    /// The mutex makes the error `Sync`: a panic payload need not be.
    Panic(Box<Mutex<Payload>>),
    NoThread(io::Error),
}

/// The value that a panic carries, as [`catch_unwind`] returns it.
pub(crate) type Payload = Box<dyn Any + Send>;

impl TaskError {
    pub(crate) fn cancelled() -> TaskError {
        let reason = Reason::Cancelled;
        TaskError { reason }
    }

    /// The executor was shut down, or its loop closed, before the work was submitted.
    pub(crate) fn shut_down() -> TaskError {
        let reason = Reason::ShutDown;
        TaskError { reason }
    }

    pub(crate) fn panic(payload: Payload) -> TaskError {
        let reason = Reason::Panic(Box::new(Mutex::new(payload)));
        TaskError { reason }
    }

    /// The executor has no thread, and the system refused to start one.
    pub(crate) fn no_thread(error: io::Error) -> TaskError {
        let reason = Reason::NoThread(error);
        TaskError { reason }
    }

    /// Returns true if the work was cancelled.
    ///
    /// That is so if the task was cancelled, the promise was dropped, the loop was closed, or the
    /// executor was shut down.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.reason, Reason::Cancelled | Reason::ShutDown)
    }

    /// Returns true if the task or the executor work panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self.reason, Reason::Panic(_))
    }

    /// Returns the panic's payload, for [`std::panic::resume_unwind`] or a downcast.
    ///
    /// # Panics
    ///
    /// If the error is not a panic. Ask [`is_panic`](TaskError::is_panic) first.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let task = event_loop.create_task(async { panic!("no") });
    /// let error = event_loop.run_until_complete(task).unwrap_err();
    /// assert!(error.is_panic());
    /// assert_eq!(error.into_panic().downcast_ref(), Some(&"no"));
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        match self.try_into_panic() {
            Ok(payload) => payload,
            Err(error) => panic!("into_panic was called on an error that is not a panic: {error}"),
        }
    }

    /// Returns the panic's payload, or the error itself if it is not a panic.
    pub(crate) fn try_into_panic(self) -> Result<Payload, TaskError> {
        match self.reason {
            Reason::Panic(payload) => {
                Ok(payload.into_inner().unwrap_or_else(PoisonError::into_inner))
            }
            reason => Err(TaskError { reason }),
        }
    }
}

impl fmt::Debug for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::Cancelled => f.write_str("Cancelled"),
            Reason::ShutDown => f.write_str("ShutDown"),
            Reason::Panic(payload) => write!(f, "Panic({:?})", message_of(payload)),
            Reason::NoThread(error) => f.debug_tuple("NoThread").field(error).finish(),
        }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::Cancelled => f.write_str("cancelled"),
            Reason::ShutDown => f.write_str("cancelled: the executor is shut down"),
            Reason::Panic(payload) => write!(f, "panicked: {}", message_of(payload)),
            Reason::NoThread(error) => write!(f, "the executor cannot start a thread: {error}"),
        }
    }
}

/// If the executor could not start a thread, the source is the system's `io::Error`.
impl Error for TaskError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.reason {
            Reason::NoThread(error) => Some(error),
            _ => None,
        }
    }
}

/// Wraps the error, with kind `Other`, so that `?` works in functions that return `io::Result`.
///
/// `get_ref` and `downcast` return the `TaskError` again, with its panic payload or its source.
impl From<TaskError> for io::Error {
    fn from(error: TaskError) -> io::Error {
        io::Error::other(error)
    }
}

fn message_of(payload: &Mutex<Payload>) -> String {
    let payload = payload.lock().unwrap_or_else(PoisonError::into_inner);
    panic_message(&**payload).to_owned()
}

/// What a panic said, where it said it in words.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "a value that is not text"
    }
}

/// Reports a panic that no caller is left to see.
pub(crate) fn report_panic(when: &str, payload: Payload) {
    log::error!("panic {when}: {}", panic_message(&*payload));
    discard(payload);
}

/// Drops what was panicked with, which may panic as it is dropped, and so may what it panics with. What goes on like that keeps
/// its memory.
pub(crate) fn discard(mut payload: Payload) {
    for _ in 0..8 {
        match catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            Ok(()) => return,
            Err(again) => payload = again,
        }
    }
    mem::forget(payload);
}

/// Runs code of the user's whose panic must go no further, as where much is dropped and the rest must be dropped too.
pub(crate) fn quietly(when: &str, f: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(f)) {
        report_panic(when, panic);
    }
}

/// Wakes a waker, which may be of foreign make: its panic must not keep the next one from being woken.
pub(crate) fn wake(waker: Waker) {
    let wake = || quietly("in a waker", || waker.wake());
    if nesting::is_full(Kind::Wake) {
        nesting::queue(wake);
    } else {
        nesting::run(Kind::Wake, wake);
    }
}

/// Drops a value whose destructor may set off more of its kind, on bounded stack.
///
/// The destructor's panic comes out of here. If the drop has to be queued, its panic is logged.
#[inline]
pub(crate) fn drop_bounded<T: 'static>(kind: Kind, when: &'static str, value: T) {
    if !mem::needs_drop::<T>() {
        return;
    }
    if nesting::is_full(kind) {
        nesting::queue(move || quietly(when, || drop(value)));
    } else {
        nesting::run(kind, || drop(value));
    }
}

/// The time given to [`wait_for`](crate::LoopHandle::wait_for) ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeoutError;

impl fmt::Display for TimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time ran out")
    }
}

impl Error for TimeoutError {}

impl From<TimeoutError> for io::Error {
    fn from(error: TimeoutError) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, error)
    }
}

/// The loop is closed: it runs nothing and waits for nothing any more.
///
/// An operation of a closed loop that would have to wait fails with an `io::Error` of kind `Other` that wraps this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoopClosedError;

impl fmt::Display for LoopClosedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the event loop is closed")
    }
}

impl Error for LoopClosedError {}

impl From<LoopClosedError> for io::Error {
    fn from(error: LoopClosedError) -> io::Error {
        io::Error::other(error)
    }
}

/// What a loop that a forked child has inherited fails or panics with.
pub(crate) const INHERITED: &str = "this event loop belongs to the parent process: a forked child \
     cannot run or use it, and needs a loop of its own";

#[cold]
pub(crate) fn inherited() -> io::Error {
    io::Error::other(INHERITED)
}

/// How far a transfer was when sendfile turned out to be not available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendfilePhase {
    /// The system call was not made: the file is none that it serves. Nothing was sent, no header either.
    Inspect,
    /// The system refused the first call: of the file nothing was sent. A header was.
    Begin,
    /// The system refused a later call, behind [`sent`](SendfileNotAvailableError::sent) bytes; or the file has become one that
    /// it does not serve.
    Midway,
}

/// sendfile(2) cannot serve this file and socket, and the fallback was not allowed.
///
/// It comes inside an `io::Error` of kind `Unsupported`, from [`sock_sendfile`](crate::LoopHandle::sock_sendfile) with
/// `.fallback(false)` and from [`try_sendfile`](crate::LoopHandle::try_sendfile).
///
/// # Examples
///
/// ```
/// use sendloop::SendfileNotAvailableError;
///
/// fn why(error: &std::io::Error) -> Option<i32> {
///     let inner = error.get_ref()?.downcast_ref::<SendfileNotAvailableError>()?;
///     inner.errno()
/// }
/// # assert_eq!(why(&std::io::Error::other("x")), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendfileNotAvailableError {
    errno: Option<i32>,
    phase: SendfilePhase,
    sent: u64,
}

impl SendfileNotAvailableError {
    pub(crate) fn new(errno: Option<i32>, sent: u64) -> SendfileNotAvailableError {
        let phase = match errno {
            _ if sent > 0 => SendfilePhase::Midway,
            None => SendfilePhase::Inspect,
            Some(_) => SendfilePhase::Begin,
        };
        SendfileNotAvailableError { errno, phase, sent }
    }

    /// What the system call said; `None` where it was not asked, as for a file opened with `O_DIRECT`.
    pub fn errno(&self) -> Option<i32> {
        self.errno
    }

    /// How far the transfer was.
    pub fn phase(&self) -> SendfilePhase {
        self.phase
    }

    /// How many of the file's bytes had been sent.
    pub fn sent(&self) -> u64 {
        self.sent
    }
}

impl fmt::Display for SendfileNotAvailableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sendfile is not available for this file and socket")?;
        if self.phase == SendfilePhase::Midway {
            write!(f, " behind {} bytes", self.sent)?;
        }
        match self.errno {
            Some(errno) => write!(f, ": {}", io::Error::from_raw_os_error(errno)),
            None => Ok(()),
        }
    }
}

impl Error for SendfileNotAvailableError {}

impl From<SendfileNotAvailableError> for io::Error {
    fn from(error: SendfileNotAvailableError) -> io::Error {
        io::Error::new(io::ErrorKind::Unsupported, error)
    }
}
