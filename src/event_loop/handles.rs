//! The handles to queued callbacks and timers.

use std::fmt;
use std::rc::Rc;
use std::time::Instant;

use super::LoopHandle;
use crate::run_queue::Callback;

/// A callback that [`call_soon`](LoopHandle::call_soon) has queued. Dropping it does not cancel.
#[derive(Clone)]
pub struct Handle {
    callback: Rc<dyn Callback>,
}

impl Handle {
    pub(super) fn new(callback: Rc<dyn Callback>) -> Handle {
        Handle { callback }
    }

    /// Cancels the callback and drops it at once. If the callback has run, this has no effect.
    ///
    /// Its destructor may cancel more callbacks. Beyond 32 levels, the outermost call drops the
    /// deeper ones before it returns, as [`Task::cancel`](crate::Task::cancel) does.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let handle = event_loop.call_soon(|| panic!("it is cancelled"));
    /// handle.cancel();
    /// event_loop.run_until_idle()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn cancel(&self) {
        self.callback.cancel();
    }

    /// Returns true if [`cancel`](Handle::cancel) or a closed loop cancelled the callback.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let handle = event_loop.call_soon(|| {});
    /// assert!(!handle.cancelled());
    /// drop(event_loop);
    /// assert!(handle.cancelled());
    /// # Ok(())
    /// # }
    /// ```
    pub fn cancelled(&self) -> bool {
        self.callback.is_cancelled()
    }
}

/// A callback with a deadline, from [`call_later`](LoopHandle::call_later) or
/// [`call_at`](LoopHandle::call_at). Dropping it does not cancel.
#[derive(Clone)]
pub struct TimerHandle {
    callback: Rc<dyn Callback>,
    when: Instant,
    event_loop: LoopHandle,
}

impl TimerHandle {
    pub(super) fn new(callback: Rc<dyn Callback>, when: Instant, event_loop: LoopHandle) -> Self {
        TimerHandle {
            callback,
            when,
            event_loop,
        }
    }

    /// Cancels the callback and drops it at once. If the callback has run, this has no effect.
    ///
    /// Deeply nested cancellations are bounded as [`Handle::cancel`] describes.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::time::Duration;
    ///
    /// let event_loop = sendloop::Loop::new()?;
    /// let timer = event_loop.call_later(Duration::from_secs(60), || {});
    /// timer.cancel();
    /// assert_eq!(event_loop.next_timeout(), None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn cancel(&self) {
        self.event_loop.inner.timers.cancel(&*self.callback);
        self.event_loop.update_descriptor();
    }

    /// Returns true if [`cancel`](TimerHandle::cancel) or a closed loop cancelled the callback.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::time::Duration;
    ///
    /// let event_loop = sendloop::Loop::new()?;
    /// let timer = event_loop.call_later(Duration::from_secs(60), || {});
    /// timer.cancel();
    /// assert!(timer.cancelled());
    /// # Ok(())
    /// # }
    /// ```
    pub fn cancelled(&self) -> bool {
        self.callback.is_cancelled()
    }

    /// Returns the deadline.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::time::Duration;
    ///
    /// let event_loop = sendloop::Loop::new()?;
    /// let deadline = event_loop.time() + Duration::from_secs(60);
    /// assert_eq!(event_loop.call_at(deadline, || {}).when(), deadline);
    /// # Ok(())
    /// # }
    /// ```
    pub fn when(&self) -> Instant {
        self.when
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("location", &format_args!("{}", self.callback.location()))
            .field("cancelled", &self.cancelled())
            .finish()
    }
}

impl fmt::Debug for TimerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimerHandle")
            .field("when", &self.when)
            .field("location", &format_args!("{}", self.callback.location()))
            .field("cancelled", &self.cancelled())
            .finish()
    }
}
