//! What the user holds of a callback that is to come.

use std::fmt;
use std::rc::Rc;
use std::time::Instant;

use super::LoopHandle;
use crate::ready::Callback;

/// A callback that [`call_soon`](LoopHandle::call_soon) has queued. Dropping it does not cancel.
#[derive(Clone)]
pub struct Handle {
    callback: Rc<dyn Callback>,
}

impl Handle {
    pub(super) fn new(callback: Rc<dyn Callback>) -> Handle {
        Handle { callback }
    }

    /// Drops the callback, now; it will not be called. Nothing happens where it has been.
    ///
    /// If destructors cancel further callbacks, more than 32 levels deep, the outermost call drops
    /// the deeper ones before it returns, as [`Task::cancel`](crate::Task::cancel) does.
    pub fn cancel(&self) {
        self.callback.cancel();
    }

    /// Whether it was cancelled, by [`cancel`](Handle::cancel) or because its loop is closed.
    pub fn cancelled(&self) -> bool {
        self.callback.is_cancelled()
    }
}

/// A callback that is to be called at some time, from [`call_later`](LoopHandle::call_later) or
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

    /// Drops the callback, now and not at its deadline; it will not be called. Nothing happens where it has been.
    ///
    /// Deeply nested cancellations are bounded as [`Handle::cancel`] describes.
    pub fn cancel(&self) {
        self.event_loop.inner.timers.cancel(&*self.callback);
        self.event_loop.update_descriptor();
    }

    /// Whether it was cancelled, by [`cancel`](TimerHandle::cancel) or because its loop is closed.
    pub fn cancelled(&self) -> bool {
        self.callback.is_cancelled()
    }

    /// The time at which it is to be called.
    pub fn when(&self) -> Instant {
        self.when
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("place", &format_args!("{}", self.callback.place()))
            .field("cancelled", &self.cancelled())
            .finish()
    }
}

impl fmt::Debug for TimerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimerHandle")
            .field("when", &self.when)
            .field("place", &format_args!("{}", self.callback.place()))
            .field("cancelled", &self.cancelled())
            .finish()
    }
}
