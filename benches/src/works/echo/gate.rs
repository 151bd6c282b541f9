//! A server that waits at a gate while its work is laid out.

use anyhow::{Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// A child that is stopped until this is dropped.
pub struct Gate(Pid);

impl Gate {
    /// Stops a child and sees it stopped.
    pub fn close(child: u32) -> Result<Gate> {
        let child = Pid::from_raw(child as i32);
        kill(child, Signal::SIGSTOP)?;
        let gate = Gate(child);
        match waitpid(child, Some(WaitPidFlag::WUNTRACED))? {
            WaitStatus::Stopped(..) => Ok(gate),
            other => bail!("it should have stopped: {other:?}"),
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGCONT);
    }
}
