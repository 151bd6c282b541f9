//! What no caller is left to hear of: panics in callbacks, in tasks whose result nobody takes, in destructors that must not
//! stop what is going on around them.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};
use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};

use log::LevelFilter;

use crate::error::{discard, drop_bounded, panic_message, quietly};
use crate::nesting::Kind;

type Handler = Box<dyn FnMut(&ExceptionContext)>;

/// The argument of an exception handler: asyncio's context dictionary.
///
/// # Examples
///
/// ```
/// let context = sendloop::ExceptionContext::new("the cache is lost");
/// assert_eq!(context.message(), "the cache is lost");
/// assert!(context.panic().is_none() && context.place().is_none());
/// ```
pub struct ExceptionContext {
    message: String,
    panic: Option<Box<dyn Any + Send>>,
    place: Option<&'static Location<'static>>,
}

impl ExceptionContext {
    /// Creates a context with a message, for
    /// [`call_exception_handler`](crate::LoopHandle::call_exception_handler).
    pub fn new(message: impl Into<String>) -> ExceptionContext {
        ExceptionContext {
            message: message.into(),
            panic: None,
            place: None,
        }
    }

    pub(crate) fn with_panic(mut self, panic: Box<dyn Any + Send>) -> ExceptionContext {
        self.panic = Some(panic);
        self
    }

    pub(crate) fn with_place(mut self, place: &'static Location<'static>) -> ExceptionContext {
        self.place = Some(place);
        self
    }

    /// Returns what happened.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the payload of the panic, if a panic is the reason.
    pub fn panic(&self) -> Option<&(dyn Any + Send)> {
        self.panic.as_deref()
    }

    /// Returns where the callback or the task was created, if that is known.
    pub fn place(&self) -> Option<&'static Location<'static>> {
        self.place
    }
}

/// What was panicked with may panic as it is dropped.
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
        match self.place {
            Some(place) => write!(f, " (made at {place})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ExceptionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExceptionContext({self})")
    }
}

/// The default: logs, or writes to standard error if the log is off, as it is without a logger.
pub(crate) fn log_exception(context: &ExceptionContext) {
    if log::max_level() > LevelFilter::Off {
        return log::error!("{context}");
    }
    // One write, so that lines of several threads do not mix. A closed standard error is no reason
    // to panic.
    let line = format!("sendloop: {context}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}

#[derive(Default)]
enum State {
    #[default]
    Default,
    Set(Handler),
    /// The handler is being called, and what it causes itself goes to the log.
    Calling,
}

/// A loop's exception handler.
#[derive(Default)]
pub(crate) struct Exceptions {
    state: RefCell<State>,
}

impl Exceptions {
    pub(crate) fn set(&self, handler: Option<Handler>) {
        let state = handler.map_or(State::Default, State::Set);
        let before = self.state.replace(state);
        let when = "while an exception handler was dropped";
        drop_bounded(Kind::Drop, when, before);
    }

    /// Calls the handler. Its own panic goes to the log, and no further.
    pub(crate) fn report(&self, context: &ExceptionContext) {
        let mut handler = match self.state.replace(State::Calling) {
            State::Set(handler) => handler,
            other => {
                *self.state.borrow_mut() = other;
                return log_exception(context);
            }
        };
        let called = catch_unwind(AssertUnwindSafe(|| handler(context)));
        if let Err(panic) = called {
            log_exception(context);
            log_exception(
                &ExceptionContext::new("panic in the exception handler").with_panic(panic),
            );
        }
        let mut state = self.state.borrow_mut();
        // Unless it has set another meanwhile.
        if matches!(*state, State::Calling) {
            *state = State::Set(handler);
            return;
        }
        drop(state);
        quietly("while an exception handler was dropped", || drop(handler));
    }

    /// Runs code of the user's whose panic must go no further.
    pub(crate) fn contain(&self, message: &str, f: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(f)) {
            self.report(&ExceptionContext::new(message).with_panic(panic));
        }
    }

    /// Forgets the handler, as it may hold what holds the loop.
    pub(crate) fn close(&self) {
        let handler = mem::take(&mut *self.state.borrow_mut());
        quietly("while an exception handler was dropped", || drop(handler));
    }
}

impl fmt::Debug for Exceptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exceptions")
    }
}
