//! Everyday work of an executor: creating and joining tasks, wake-ups, callbacks, timers, jobs for
//! its threads.
//!
//! Each scenario is written once, over a trait that all executors implement. Each runs in one
//! `block_on` of its peer.

mod peers;
mod scenarios;

use std::os::unix::net::UnixStream;

use anyhow::{Result, bail};

/// A single-threaded executor, as its tasks see it.
trait Executor: Clone + 'static {
    type Join: Future + 'static;
    type Sleep: Future + 'static;

    fn spawn(&self, future: impl Future<Output = ()> + 'static) -> Self::Join;
    /// Spawns a task without keeping its handle.
    fn detach(&self, future: impl Future<Output = ()> + 'static);
    fn yield_now(&self) -> impl Future<Output = ()> + 'static;
    fn sleep(&self, delay: std::time::Duration) -> Self::Sleep;
    /// Runs a job on one of the peer's threads and returns its result.
    fn run_in_executor<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + 'static;
    /// Waits for one byte. The poller holds the socket while this waits.
    fn read_byte(&self, stream: UnixStream) -> impl Future<Output = u8> + 'static;
    /// Schedules a callback. A peer without callbacks detaches a task.
    fn call_soon(&self, call: impl FnOnce() + 'static) {
        self.detach(async move { call() });
    }
}

pub fn run(peer: &str) -> Result<()> {
    match peer {
        "sendloop" => peers::sendloop(),
        "smol" => peers::smol(),
        "tokio" => peers::tokio(),
        _ => bail!("no executor has the name {peer}"),
    }
}
