//! The clock of a loop.

use std::fmt;
use std::io;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::sys::fork::PerProcess;

/// The clock of a loop: the machine's monotonic clock, or virtual time for tests.
///
/// All timers of a loop use its clock: `call_later`, `sleep`, `wait_for`, `stall_timeout`, and the
/// retries of `sock_connect` and `sock_sendto`. All clones of a clock share one time.
///
/// - [`Clock::real`] is the machine's clock and the default.
/// - [`Clock::manual`] stands still until a test [advances](Clock::advance) it. So a test of a
///   timeout of an hour takes no time, and always has the same outcome.
/// - [`Clock::paused`] also jumps to the next timer when the loop is idle, like tokio's paused
///   clock.
///
/// asyncio has no such clock.
///
/// # Examples
///
/// A test that advances the clock:
///
/// ```
/// use std::time::Duration;
/// use sendloop::{Clock, Loop};
///
/// # fn main() -> std::io::Result<()> {
/// let clock = Clock::manual();
/// let event_loop = Loop::builder().clock(clock.clone()).build()?;
/// let sleeper = event_loop.create_task(event_loop.sleep(Duration::from_secs(3600)));
/// event_loop.run_once(Some(Duration::ZERO))?;
/// assert!(!sleeper.done());
/// clock.advance(Duration::from_secs(3600));
/// event_loop.run_until_complete(sleeper).unwrap();
/// # Ok(())
/// # }
/// ```
///
/// A test of a timeout that takes no real time:
///
/// ```
/// use std::future::pending;
/// use std::time::Duration;
/// use sendloop::{Clock, Loop, TimeoutError};
///
/// # fn main() -> std::io::Result<()> {
/// let event_loop = Loop::builder().clock(Clock::paused()).build()?;
/// let start = event_loop.time();
/// let hour = Duration::from_secs(3600);
/// let result = event_loop.run_until_complete(event_loop.wait_for(pending::<()>(), hour));
/// assert_eq!(result, Err(TimeoutError));
/// assert_eq!(event_loop.time() - start, hour);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Clock(Option<Arc<ManualClock>>);

struct ManualClock {
    start: Instant,
    /// True if an idle loop moves the clock.
    jumps: bool,
    /// One for each process: in a forked child, a lock that a thread of the parent held is never
    /// released.
    state: PerProcess<Mutex<ManualState>>,
    /// The elapsed nanoseconds, from which a forked child continues.
    elapsed: AtomicU64,
}

#[derive(Default)]
struct ManualState {
    elapsed: Duration,
    /// True if a loop uses or used the clock.
    used: bool,
    /// The wakers of the loops that use the clock. They must check their timers after an advance.
    wakers: Vec<Waker>,
}

impl ManualClock {
    fn state(&self) -> MutexGuard<'_, ManualState> {
        // A forked child cannot wake the loops of its parent, so its list starts empty.
        let state = self.state.get(|| {
            let elapsed = Duration::from_nanos(self.elapsed.load(Ordering::Acquire));
            Mutex::new(ManualState { elapsed, ..ManualState::default() })
        });
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_elapsed(&self, state: &mut ManualState, elapsed: Duration) {
        state.elapsed = elapsed;
        let nanoseconds = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.elapsed.store(nanoseconds, Ordering::Release);
    }
}

impl Clock {
    /// Returns the machine's monotonic clock.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use sendloop::{Clock, Loop};
    ///
    /// let event_loop = Loop::builder().clock(Clock::real()).build()?;
    /// assert!(event_loop.time() >= Clock::real().now() - std::time::Duration::from_secs(1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn real() -> Clock {
        Clock(None)
    }

    /// Creates a clock that stands still until it is [advanced](Clock::advance).
    ///
    /// Several loops may use one manual clock.
    ///
    /// If a loop waits for its timers alone for 10 s of real time, it logs a warning with the
    /// location that set the next timer. It logs the warning only once, and only if no executor
    /// work and no registered descriptor could wake the loop.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use sendloop::Clock;
    ///
    /// let clock = Clock::manual();
    /// let start = clock.now();
    /// clock.advance(Duration::from_secs(5));
    /// assert_eq!(clock.now() - start, Duration::from_secs(5));
    /// ```
    pub fn manual() -> Clock {
        Clock::stopped(false)
    }

    /// Creates a clock that stands still while the loop works, and jumps to the next timer when
    /// the loop is otherwise idle.
    ///
    /// The loop is idle if nothing is queued, a poll without waiting finds no event, and the
    /// executor has no job and does not shut down. A registered descriptor does not prevent a jump.
    /// So if a task waits for a peer in another thread, its timeout runs out at once. An
    /// [`add_reader`](crate::LoopHandle::add_reader) or
    /// [`add_writer`](crate::LoopHandle::add_writer) callback whose descriptor stays ready keeps
    /// the loop busy, and then the clock stands still.
    ///
    /// Each jump ends exactly at the deadline of the next timer. If there is no timer, the loop
    /// waits for events in real time. A delay of 100 years or more never ends.
    /// [`advance`](Clock::advance) works too.
    ///
    /// [`run_once`](crate::Loop::run_once) jumps at most its timeout, and
    /// [`run_until_idle`](crate::Loop::run_until_idle) never jumps.
    ///
    /// One paused clock serves one loop: a second [`build`](crate::Builder::build) with it fails
    /// with `InvalidInput`, also after the first loop is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use sendloop::{Clock, Loop};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let clock = Clock::paused();
    /// let start = clock.now();
    /// Loop::builder().clock(clock.clone()).run(async |event_loop| {
    ///     event_loop.sleep(Duration::from_secs(3600)).await;
    /// })?;
    /// assert_eq!(clock.now() - start, Duration::from_secs(3600));
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias("pause", "start_paused", "auto-advance"))]
    pub fn paused() -> Clock {
        Clock::stopped(true)
    }

    fn stopped(jumps: bool) -> Clock {
        Clock(Some(Arc::new(ManualClock {
            start: Instant::now(),
            jumps,
            state: PerProcess::new(),
            elapsed: AtomicU64::new(0),
        })))
    }

    /// Returns the present time.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use sendloop::Clock;
    ///
    /// let clock = Clock::manual();
    /// let before = clock.now();
    /// clock.advance(Duration::from_millis(1));
    /// assert_eq!(clock.now(), before + Duration::from_millis(1));
    /// ```
    pub fn now(&self) -> Instant {
        match &self.0 {
            None => Instant::now(),
            Some(manual) => manual.start + manual.state().elapsed,
        }
    }

    /// Moves a manual or paused clock forward, and wakes the loops that use it.
    ///
    /// Any thread may call this. Timers that fall due fire in the loop's next iteration, in the
    /// order of their deadlines.
    ///
    /// # Panics
    ///
    /// If this is the real clock, or if an [`Instant`] cannot hold the new time.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use sendloop::{Clock, Loop};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let clock = Clock::manual();
    /// let event_loop = Loop::builder().clock(clock.clone()).build()?;
    /// let minute = Duration::from_secs(60);
    /// let sleeper = event_loop.create_task(event_loop.sleep(minute));
    /// event_loop.run_until_idle()?;
    /// assert!(!sleeper.done());
    /// clock.advance(minute);
    /// event_loop.run_until_idle()?;
    /// assert!(sleeper.done());
    /// # Ok(())
    /// # }
    /// ```
    pub fn advance(&self, by: Duration) {
        let Some(manual) = &self.0 else {
            panic!("the real clock cannot be advanced");
        };
        let mut state = manual.state();
        let elapsed = state.elapsed.checked_add(by);
        let fits = elapsed.filter(|elapsed| manual.start.checked_add(*elapsed).is_some());
        manual.set_elapsed(&mut state, fits.expect("an Instant holds the new time"));
        let wakers = state.wakers.clone();
        drop(state);
        wakers.iter().for_each(Waker::wake_by_ref);
    }

    pub(crate) fn is_real(&self) -> bool {
        self.0.is_none()
    }

    /// Returns whether an idle loop moves this clock.
    pub(crate) fn jumps(&self) -> bool {
        self.0.as_ref().is_some_and(|manual| manual.jumps)
    }

    /// Moves a paused clock to `when`, unless an advance has moved it further.
    pub(crate) fn jump_to(&self, when: Instant) {
        if let Some(manual) = &self.0 {
            let mut state = manual.state();
            let elapsed = when.saturating_duration_since(manual.start).max(state.elapsed);
            manual.set_elapsed(&mut state, elapsed);
        }
    }

    /// Registers a loop, whose `waker` is woken at each advance.
    ///
    /// Fails with `InvalidInput` if the clock is paused and another loop uses or used it.
    pub(crate) fn subscribe(&self, waker: &Waker) -> io::Result<()> {
        if let Some(manual) = &self.0 {
            let mut state = manual.state();
            if mem::replace(&mut state.used, true) && manual.jumps {
                let what = "a paused clock serves one loop: create a clock for each loop";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
            state.wakers.push(waker.clone());
        }
        Ok(())
    }

    pub(crate) fn unsubscribe(&self, waker: &Waker) {
        if let Some(manual) = &self.0 {
            manual.state().wakers.retain(|known| !known.will_wake(waker));
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            None => "Clock::real",
            Some(manual) if manual.jumps => "Clock::paused",
            Some(_) => "Clock::manual",
        })
    }
}

#[cfg(test)]
mod tests;
