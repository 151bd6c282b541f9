//! What an executor does all the time: tasks made and joined, wake-ups, callbacks, timers.
//!
//! The scenarios are written once, over what the executors have in common; each runs in one `block_on` of its peer.

mod peers;
mod scenarios;

use anyhow::{Result, bail};

/// An executor of one thread, as its tasks see it.
trait Executor: Clone + 'static {
    type Join: Future + 'static;
    type Sleep: Future + 'static;

    fn spawn(&self, future: impl Future<Output = ()> + 'static) -> Self::Join;
    /// Lets a task run on its own.
    fn detach(&self, future: impl Future<Output = ()> + 'static);
    fn yield_now(&self) -> impl Future<Output = ()> + 'static;
    fn sleep(&self, delay: std::time::Duration) -> Self::Sleep;
    /// Calls something soon; where the peer has no callbacks, by a task.
    fn call_soon(&self, call: impl FnOnce() + 'static) {
        self.detach(async move { call() });
    }
}

pub fn run(peer: &str) -> Result<()> {
    match peer {
        "sendloop" => peers::sendloop(),
        "smol" => peers::smol(),
        "tokio" => peers::tokio(),
        _ => bail!("nobody has tasks as {peer}"),
    }
}
