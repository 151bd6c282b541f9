//! sendloop's errors as Python's exceptions.

use std::io;

use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use sendloop::{LoopClosedError, SendfileNotAvailableError};

/// Converts an error to the exception that asyncio raises in its place.
pub fn to_exception(py: Python<'_>, error: io::Error) -> PyErr {
    if let Some(errno) = error.raw_os_error() {
        let text = error.to_string();
        let text = text.split(" (os error").next().unwrap_or_default();
        // OSError selects the subclass for the errno.
        return PyOSError::new_err((errno, text.to_owned()));
    }
    let cause = error.get_ref();
    if cause.is_some_and(|cause| cause.is::<LoopClosedError>()) {
        return loop_is_closed();
    }
    if cause.is_some_and(|cause| cause.is::<SendfileNotAvailableError>()) {
        return sendfile_is_not_available(py, &error).unwrap_or_else(|failure| failure);
    }
    match error.kind() {
        io::ErrorKind::InvalidInput => PyValueError::new_err(error.to_string()),
        _ => error.into(),
    }
}

pub fn loop_is_closed() -> PyErr {
    PyRuntimeError::new_err("Event loop is closed")
}

fn sendfile_is_not_available(py: Python<'_>, error: &io::Error) -> PyResult<PyErr> {
    let class = py.import("asyncio")?.getattr("SendfileNotAvailableError")?;
    Ok(PyErr::from_value(class.call1((error.to_string(),))?))
}
