//! Callbacks, timers, fd callbacks, signals, executor work and runs of `EventLoop`.

use std::cell::RefCell;
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use sendloop::{Loop, LoopClosedError, TimerHandle};

use crate::counts;
use crate::errors::{loop_is_closed, to_exception};
use crate::event_loop::EventLoop;
use crate::operation::{self, Operation};

thread_local! {
    /// The exception that ends the present run, as KeyboardInterrupt does. A callback of sendloop
    /// returns nothing, so it stops the loop, and the method that runs the loop raises this.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Runs one of asyncio's handles.
fn run_handle(py: Python<'_>, handle: &Py<PyAny>) {
    counts::add("handles", 1);
    let handle = handle.bind(py);
    let outcome = handle
        .getattr("_loop")
        .and_then(|event_loop| event_loop.call_method1("_run_handle", (handle,)));
    let Err(error) = outcome else { return };
    RAISED.with_borrow_mut(|raised| _ = raised.get_or_insert(error));
    if let Some(event_loop) = sendloop::get_running_loop() {
        event_loop.stop();
    }
}

fn run_and_drop_handle(handle: Py<PyAny>) {
    Python::attach(|py| {
        run_handle(py, &handle);
        handle.drop_ref(py);
    });
}

/// A loop that moves into a closure that runs without the interpreter lock, on the same thread.
struct SameThread<'a>(&'a Loop);

// SAFETY: `Python::detach` calls its closure on the calling thread.
unsafe impl Send for SameThread<'_> {}

impl SameThread<'_> {
    fn run<T>(self, run: impl FnOnce(&Loop) -> T) -> T {
        run(self.0)
    }
}

fn raise_if_raised() -> PyResult<()> {
    RAISED.take().map_or(Ok(()), Err)
}

/// Borrows a Python descriptor for one call.
fn borrow<'fd>(fd: RawFd) -> PyResult<BorrowedFd<'fd>> {
    if fd < 0 {
        return Err(PyValueError::new_err(format!("Invalid file descriptor: {fd}")));
    }
    // SAFETY: `fd` is not -1. If it is closed, the kernel fails with EBADF.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

#[pyclass(unsendable)]
struct Timer(TimerHandle);

#[pymethods]
impl Timer {
    fn cancel(&self) {
        self.0.cancel();
    }
}

/// A handle to a loop for other threads.
#[pyclass(frozen)]
struct Remote(sendloop::Remote);

#[pymethods]
impl Remote {
    fn call_soon_threadsafe(&self, handle: Py<PyAny>) -> PyResult<()> {
        self.0
            .call_soon_threadsafe(move || run_and_drop_handle(handle))
            .map_err(|LoopClosedError| loop_is_closed())
    }
}

#[pymethods]
impl EventLoop {
    fn remote(&self) -> Remote {
        Remote(self.handle.remote())
    }

    fn call_soon(&self, handle: Py<PyAny>) {
        self.handle.call_soon(move || run_and_drop_handle(handle));
    }

    fn call_at(&self, when: f64, handle: Py<PyAny>) -> Timer {
        let when = self.instant(when);
        Timer(self.handle.call_at(when, move || run_and_drop_handle(handle)))
    }

    fn advance_clock(&self, seconds: f64) {
        if let Some(clock) = &self.manual_clock {
            clock.advance(Duration::from_secs_f64(seconds));
        }
    }

    /// Returns whether the next iteration has something to run.
    fn is_due(&self) -> PyResult<bool> {
        Ok(self.open()?.next_timeout() == Some(Duration::ZERO))
    }

    fn stop(&self) {
        self.handle.stop();
    }

    fn run_forever(&self, py: Python<'_>) -> PyResult<()> {
        let open = self.open()?;
        let same_thread = SameThread(&open);
        py.detach(move || same_thread.run(Loop::run_forever));
        raise_if_raised()
    }

    fn run_once(&self, py: Python<'_>, timeout: f64) -> PyResult<()> {
        let open = self.open()?;
        let same_thread = SameThread(&open);
        let timeout = Some(Duration::from_secs_f64(timeout));
        py.detach(move || same_thread.run(|event_loop| event_loop.run_once(timeout)))
            .map_err(|error| to_exception(py, error))?;
        raise_if_raised()
    }

    fn add_reader(&self, py: Python<'_>, fd: RawFd, handle: Py<PyAny>) -> PyResult<()> {
        let callback = move || Python::attach(|py| run_handle(py, &handle));
        self.handle.add_reader(&borrow(fd)?, callback).map_err(|error| to_exception(py, error))
    }

    fn add_writer(&self, py: Python<'_>, fd: RawFd, handle: Py<PyAny>) -> PyResult<()> {
        let callback = move || Python::attach(|py| run_handle(py, &handle));
        self.handle.add_writer(&borrow(fd)?, callback).map_err(|error| to_exception(py, error))
    }

    fn remove_reader(&self, fd: RawFd) -> bool {
        self.handle.remove_reader_raw(fd)
    }

    fn remove_writer(&self, fd: RawFd) -> bool {
        self.handle.remove_writer_raw(fd)
    }

    fn add_signal_handler(&self, py: Python<'_>, signal: i32, handle: Py<PyAny>) -> PyResult<()> {
        let callback = move || Python::attach(|py| run_handle(py, &handle));
        self.handle.add_signal_handler(signal, callback).map_err(|error| to_exception(py, error))
    }

    fn remove_signal_handler(&self, signal: i32) -> bool {
        self.handle.remove_signal_handler(signal)
    }

    fn run_in_executor(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
        function: Py<PyAny>,
    ) -> PyResult<Option<Operation>> {
        let work = self.handle.run_in_executor(move || {
            Python::attach(|py| {
                let outcome = function.call0(py);
                function.drop_ref(py);
                outcome
            })
        });
        operation::start(py, &self.handle, "run_in_executor", future, work, |_, outcome| {
            outcome.unwrap_or_else(|error| Err(PyRuntimeError::new_err(error.to_string())))
        })
    }

    fn shutdown_default_executor(
        &self,
        py: Python<'_>,
        future: Py<PyAny>,
    ) -> PyResult<Option<Operation>> {
        let event_loop = self.handle.clone();
        let work = async move { event_loop.shutdown_default_executor().await };
        let name = "shutdown_default_executor";
        operation::start(py, &self.handle, name, future, work, |py, ()| Ok(py.None()))
    }
}
