//! Debug mode, which logs slow callbacks, and the methods of the exception handler.

use std::borrow::Borrow;
use std::cell::Cell;
use std::env;
use std::panic::Location;
use std::time::{Duration, Instant};

use super::LoopHandle;
use crate::exceptions::{ExceptionContext, log_exception};

/// The default duration from which debug mode logs a callback: asyncio's.
const SLOW_CALLBACK: Duration = Duration::from_millis(100);

pub(crate) struct DebugMode {
    on: Cell<bool>,
    slow: Cell<Duration>,
}

impl DebugMode {
    pub(super) fn new(on: Option<bool>) -> DebugMode {
        let by_environment =
            || env::var_os("SENDLOOP_DEBUG").is_some_and(|value| !value.is_empty() && value != "0");
        DebugMode {
            on: Cell::new(on.unwrap_or_else(by_environment)),
            slow: Cell::new(SLOW_CALLBACK),
        }
    }

    /// Returns the real time in debug mode, whatever the loop's clock.
    pub(super) fn start(&self) -> Option<Instant> {
        self.on.get().then(Instant::now)
    }

    /// Logs a callback or a step that began at `start` if it was slow.
    pub(super) fn end(&self, start: Option<Instant>, what: &str, location: &Location<'_>) {
        let Some(took) = start.map(|start| start.elapsed()) else {
            return;
        };
        if took >= self.slow.get() {
            log::warn!("a {what} made at {location} held the loop for {took:?}");
        }
    }
}

impl LoopHandle {
    /// Turns debug mode on or off.
    ///
    /// In debug mode the loop logs a warning for each slow callback and each slow step of a task,
    /// with the location that created it.
    /// [`set_slow_callback_duration`](LoopHandle::set_slow_callback_duration) sets the limit. An
    /// operation on a socket that the program made blocking fails with `InvalidInput`.
    ///
    /// The environment variable `SENDLOOP_DEBUG=1` turns it on from the start.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// event_loop.set_debug(true);
    /// assert!(event_loop.get_debug());
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_debug(&self, on: bool) {
        self.inner.debug.on.set(on);
    }

    /// Returns whether the loop is in [debug mode](LoopHandle::set_debug).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// event_loop.set_debug(true);
    /// assert!(event_loop.get_debug());
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_debug(&self) -> bool {
        self.inner.debug.on.get()
    }

    /// Sets the duration from which debug mode logs a callback. The default is 100 ms.
    ///
    /// asyncio has the attribute `slow_callback_duration`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::builder().debug(true).build()?;
    /// event_loop.set_slow_callback_duration(Duration::from_millis(10));
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_slow_callback_duration(&self, limit: Duration) {
        self.inner.debug.slow.set(limit);
    }

    /// Calls `handler` for each panic that no caller can get.
    ///
    /// These are a panic in a callback, in a destructor that the loop runs, and in a task whose
    /// result is not awaited. The last is reported when the [`Task`](crate::Task) is gone. None of
    /// these panics ends the loop.
    ///
    /// The handler replaces [`default_exception_handler`](LoopHandle::default_exception_handler),
    /// and may call it. The default handler also reports a panic of the handler, and exceptions
    /// that the handler causes. asyncio passes the loop to the handler. Here, let it own a
    /// [`LoopHandle`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{cell::RefCell, rc::Rc};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// let texts = Rc::new(RefCell::new(Vec::new()));
    /// let pushed = texts.clone();
    /// event_loop.set_exception_handler(move |context| {
    ///     pushed.borrow_mut().push(context.to_string());
    /// });
    /// event_loop.call_soon(|| panic!("oh"));
    /// event_loop.run_until_complete(async {});
    /// assert!(texts.borrow()[0].starts_with("panic in a callback: oh"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_exception_handler(&self, handler: impl FnMut(&ExceptionContext) + 'static) {
        if !self.is_closed() {
            self.inner.run_queue.exceptions.set(Some(Box::new(handler)));
        }
    }

    /// Restores the default handler: asyncio's `set_exception_handler(None)`.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = sendloop::Loop::new()?;
    /// event_loop.set_exception_handler(|context| eprintln!("{context}"));
    /// event_loop.clear_exception_handler();
    /// # Ok(())
    /// # }
    /// ```
    pub fn clear_exception_handler(&self) {
        self.inner.run_queue.exceptions.set(None);
    }

    /// Calls the exception handler, or
    /// [`default_exception_handler`](LoopHandle::default_exception_handler) if none is set.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc};
    /// use sendloop::{ExceptionContext, Loop};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = Loop::new()?;
    /// let count = Rc::new(Cell::new(0));
    /// let counts = count.clone();
    /// event_loop.set_exception_handler(move |_| counts.set(counts.get() + 1));
    /// event_loop.call_exception_handler(ExceptionContext::new("the cache is lost"));
    /// assert_eq!(count.get(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn call_exception_handler(&self, context: impl Borrow<ExceptionContext>) {
        self.inner.run_queue.exceptions.report(context.borrow());
    }

    /// Logs the context as an error. The loop does this unless another handler is set.
    ///
    /// If `log::max_level()` is `Off`, this writes one line to standard error instead. The level is
    /// `Off` until the program installs a logger. A logger that filters the record out does not
    /// cause that line.
    ///
    /// # Examples
    ///
    /// ```
    /// use sendloop::{ExceptionContext, Loop};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let event_loop = Loop::new()?;
    /// event_loop.default_exception_handler(ExceptionContext::new("the cache is lost"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn default_exception_handler(&self, context: impl Borrow<ExceptionContext>) {
        log_exception(context.borrow());
    }
}
