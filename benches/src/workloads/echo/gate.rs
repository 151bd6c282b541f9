//! Stops a server while the client prepares a burst.

use anyhow::{Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Keeps a child stopped until it is dropped.
pub struct Gate(Pid);

impl Gate {
    /// Stops a child and waits until it has stopped.
    pub fn close(child: u32) -> Result<Gate> {
        let child = Pid::from_raw(child as i32);
        kill(child, Signal::SIGSTOP)?;
        let gate = Gate(child);
        match waitpid(child, Some(WaitPidFlag::WUNTRACED))? {
            WaitStatus::Stopped(..) => Ok(gate),
            other => bail!("the server did not stop: {other:?}"),
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGCONT);
    }
}
