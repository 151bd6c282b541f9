//! The Python module `sendloop_python`: a [`sendloop::Loop`] that an asyncio loop delegates to.
//!
//! [`EventLoop`](event_loop::EventLoop) is the class. `operations.rs` has its `sock_*` methods,
//! `scheduling.rs` its callbacks, timers and runs.

mod address;
mod counts;
mod errors;
mod event_loop;
mod operation;
mod operations;
mod scheduling;

use pyo3::prelude::*;

#[pymodule]
fn sendloop_python(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<event_loop::EventLoop>()?;
    module.add_class::<operations::SharedSocket>()?;
    module.add_function(wrap_pyfunction!(counts::counts, module)?)
}
