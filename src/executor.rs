//! Methods that run blocking work on the executor's threads.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::BorrowedFd;

use crate::error::{LoopClosedError, TaskError};
use crate::event_loop::LoopHandle;
use crate::pool::{Blocking, LentFile};
use crate::sys::{names, uninterrupted};

impl LoopHandle {
    /// Runs `work` on a thread of the executor, the pool for blocking work.
    ///
    /// The work starts at once, whether the result is awaited or not. The executor starts threads
    /// on demand, at most [`executor_threads`](crate::Builder::executor_threads). If the system
    /// refuses another thread, the work stays queued, and the loop retries every 10 ms.
    ///
    /// # Errors
    ///
    /// - [A panic](TaskError::is_panic) if the work panicked.
    /// - [Cancelled](TaskError::is_cancelled) if the loop was closed or the executor shut down
    ///   before this call, or if [`run`](crate::run) dropped the work, which was still queued at
    ///   its end.
    /// - A [`TaskError`] that is neither of these if the executor has no thread and the system
    ///   refuses to start one. The error's `source()` is the system's `io::Error`.
    ///
    /// If the executor does not run the work, it drops the closure.
    ///
    /// Closing the loop does not wait for running work, because a thread that hangs would then hang
    /// the program.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not stop the work. The executor then drops the result.
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
        let result = self.inner.pool.run(work);
        self.inner.update_descriptor();
        result
    }

    /// Runs `work` like [`run_in_executor`](LoopHandle::run_in_executor). But if the future is
    /// dropped before a thread begins the work, this drops the work too.
    pub(crate) fn run_cancel_on_drop<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Blocking<T> {
        self.run_in_executor(work).cancel_on_drop()
    }

    /// Duplicates a file for executor work.
    ///
    /// If `is_slow`, closing the file may wait for a server, so an executor thread does it when one
    /// is free. Other files are closed at once, so they do not accumulate while the executor is
    /// busy.
    pub(crate) fn lend(&self, file: BorrowedFd<'_>, is_slow: bool) -> io::Result<LentFile> {
        let file = uninterrupted(|| file.try_clone_to_owned())?;
        Ok(self.inner.pool.lend(file.into(), is_slow))
    }

    /// Shuts down the executor, and waits for its running and queued work.
    ///
    /// The result of later work is [cancelled](TaskError::is_cancelled).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the executor shut down.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let work = event_loop.run_in_executor(|| 7);
    /// event_loop.run_until_complete(event_loop.shutdown_default_executor());
    /// assert_eq!(event_loop.run_until_complete(work).unwrap(), 7);
    /// let late = event_loop.run_in_executor(|| 8);
    /// assert!(event_loop.run_until_complete(late).unwrap_err().is_cancelled());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn shutdown_default_executor(&self) {
        self.inner.pool.close();
        poll_fn(|cx| self.inner.pool.poll_ended(cx)).await;
    }

    /// Resolves a host to its addresses, with `port` in each, in the resolver's order.
    ///
    /// `host` is a name or an IP address. The executor does the lookup, from the first poll of the
    /// future on. The future is `'static`, so it can be a task. To resolve a host and connect to
    /// it, use [`connect`](LoopHandle::connect).
    ///
    /// asyncio returns tuples of five values. This method returns only the addresses, and takes no
    /// family, type, protocol or flags.
    ///
    /// # Errors
    ///
    /// - Any error of the resolver.
    /// - `InvalidInput` if the host name has a zero byte.
    /// - [`LoopClosedError`] on a closed loop.
    /// - A [`TaskError`] inside if the executor is shut down or cannot start a thread.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels a lookup that has not begun. A lookup that has begun ends on its
    /// thread.
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
            poll_fn(|cx| event_loop.poll_proceed(cx)).await;
            if host.contains('\0') {
                let what =
                    format!("cannot look up {host:?}: a host name must not contain a zero byte");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
            let lookup = move || resolve(&host, port);
            event_loop.check_open(event_loop.run_cancel_on_drop(lookup).await)??
        }
    }

    /// Resolves an address to the names of its host and its service.
    ///
    /// If a part has no name, the method returns the number as text.
    ///
    /// # Errors
    ///
    /// - Any error of the resolver.
    /// - [`LoopClosedError`] on a closed loop.
    /// - A [`TaskError`] inside if the executor is shut down or cannot start a thread.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels a lookup that has not begun. A lookup that has begun ends on its
    /// thread.
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
            poll_fn(|cx| event_loop.poll_proceed(cx)).await;
            let lookup = event_loop.run_cancel_on_drop(move || names::name_of(&addr));
            event_loop.check_open(lookup.await)??
        }
    }

    /// Fails if executor work was cancelled because the loop is closed.
    pub(crate) fn check_open<T>(
        &self,
        result: Result<T, TaskError>,
    ) -> Result<Result<T, TaskError>, LoopClosedError> {
        match result {
            Err(error) if error.is_cancelled() && self.is_closed() => Err(LoopClosedError),
            result => Ok(result),
        }
    }
}

fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    match (host, port).to_socket_addrs() {
        Ok(addrs) => Ok(addrs.collect()),
        Err(error) if error.raw_os_error().is_some() => Err(error),
        Err(error) => {
            Err(io::Error::new(error.kind(), format!("cannot look up {host:?}: {error}")))
        }
    }
}
