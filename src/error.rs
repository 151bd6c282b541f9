//! The crate's error types, and helpers that catch panics.

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
pub struct TaskError(pub(crate) TaskErrorKind);

pub(crate) enum TaskErrorKind {
    Cancelled,
    /// The work was submitted after the executor was shut down or its loop closed.
    ShutDown,
    /// The mutex makes the error `Sync`, although a panic payload may not be.
    Panic(Box<Mutex<Payload>>),
    /// The executor has no thread and could not start one.
    NoThread(io::Error),
}

/// The value that a panic carries, as [`catch_unwind`] returns it.
pub(crate) type Payload = Box<dyn Any + Send>;

impl TaskError {
    pub(crate) fn cancelled() -> TaskError {
        TaskError(TaskErrorKind::Cancelled)
    }

    pub(crate) fn panic(payload: Payload) -> TaskError {
        TaskError(TaskErrorKind::Panic(Box::new(Mutex::new(payload))))
    }

    /// Returns true if the work was cancelled.
    ///
    /// The reason is a cancelled task, a dropped promise, a closed loop, or an executor that is
    /// shut down.
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
        matches!(self.0, TaskErrorKind::Cancelled | TaskErrorKind::ShutDown)
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
        matches!(self.0, TaskErrorKind::Panic(_))
    }

    /// Returns the payload of the panic, for [`std::panic::resume_unwind`] or a downcast.
    ///
    /// # Panics
    ///
    /// If the error is not a panic. Check [`is_panic`](TaskError::is_panic) first.
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
        match self.0 {
            TaskErrorKind::Panic(payload) => {
                Ok(payload.into_inner().unwrap_or_else(PoisonError::into_inner))
            }
            other => Err(TaskError(other)),
        }
    }
}

impl fmt::Debug for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskError({self})")
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            TaskErrorKind::Cancelled => f.write_str("cancelled"),
            TaskErrorKind::ShutDown => f.write_str("cancelled: the executor is shut down"),
            TaskErrorKind::Panic(payload) => {
                let payload = payload.lock().unwrap_or_else(PoisonError::into_inner);
                let message = panic_message(&**payload).to_owned();
                // The formatter is foreign code, which may format this error too.
                drop(payload);
                write!(f, "panicked: {message}")
            }
            TaskErrorKind::NoThread(error) => {
                write!(f, "the executor cannot start a thread: {error}")
            }
        }
    }
}

/// If the executor could not start a thread, the source is the system's `io::Error`.
impl Error for TaskError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            TaskErrorKind::NoThread(error) => Some(error),
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

/// Returns the text of a panic payload.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&'static str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a value that is not text")
}

/// Drops a panic payload.
///
/// The payload's destructor may panic with another payload, and so on. This leaks the ninth
/// payload.
pub(crate) fn discard(mut payload: Payload) {
    for _ in 0..8 {
        match catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            Ok(()) => return,
            Err(next) => payload = next,
        }
    }
    mem::forget(payload);
}

/// Runs user code, and logs its panic.
pub(crate) fn log_panic(when: &str, f: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(f)) {
        log::error!("panic {when}: {}", panic_message(&*panic));
        discard(panic);
    }
}

/// Wakes a waker, and logs its panic, so that the caller can wake the next one.
pub(crate) fn wake(waker: Waker) {
    let when = "in a waker";
    bounded(Kind::Wake, when, move || log_panic(when, || waker.wake()));
}

/// Drops a value on bounded stack, as its destructor may drop more values of its kind.
#[inline]
pub(crate) fn drop_bounded<T: 'static>(kind: Kind, when: &'static str, value: T) {
    if mem::needs_drop::<T>() {
        bounded(kind, when, move || drop(value));
    }
}

/// Performs an action of user code on bounded stack.
///
/// Its panic unwinds to the caller. If the action must be queued, its panic is logged.
#[inline]
pub(crate) fn bounded(kind: Kind, when: &'static str, action: impl FnOnce() + 'static) {
    if nesting::is_full(kind) {
        nesting::queue(move || log_panic(when, action));
    } else {
        nesting::run(kind, action);
    }
}

/// The error of [`wait_for`](crate::LoopHandle::wait_for) after its timeout.
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

/// The error of an operation whose loop is closed.
///
/// If an operation would have to wait on a closed loop, it fails with an `io::Error` of kind
/// `Other` that wraps this error.
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

/// The text of the error or panic of a loop that a forked child inherited.
pub(crate) const INHERITED: &str = "this event loop belongs to the parent process: a forked child \
     cannot run or use it; create another loop in the child";

#[cold]
pub(crate) fn inherited() -> io::Error {
    io::Error::other(INHERITED)
}

/// The progress of a transfer when sendfile(2) turned out to be unavailable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendfilePhase {
    /// sendfile does not support this kind of file, so the transfer made no call. It sent neither
    /// the header nor a byte of the file.
    Inspect,
    /// The kernel refused the first call. The transfer sent the header, but no byte of the file.
    Begin,
    /// The kernel refused a later call, or the file changed to a kind that sendfile does not
    /// support. The transfer sent [`sent`](SendfileNotAvailableError::sent) bytes of the file.
    Midway,
}

/// The error of a transfer without a fallback if sendfile(2) does not support the file or the
/// socket.
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
    pub(crate) errno: Option<i32>,
    pub(crate) sent: u64,
}

impl SendfileNotAvailableError {
    /// Returns the errno of the system call, or `None` if there was no call.
    ///
    /// The transfer makes no call for a kind of file that sendfile does not support. A file that
    /// was opened with `O_DIRECT` is one.
    ///
    /// # Examples
    ///
    /// ```
    /// use sendloop::{SendfileNotAvailableError, Socket};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// sendloop::run(async |event_loop| {
    ///     let (near, _far) = Socket::pair()?;
    ///     let (file, _writer) = std::io::pipe()?; // sendfile(2) sends no pipe.
    ///     let error = event_loop.sock_sendfile(&near, &file).fallback(false).await.unwrap_err();
    ///     let error = error.downcast::<SendfileNotAvailableError>().unwrap();
    ///     println!("the system call failed with {:?}", error.errno());
    ///     # std::io::Result::Ok(())
    /// })?
    /// # }
    /// ```
    pub fn errno(&self) -> Option<i32> {
        self.errno
    }

    /// Returns the progress of the transfer when sendfile turned out to be unavailable.
    ///
    /// # Examples
    ///
    /// ```
    /// use sendloop::{SendfileNotAvailableError, SendfilePhase, Socket};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// sendloop::run(async |event_loop| {
    ///     let (near, _far) = Socket::pair()?;
    ///     let (file, _writer) = std::io::pipe()?; // sendfile(2) sends no pipe.
    ///     let error = event_loop.sock_sendfile(&near, &file).fallback(false).await.unwrap_err();
    ///     let error = error.downcast::<SendfileNotAvailableError>().unwrap();
    ///     assert_ne!(error.phase(), SendfilePhase::Midway);
    ///     # std::io::Result::Ok(())
    /// })?
    /// # }
    /// ```
    pub fn phase(&self) -> SendfilePhase {
        match self.errno {
            _ if self.sent > 0 => SendfilePhase::Midway,
            None => SendfilePhase::Inspect,
            Some(_) => SendfilePhase::Begin,
        }
    }

    /// Returns the number of file bytes sent.
    ///
    /// # Examples
    ///
    /// ```
    /// use sendloop::{SendfileNotAvailableError, Socket};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// sendloop::run(async |event_loop| {
    ///     let (near, _far) = Socket::pair()?;
    ///     let (file, _writer) = std::io::pipe()?; // sendfile(2) sends no pipe.
    ///     let error = event_loop.sock_sendfile(&near, &file).fallback(false).await.unwrap_err();
    ///     let error = error.downcast::<SendfileNotAvailableError>().unwrap();
    ///     assert_eq!(error.sent(), 0);
    ///     # std::io::Result::Ok(())
    /// })?
    /// # }
    /// ```
    pub fn sent(&self) -> u64 {
        self.sent
    }
}

impl fmt::Display for SendfileNotAvailableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sendfile is not available for this file and socket")?;
        if self.sent > 0 {
            write!(f, " after {} bytes", self.sent)?;
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
