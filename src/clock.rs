//! The time that a loop goes by.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::sys::fork::PerProcess;

/// The time that a loop goes by: the machine's monotonic clock, or one that a test moves by hand.
///
/// With [`Clock::manual`] no timer of the loop fires until [`advance`](Clock::advance) reaches it: a test of an hour's
/// timeout takes no time and has one outcome. Clones of a clock are one clock.
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
/// let sleeper = event_loop.create_task(event_loop.sleep(Duration::from_secs(3600)));
/// event_loop.run_once(Some(Duration::ZERO))?;
/// assert!(!sleeper.done());
/// clock.advance(Duration::from_secs(3600));
/// event_loop.run_until_complete(sleeper).unwrap();
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
    /// A thread of the parent may hold the lock for ever in a forked child, so each process has one.
    state: PerProcess<Mutex<State>>,
    /// The elapsed nanoseconds, for a forked child.
    elapsed: AtomicU64,
}

struct State {
    elapsed: Duration,
    /// Loops that go by this clock. A loop that waits for a timer must look again when the time has moved.
    watchers: Vec<Waker>,
}

impl Manual {
    fn state(&self) -> MutexGuard<'_, State> {
        // A forked child cannot wake the loops of its parent, so it knows none of them.
        let state = self.state.get(|_| {
            Mutex::new(State {
                elapsed: Duration::from_nanos(self.elapsed.load(Ordering::Acquire)),
                watchers: Vec::new(),
            })
        });
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_elapsed(&self, state: &mut State, elapsed: Duration) {
        state.elapsed = elapsed;
        let nanoseconds = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.elapsed.store(nanoseconds, Ordering::Release);
    }
}

impl Clock {
    /// The machine's monotonic clock.
    pub fn real() -> Clock {
        Clock(Source::Real)
    }

    /// A clock that stands still until it is [advanced](Clock::advance).
    pub fn manual() -> Clock {
        Clock(Source::Manual(Arc::new(Manual {
            start: Instant::now(),
            state: PerProcess::new(),
            elapsed: AtomicU64::new(0),
        })))
    }

    /// The present time.
    pub fn now(&self) -> Instant {
        match &self.0 {
            Source::Real => Instant::now(),
            Source::Manual(manual) => manual.start + manual.state().elapsed,
        }
    }

    /// Moves a manual clock forward and wakes the loops that go by it. From any thread.
    ///
    /// # Panics
    ///
    /// If this is the real clock, or if the time would no longer fit an [`Instant`].
    pub fn advance(&self, by: Duration) {
        let Source::Manual(manual) = &self.0 else {
            panic!("the real clock cannot be advanced");
        };
        let watchers = {
            let mut state = manual.state();
            let elapsed = state.elapsed.checked_add(by);
            let fits = elapsed.filter(|elapsed| manual.start.checked_add(*elapsed).is_some());
            let elapsed = fits.expect("the time of a manual clock fits an Instant");
            manual.set_elapsed(&mut state, elapsed);
            state.watchers.clone()
        };
        watchers.iter().for_each(Waker::wake_by_ref);
    }

    pub(crate) fn is_manual(&self) -> bool {
        matches!(self.0, Source::Manual(_))
    }

    /// Wakes `watcher` at each advance.
    pub(crate) fn watch(&self, watcher: &Waker) {
        if let Source::Manual(manual) = &self.0 {
            manual.state().watchers.push(watcher.clone());
        }
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
        f.write_str(match self.0 {
            Source::Real => "Clock::real",
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
