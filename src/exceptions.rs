//! The exception handler, which gets the panics that no caller can get.
//!
//! These are panics in callbacks, in tasks whose result is not awaited, and in destructors that the
//! loop runs.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};

use log::LevelFilter;

use crate::error::{Payload, discard, drop_bounded, log_panic, panic_message};
use crate::nesting::Kind;

type Handler = Box<dyn FnMut(&ExceptionContext)>;

/// The location that created a callback or a task, if it is known.
type Creator = Option<&'static Location<'static>>;

const DROPPING_HANDLER: &str = "while an exception handler was dropped";

/// The argument of an exception handler: asyncio's context dictionary.
///
/// # Examples
///
/// ```
/// let context = sendloop::ExceptionContext::new("the cache is lost");
/// assert_eq!(context.message(), "the cache is lost");
/// assert!(context.panic().is_none() && context.location().is_none());
/// ```
pub struct ExceptionContext {
    message: String,
    panic: Option<Payload>,
    location: Creator,
}

impl ExceptionContext {
    /// Creates a context with a message, for
    /// [`call_exception_handler`](crate::LoopHandle::call_exception_handler).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use sendloop::{ExceptionContext, Loop};
    ///
    /// let event_loop = Loop::new()?;
    /// event_loop.set_exception_handler(|context| assert_eq!(context.message(), "no space left"));
    /// event_loop.call_exception_handler(ExceptionContext::new("no space left"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(message: impl Into<String>) -> ExceptionContext {
        ExceptionContext { message: message.into(), panic: None, location: None }
    }

    pub(crate) fn of_panic(message: &str, panic: Payload, location: Creator) -> ExceptionContext {
        ExceptionContext { message: message.to_owned(), panic: Some(panic), location }
    }

    /// Returns the message, which describes the exception.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// event_loop.set_exception_handler(|context| {
    ///     assert_eq!(context.message(), "panic in a callback");
    /// });
    /// event_loop.call_soon(|| panic!("no"));
    /// event_loop.run_until_idle()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the payload of the panic, if a panic is the reason.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// event_loop.set_exception_handler(|context| {
    ///     let panic = context.panic().unwrap();
    ///     assert_eq!(panic.downcast_ref::<&str>(), Some(&"no"));
    /// });
    /// event_loop.call_soon(|| panic!("no"));
    /// event_loop.run_until_idle()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn panic(&self) -> Option<&(dyn Any + Send)> {
        self.panic.as_deref()
    }

    /// Returns the location that created the callback or the task, if it is known.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// event_loop.set_exception_handler(|context| {
    ///     assert!(context.location().is_some());
    /// });
    /// event_loop.call_soon(|| panic!("no"));
    /// event_loop.run_until_idle()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.location
    }
}

/// Drops the panic's payload, whose destructor may panic too.
impl Drop for ExceptionContext {
    fn drop(&mut self) {
        if let Some(panic) = self.panic.take() {
            discard(panic);
        }
    }
}

impl fmt::Display for ExceptionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(panic) = &self.panic {
            write!(f, ": {}", panic_message(&**panic))?;
        }
        match self.location {
            Some(location) => write!(f, " (made at {location})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ExceptionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExceptionContext({self})")
    }
}

/// Logs the context: the default handler.
///
/// If the log is off, or the program has no logger, this writes to standard error.
pub(crate) fn log_exception(context: &ExceptionContext) {
    if log::max_level().min(log::STATIC_MAX_LEVEL) > LevelFilter::Off {
        return log::error!("{context}");
    }
    // One write keeps the lines of several threads apart. `eprintln!` would panic if standard error
    // is closed.
    let line = format!("sendloop: {context}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}

/// A loop's exception handler.
#[derive(Default)]
pub(crate) struct Exceptions {
    /// `None` for the default handler, and while the handler runs. Exceptions that the handler
    /// causes go to the log.
    handler: Cell<Option<Handler>>,
    /// True while the handler runs and has set no other one.
    is_running: Cell<bool>,
}

impl Exceptions {
    pub(crate) fn set(&self, handler: Option<Handler>) {
        self.is_running.set(false);
        let old_handler = self.handler.replace(handler);
        drop_bounded(Kind::Drop, DROPPING_HANDLER, old_handler);
    }

    /// Calls the handler, and logs its panic.
    pub(crate) fn report(&self, context: &ExceptionContext) {
        let Some(mut handler) = self.handler.take() else {
            return log_exception(context);
        };
        self.is_running.set(true);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| handler(context))) {
            log_exception(context);
            let message = "panic in the exception handler";
            log_exception(&ExceptionContext::of_panic(message, panic, None));
        }
        if self.is_running.take() {
            self.handler.set(Some(handler));
        } else {
            log_panic(DROPPING_HANDLER, || drop(handler));
        }
    }

    /// Runs user code, and reports its panic.
    pub(crate) fn contain(&self, message: &str, f: impl FnOnce()) {
        self.contain_at(message, None, f);
    }

    /// Runs user code that `location` created, and reports its panic.
    pub(crate) fn contain_at(&self, message: &str, location: Creator, f: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(f)) {
            self.report(&ExceptionContext::of_panic(message, panic, location));
        }
    }
}
