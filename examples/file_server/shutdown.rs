//! The signals that end the server.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use rustix::process::Signal;
use sendloop::{LoopHandle, PromiseFuture};

const ENDING: [Signal; 2] = [Signal::INT, Signal::TERM];

/// Returns a future that is ready at the first signal. The second signal ends the process at once.
///
/// # Errors
///
/// Any error of adding a signal handler, such as a lack of descriptors.
pub(crate) fn requested(event_loop: &LoopHandle) -> io::Result<PromiseFuture<()>> {
    let (promise, future) = event_loop.create_future();
    let promise = Rc::new(Cell::new(Some(promise)));
    for signal in ENDING {
        let (handle, promise) = (event_loop.clone(), promise.clone());
        event_loop.add_signal_handler(signal.as_raw(), move || {
            for signal in ENDING {
                handle.remove_signal_handler(signal.as_raw());
            }
            let _ = promise.take().map(|promise| promise.set_result(()));
        })?;
    }
    Ok(future)
}
