//! Work that blocks, on the threads of the executor.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use crate::error::{LoopClosedError, TaskError};
use crate::event_loop::LoopHandle;
use crate::pool::{Blocking, Lent};
use crate::sys::{names, uninterrupted};

impl LoopHandle {
    /// Has a thread of the executor run `work`, from now on, whether the result is awaited or not.
    ///
    /// The executor starts threads on demand, at most
    /// [`executor_threads`](crate::Builder::executor_threads). If the system refuses another thread,
    /// the work stays queued, and the loop retries every 10 ms.
    ///
    /// # Errors
    ///
    /// A [`TaskError`], which is
    ///
    /// - [a panic](TaskError::is_panic) if the work panicked;
    /// - [cancelled](TaskError::is_cancelled) if the loop was closed or the executor shut down before;
    /// - neither if the executor has no thread and the system refuses one. The error's `source()` is
    ///   then the system's `io::Error`.
    ///
    /// The executor drops work that it does not run. [`run`](crate::run) also drops the work that is
    /// still queued at its end.
    ///
    /// Closing the loop does not wait for work that runs: a thread that hangs would hang the program.
    ///
    /// # Cancel safety
    ///
    /// Dropping the result leaves the work to end on its own.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let text = event_loop.run_in_executor(|| std::fs::read_to_string("Cargo.toml"));
    /// let text = event_loop.run_until_complete(text).unwrap()?;
    /// assert!(text.contains("sendloop"));
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias("spawn_blocking", "unblock"))]
    pub fn run_in_executor<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Blocking<T> {
        let result = self.pool().run(work);
        self.update_descriptor();
        result
    }

    /// [`run_in_executor`](LoopHandle::run_in_executor) for what is of no use without the result.
    pub(crate) fn errand<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Errand<T> {
        let work: Work<T> = Arc::new(Mutex::new(Some(Box::new(work))));
        let unbegun = work.clone();
        // Taken out before it runs: whoever gives it up does not wait for its end.
        let result = self.run_in_executor(move || take(&unbegun).map(|work| work()));
        Errand { work, result }
    }

    /// A duplicate of the file for such work. `slow` is one whose closing may wait, as its system asks a server: a thread of the executor
    /// does that, when one is free. Any other is closed at once by who lets go of it, and piles up before no busy executor.
    pub(crate) fn lend(&self, file: BorrowedFd<'_>, slow: bool) -> io::Result<Lent> {
        let file = uninterrupted(|| file.try_clone_to_owned())?;
        Ok(self.pool().lend(file.into(), slow))
    }

    /// Takes no more work into the executor, and waits for what it has.
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves the executor shut down.
    pub async fn shutdown_default_executor(&self) {
        self.pool().close();
        poll_fn(|cx| self.pool().poll_ended(cx)).await;
    }

    /// Looks up the addresses of a host, with `port` in each, in the resolver's order.
    ///
    /// `host` is a name or an IP address. The lookup starts when the future is first polled. The
    /// future is `'static`, so it can be a task. asyncio returns tuples of five values. This returns
    /// the addresses alone, and takes no family, protocol or flags.
    /// [`connect`](LoopHandle::connect) looks a host up and connects to it.
    ///
    /// # Errors
    ///
    /// Any error of the resolver. `InvalidInput` if the host name has a zero byte.
    /// [`LoopClosedError`] on a closed loop. A [`TaskError`] if the executor is shut down or cannot
    /// start a thread.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops a lookup that has not begun. One that has begun ends on its thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let addrs = event_loop.run_until_complete(event_loop.getaddrinfo("127.0.0.1", 80))?;
    /// assert_eq!(addrs, ["127.0.0.1:80".parse().unwrap()]);
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias("lookup_host", "resolve"))]
    pub fn getaddrinfo(
        &self,
        host: &str,
        port: u16,
    ) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + use<> {
        let (event_loop, host) = (self.clone(), host.to_owned());
        async move {
            if host.contains('\0') {
                let what = format!("cannot look up {host:?}: a host name has no zero byte");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
            let look_up = move || resolve(&host, port);
            event_loop.outcome(event_loop.errand(look_up).await)
        }
    }

    /// Looks up the names of an address's host and service. It returns numbers if there are none.
    ///
    /// # Errors
    ///
    /// Any error of the resolver. [`LoopClosedError`] on a closed loop. A [`TaskError`] if the
    /// executor is shut down or cannot start a thread.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops a lookup that has not begun. One that has begun ends on its thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let names = event_loop.getnameinfo(([127, 0, 0, 1], 80).into());
    /// let (host, service) = event_loop.run_until_complete(names)?;
    /// assert!(!host.is_empty() && !service.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn getnameinfo(
        &self,
        addr: SocketAddr,
    ) -> impl Future<Output = io::Result<(String, String)>> + use<> {
        let event_loop = self.clone();
        async move {
            let look_up = event_loop.errand(move || names::name_of(&addr));
            event_loop.outcome(look_up.await)
        }
    }

    /// Converts the result of executor work that does I/O. If the work was cancelled, the error
    /// tells a closed loop from an executor that was shut down.
    fn outcome<T>(&self, result: Result<io::Result<T>, TaskError>) -> io::Result<T> {
        match result {
            Ok(result) => result,
            Err(error) if error.is_cancelled() && self.is_closed() => Err(LoopClosedError.into()),
            Err(error) => Err(error.into()),
        }
    }
}

fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    match (host, port).to_socket_addrs() {
        Ok(addrs) => Ok(addrs.collect()),
        Err(error) if error.raw_os_error().is_some() => Err(error),
        Err(error) => {
            let what = format!("cannot look up {host:?}: {error}");
            Err(io::Error::new(error.kind(), what))
        }
    }
}

type Body<T> = Box<dyn FnOnce() -> T + Send>;
type Work<T> = Arc<Mutex<Option<Body<T>>>>;

/// The work of an [`Errand`], locked. In a forked child `None` if a thread of the parent held the
/// lock.
fn lock<T>(work: &Work<T>, is_inherited: bool) -> Option<MutexGuard<'_, Option<Body<T>>>> {
    if is_inherited {
        return work.try_lock().ok();
    }
    Some(work.lock().unwrap_or_else(PoisonError::into_inner))
}

fn take<T>(work: &Work<T>) -> Option<Body<T>> {
    lock(work, false)?.take()
}

/// The result of work in the executor that nobody does for its own sake. Dropping it drops the work with all that it holds, where
/// it has not begun: the executor may be busy for long, and what is given up again and again would pile up before it.
pub(crate) struct Errand<T> {
    work: Work<T>,
    result: Blocking<Option<T>>,
}

impl<T> Future for Errand<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let done = ready!(Pin::new(&mut self.result).poll(cx));
        Poll::Ready(done.and_then(|result| result.ok_or_else(TaskError::cancelled)))
    }
}

impl<T> Drop for Errand<T> {
    fn drop(&mut self) {
        let work = lock(&self.work, self.result.is_inherited());
        // The lock is released before the work is dropped.
        let work = work.and_then(|mut work| work.take());
        drop(work);
    }
}

impl<T> fmt::Debug for Errand<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.result.fmt(f)
    }
}
