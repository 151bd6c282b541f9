//! Work that blocks, on the threads of the executor.

use std::fmt;
use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use crate::error::{LoopClosed, TaskError};
use crate::event_loop::LoopHandle;
use crate::pool::{Blocking, Lent};
use crate::sys::{names, uninterrupted};

impl LoopHandle {
    /// Has a thread of the executor run `work`, from now on, whether the result is awaited or not.
    ///
    /// Threads are started when they are needed, at most [`executor_threads`](crate::Builder::executor_threads). A panic becomes
    /// [`TaskError::Panicked`]; after the loop is closed or the executor shut down, the work is
    /// dropped and the result is [`TaskError::Cancelled`]. [`run`](crate::run) also drops what is still queued at its end.
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
    pub fn run_in_executor<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Blocking<T> {
        self.pool().run(work)
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
    pub(crate) fn lend(&self, file: &File, slow: bool) -> io::Result<Lent> {
        let file = uninterrupted(|| file.try_clone())?;
        Ok(self.pool().lend(file, slow))
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

    /// The addresses of a host's name (or of an address written out), with `port` in each, in the system's order of preference.
    ///
    /// asyncio gives tuples of five; here are the addresses, and families, protocols and flags are not asked for.
    ///
    /// # Errors
    ///
    /// What the resolver says.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves the lookup to end on its thread.
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
    pub async fn getaddrinfo(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let host = host.to_owned();
        let look_up = move || (host.as_str(), port).to_socket_addrs().map(Vec::from_iter);
        outcome(self.run_in_executor(look_up).await)
    }

    /// The names of an address's host and service; numbers where there are none.
    ///
    /// # Errors
    ///
    /// What the resolver says.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves the lookup to end on its thread.
    pub async fn getnameinfo(&self, addr: SocketAddr) -> io::Result<(String, String)> {
        outcome(self.run_in_executor(move || names::name_of(&addr)).await)
    }
}

type Work<T> = Arc<Mutex<Option<Box<dyn FnOnce() -> T + Send>>>>;

fn take<T>(work: &Work<T>) -> Option<Box<dyn FnOnce() -> T + Send>> {
    work.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// The result of work in the executor that nobody does for its own sake. Dropping it drops the work with all that it holds, where
/// it has not begun: the executor may be busy for long, and what is given up again and again would pile up before it.
pub(crate) struct Errand<T> {
    work: Work<T>,
    result: Blocking<Option<T>>,
}

impl<T> Errand<T> {
    pub(crate) fn has_begun(&self) -> bool {
        let work = self.work.lock();
        work.unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

impl<T> Future for Errand<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let done = ready!(Pin::new(&mut self.result).poll(cx));
        Poll::Ready(done.and_then(|result| result.ok_or(TaskError::Cancelled)))
    }
}

impl<T> Drop for Errand<T> {
    fn drop(&mut self) {
        drop(take(&self.work));
    }
}

impl<T> fmt::Debug for Errand<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.result.fmt(f)
    }
}

fn outcome<T>(result: Result<io::Result<T>, TaskError>) -> io::Result<T> {
    match result {
        Ok(result) => result,
        Err(TaskError::Cancelled) => Err(LoopClosed.into()),
        Err(error) => Err(io::Error::other(error.to_string())),
    }
}
