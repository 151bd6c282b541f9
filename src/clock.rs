//! The time that a loop goes by.

use std::fmt;
use std::io;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

/// The clock of a loop: the machine's monotonic clock, or virtual time for tests.
///
/// All timers of a loop use its clock: `call_later`, `sleep`, `wait_for`, `stall_timeout`. Clones
/// of a clock are one clock.
///
/// - [`Clock::real`] is the machine's clock and the default.
/// - [`Clock::manual`] stands still until a test [advances](Clock::advance) it. A test of an hour's
///   timeout takes no time and has one outcome.
/// - [`Clock::paused`] also jumps to the next timer by itself when the loop is idle, as tokio's
///   paused clock does.
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
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    Real,
    Manual(Arc<Manual>),
}

struct Manual {
    start: Instant,
    /// True if the loop moves it when it is idle.
    jumps: bool,
    state: Mutex<State>,
}

struct State {
    elapsed: Duration,
    /// True if a loop uses or used it.
    used: bool,
    /// Loops that go by this clock. A loop that waits for a timer must look again when the time has moved.
    watchers: Vec<Waker>,
}

impl Manual {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock {
    /// Returns the machine's monotonic clock.
    pub fn real() -> Clock {
        Clock(Source::Real)
    }

    /// Creates a clock that stands still until it is [advanced](Clock::advance).
    ///
    /// Several loops may use one manual clock.
    ///
    /// If a loop has waited for its own timers for 10 s of real time, it logs a warning with the
    /// place that set the next timer. It logs this once, and only if no executor work and no
    /// registered descriptor could wake it.
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
        Clock::standing(false)
    }

    /// Creates a clock that stands still while the loop works, and jumps to the next timer when
    /// the loop is otherwise idle.
    ///
    /// The loop is idle if nothing is queued, a poll without waiting finds no event, and no
    /// executor job is queued or running. A registered descriptor does not prevent a jump, so a
    /// timeout of a socket that a peer in another thread has yet to serve runs out at once.
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
    #[doc(alias = "pause")]
    #[doc(alias = "start_paused")]
    #[doc(alias = "auto-advance")]
    pub fn paused() -> Clock {
        Clock::standing(true)
    }

    fn standing(jumps: bool) -> Clock {
        Clock(Source::Manual(Arc::new(Manual {
            start: Instant::now(),
            jumps,
            state: Mutex::new(State {
                elapsed: Duration::ZERO,
                used: false,
                watchers: Vec::new(),
            }),
        })))
    }

    /// Returns the present time.
    pub fn now(&self) -> Instant {
        match &self.0 {
            Source::Real => Instant::now(),
            Source::Manual(manual) => manual.start + manual.state().elapsed,
        }
    }

    /// Moves a manual or paused clock forward, and wakes the loops that use it.
    ///
    /// Any thread may call this. Timers that fall due fire in the loop's next iteration, in the
    /// order of their deadlines.
    ///
    /// # Panics
    ///
    /// If this is the real clock, or if the time would no longer fit an [`Instant`].
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
        let Source::Manual(manual) = &self.0 else {
            panic!("the real clock cannot be advanced");
        };
        let watchers = {
            let mut state = manual.state();
            let elapsed = state.elapsed.checked_add(by);
            let fits = elapsed.filter(|elapsed| manual.start.checked_add(*elapsed).is_some());
            state.elapsed = fits.expect("the time of the clock fits an Instant");
            state.watchers.clone()
        };
        watchers.iter().for_each(Waker::wake_by_ref);
    }

    pub(crate) fn is_real(&self) -> bool {
        matches!(self.0, Source::Real)
    }

    /// Returns whether an idle loop moves this clock.
    pub(crate) fn jumps(&self) -> bool {
        matches!(&self.0, Source::Manual(manual) if manual.jumps)
    }

    /// Moves a paused clock to `when`, unless an advance has moved it further.
    pub(crate) fn jump_to(&self, when: Instant) {
        if let Source::Manual(manual) = &self.0 {
            let mut state = manual.state();
            let elapsed = when.saturating_duration_since(manual.start);
            state.elapsed = state.elapsed.max(elapsed);
        }
    }

    /// Registers a loop, whose `watcher` is woken at each advance.
    ///
    /// Fails with `InvalidInput` if the clock is paused and another loop uses it.
    pub(crate) fn watch(&self, watcher: &Waker) -> io::Result<()> {
        if let Source::Manual(manual) = &self.0 {
            let mut state = manual.state();
            if mem::replace(&mut state.used, true) && manual.jumps {
                let what = "a paused clock serves one loop: create a clock for each loop";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
            state.watchers.push(watcher.clone());
        }
        Ok(())
    }

    pub(crate) fn unwatch(&self, watcher: &Waker) {
        if let Source::Manual(manual) = &self.0 {
            let mut state = manual.state();
            state.watchers.retain(|known| !known.will_wake(watcher));
        }
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::real()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Source::Real => "Clock::real",
            Source::Manual(manual) if manual.jumps => "Clock::paused",
            Source::Manual(_) => "Clock::manual",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_advanced_and_its_clones_with_it() {
        let clock = Clock::manual();
        let start = clock.now();
        assert_eq!(clock.now(), start);
        clock.clone().advance(Duration::from_millis(5));
        assert_eq!(clock.now() - start, Duration::from_millis(5));
    }

    #[test]
    #[should_panic(expected = "real clock")]
    fn the_real_clock_cannot_be_advanced() {
        Clock::real().advance(Duration::ZERO);
    }
}
