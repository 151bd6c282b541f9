//! The class `EventLoop`: how it is created, embedded in another loop, and closed.

use std::cell::RefCell;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use sendloop::{Clock, Loop, LoopHandle};

use crate::counts;
use crate::errors::{loop_is_closed, to_exception};

/// A loop of sendloop. It belongs to the thread that created it.
#[pyclass(unsendable)]
pub struct EventLoop {
    open: RefCell<Option<Rc<Loop>>>,
    pub handle: LoopHandle,
    /// The loop's time when the time of Python's loop was 0.
    epoch: Instant,
    /// The manual clock, which a test advances.
    pub manual_clock: Option<Clock>,
}

#[pymethods]
impl EventLoop {
    /// Creates a loop whose time is `now` seconds.
    #[new]
    #[pyo3(signature = (now, manual_clock=false))]
    fn new(py: Python<'_>, now: f64, manual_clock: bool) -> PyResult<EventLoop> {
        let manual_clock = manual_clock.then(Clock::manual);
        let clock = manual_clock.clone().unwrap_or_else(Clock::real);
        let event_loop =
            Loop::builder().clock(clock).build().map_err(|error| to_exception(py, error))?;
        Ok(EventLoop {
            handle: event_loop.handle(),
            epoch: event_loop.time() - Duration::from_secs_f64(now),
            open: RefCell::new(Some(Rc::new(event_loop))),
            manual_clock,
        })
    }

    /// Returns the descriptor that is readable when an iteration is due.
    fn fileno(&self) -> PyResult<RawFd> {
        Ok(self.open()?.as_fd().as_raw_fd())
    }

    /// Runs one iteration without waiting, for a loop that embeds this one.
    fn run_embedded(&self, py: Python<'_>) -> PyResult<()> {
        counts::add("iterations of the embedded loop", 1);
        self.open()?.run_once(Some(Duration::ZERO)).map_err(|error| to_exception(py, error))
    }

    fn close(&self) {
        counts::add("sendfile(2)", self.handle.stats().sendfile_calls);
        // The borrow ends before the loop drops its tasks.
        let event_loop = self.open.take();
        drop(event_loop);
    }
}

impl EventLoop {
    pub fn open(&self) -> PyResult<Rc<Loop>> {
        self.open.borrow().clone().ok_or_else(loop_is_closed)
    }

    /// Converts a time of Python's loop to one of sendloop's.
    pub fn instant(&self, when: f64) -> Instant {
        // A deadline may be infinite: 95 years are enough. One before 0 is due in any case.
        let since_epoch = Duration::try_from_secs_f64(when.min(3e9));
        self.epoch + since_epoch.unwrap_or_default()
    }
}
