//! The crate's error types, and helpers that contain panics.

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
#[doc(alias = "JoinError")]
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
    ///
    /// # Examples
    ///
    /// ```
    /// # let event_loop = sendloop::Loop::new().unwrap();
    /// let task = event_loop.create_task(std::future::pending::<()>());
    /// task.cancel();
    /// assert!(event_loop.run_until_complete(task).unwrap_err().is_cancelled());
    /// ```
    pub fn is_cancelled(&self) -> bool {
        matches!(self.reason, Reason::Cancelled | Reason::ShutDown)
    }

    /// Returns true if the task or the executor work panicked.
    ///
    /// # Examples
    ///
    /// ```
    /// # let event_loop = sendloop::Loop::new().unwrap();
    /// let work = event_loop.run_in_executor(|| panic!("no"));
    /// let error: sendloop::TaskError = event_loop.run_until_complete(work).unwrap_err();
    /// assert!(error.is_panic());
    /// assert_eq!(error.to_string(), "panicked: no");
    /// ```
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

/// Returns the text of a panic payload.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "a value that is not text"
    }
}

/// Logs a panic that no caller sees.
pub(crate) fn report_panic(when: &str, payload: Payload) {
    log::error!("panic {when}: {}", panic_message(&*payload));
    discard(payload);
}

/// Drops a panic payload, which may panic as it is dropped, with a payload that may panic in turn.
/// After eight of them the payload is leaked.
pub(crate) fn discard(mut payload: Payload) {
    for _ in 0..8 {
        match catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            Ok(()) => return,
            Err(again) => payload = again,
        }
    }
    mem::forget(payload);
}

/// Runs user code and logs its panic, so that the caller goes on.
pub(crate) fn quietly(when: &str, f: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(f)) {
        report_panic(when, panic);
    }
}

/// Wakes a waker. A foreign waker may panic, which must not keep the next one from being woken.
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

/// The error of [`wait_for`](crate::LoopHandle::wait_for) if the time runs out.
///
/// It converts into an `io::Error` of kind `TimedOut`.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// let error = sendloop::run(async |event_loop| -> std::io::Result<()> {
///     let never = std::future::pending();
///     Ok(event_loop.wait_for(never, Duration::from_millis(1)).await?)
/// })?
/// .unwrap_err();
/// assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
/// # Ok(())
/// # }
/// ```
#[doc(alias = "Elapsed")]
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

/// The error of an operation that needs a loop which is closed.
///
/// If an operation of a closed loop would have to wait, it fails with an `io::Error` of kind `Other`
/// that wraps this.
///
/// # Examples
///
/// ```
/// # let event_loop = sendloop::Loop::new().unwrap();
/// let remote = event_loop.remote();
/// drop(event_loop);
/// assert_eq!(remote.call_soon_threadsafe(|| {}), Err(sendloop::LoopClosedError));
/// ```
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

/// The text of the error or panic of a loop that a forked child has inherited.
pub(crate) const INHERITED: &str = "this event loop belongs to the parent process: a forked child \
     cannot run or use it, and needs a loop of its own";

#[cold]
pub(crate) fn inherited() -> io::Error {
    io::Error::other(INHERITED)
}

/// The progress of a transfer at the time at which sendfile(2) could not serve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendfilePhase {
    /// The file is of a kind that sendfile does not serve, so there was no call. Neither the header
    /// nor a byte of the file was sent.
    Inspect,
    /// The kernel refused the first call. The header was sent, but no byte of the file.
    Begin,
    /// The kernel refused a later call, or the file changed to a kind that sendfile does not serve.
    /// [`sent`](SendfileNotAvailableError::sent) bytes of the file were sent.
    Midway,
}

/// The error of a transfer without a fallback if sendfile(2) cannot serve the file or the socket.
///
/// [`sock_sendfile`](crate::LoopHandle::sock_sendfile) with `.fallback(false)` and
/// [`try_sendfile`](crate::LoopHandle::try_sendfile) return it inside an `io::Error` of kind
/// `Unsupported`.
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

    /// Returns the errno of the system call, or `None` if there was no call.
    ///
    /// There is none for a file of a kind that sendfile does not serve, as one opened with `O_DIRECT`.
    pub fn errno(&self) -> Option<i32> {
        self.errno
    }

    /// Returns how far the transfer was.
    pub fn phase(&self) -> SendfilePhase {
        self.phase
    }

    /// Returns the number of the file's bytes that were sent.
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
