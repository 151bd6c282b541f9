//! Work that blocks, on the threads of the executor.

use std::future::poll_fn;

use crate::event_loop::LoopHandle;
use crate::pool::Blocking;

impl LoopHandle {
    /// Has a thread of the executor run `work`, from now on, whether the result is awaited or not.
    ///
    /// Threads are started when they are needed, at most [`executor_threads`](crate::Builder::executor_threads). A panic becomes
    /// [`TaskError::Panicked`](crate::TaskError::Panicked); after the loop is closed or the executor shut down, the work is
    /// dropped and the result is [`TaskError::Cancelled`](crate::TaskError::Cancelled).
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

    /// Takes no more work into the executor, and waits for what it has.
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves the executor shut down.
    pub async fn shutdown_default_executor(&self) {
        self.pool().close();
        poll_fn(|cx| self.pool().poll_ended(cx)).await;
    }
}
