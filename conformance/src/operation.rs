//! Operations of sendloop that complete a future of asyncio.

use std::task::{Context, Poll, Waker};

use pyo3::prelude::*;
use sendloop::{LoopHandle, Task};

use crate::counts;

/// The result of an operation, as a value of Python's.
type Outcome = PyResult<Py<PyAny>>;

/// A waiting operation of sendloop: a task of its loop.
#[pyclass(unsendable)]
pub struct Operation(Task<()>);

#[pymethods]
impl Operation {
    /// Drops the operation immediately.
    fn cancel(&self) {
        self.0.cancel();
    }
}

/// Starts `work`, which completes `future`.
///
/// asyncio tries each operation at the call and waits only if it would block. So this polls `work`
/// once, and returns `None` if that completed it. Otherwise a task continues it.
pub fn start<T: 'static>(
    py: Python<'_>,
    event_loop: &LoopHandle,
    name: &'static str,
    future: Py<PyAny>,
    work: impl Future<Output = T> + 'static,
    convert: impl FnOnce(Python<'_>, T) -> Outcome + 'static,
) -> PyResult<Option<Operation>> {
    let mut work = Box::pin(work);
    let polled = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    if let Poll::Ready(output) = polled {
        counts::add(name, 1);
        settle(py, &future, convert(py, output))?;
        return Ok(None);
    }
    let task = event_loop.create_task(async move {
        let output = work.as_mut().await;
        // This closes the duplicate of the socket before Python learns of the end.
        drop(work);
        counts::add(name, 1);
        Python::attach(|py| {
            if let Err(error) = settle(py, &future, convert(py, output)) {
                error.write_unraisable(py, None);
            }
            future.drop_ref(py);
        });
    });
    Ok(Some(Operation(task)))
}

fn settle(py: Python<'_>, future: &Py<PyAny>, outcome: Outcome) -> PyResult<()> {
    let future = future.bind(py);
    if future.call_method0("done")?.is_truthy()? {
        return Ok(());
    }
    match outcome {
        Ok(value) => future.call_method1("set_result", (value,))?,
        Err(error) => future.call_method1("set_exception", (error,))?,
    };
    Ok(())
}
