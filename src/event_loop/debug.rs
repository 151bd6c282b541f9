//! Debug mode, which logs slow callbacks, and the methods of the exception handler.

use std::borrow::Borrow;
use std::cell::Cell;
use std::env;
use std::panic::Location;
use std::time::{Duration, Instant};

use super::LoopHandle;
use crate::exceptions::{ExceptionContext, log_exception};

/// The default of the shortest callback duration that debug mode logs, as in asyncio.
const SLOW_CALLBACK: Duration = Duration::from_millis(100);

pub(super) struct DebugMode {
    on: Cell<bool>,
    slow: Cell<Duration>,
}

impl DebugMode {
    pub(super) fn new(on: Option<bool>) -> DebugMode {
        let by_environment =
            || env::var_os("SENDLOOP_DEBUG").is_some_and(|value| !value.is_empty() && value != "0");
        let on = on.unwrap_or_else(by_environment);
        DebugMode { on: Cell::new(on), slow: Cell::new(SLOW_CALLBACK) }
    }

    /// Runs `f`, a callback or a step, and logs it if it was slow in real time.
    ///
    /// `f` returns its name.
    pub(super) fn time(&self, location: &Location<'_>, f: impl FnOnce() -> &'static str) {
        let start = self.on.get().then(Instant::now);
        let what = f();
        let took = start.map(|start| start.elapsed()).filter(|took| *took >= self.slow.get());
        if let Some(took) = took {
            log::warn!("a {what} made at {location} held the loop for {took:?}");
        }
    }
}

impl LoopHandle {
    /// Turns debug mode on or off.
    ///
    /// In debug mode the loop logs a warning for each slow callback and each slow step of a task,
    /// with the location that created it.
    /// [`set_slow_callback_duration`](LoopHandle::set_slow_callback_duration) sets the limit. If a
    /// program has made a socket blocking, operations on it fail with `InvalidInput`.
    ///
    /// The environment variable `SENDLOOP_DEBUG=1` turns debug mode on from the start.
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

    /// Sets the shortest callback duration that debug mode logs; 100 ms by default.
    ///
    /// In asyncio this is the attribute `slow_callback_duration`.
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

    /// Sets a function that the loop calls for each panic that no caller can get.
    ///
    /// These are panics in callbacks, in destructors that the loop runs, and in tasks whose result
    /// is not awaited. The handler gets the panic of a task when the [`Task`](crate::Task) has been
    /// dropped. None of these panics ends the loop.
    ///
    /// The handler replaces [`default_exception_handler`](LoopHandle::default_exception_handler),
    /// and may call it. If the handler itself panics or causes exceptions, the default handler
    /// reports them. asyncio passes the loop to the handler. Here, let the closure own a
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

    /// Logs the context as an error: the default exception handler.
    ///
    /// If `log::max_level()` is `Off`, as it is until the program installs a logger, this writes
    /// one line to standard error instead. If a logger filters the record out, this writes nothing.
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
