//! Polling with a clock that is not the machine's: a paused clock jumps to the next timer, a manual
//! one waits for an advance.

use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

use super::Inner;
use crate::reactor::shorter;

/// A paused clock does not jump to a timer that is this far away: it stands for one that never
/// fires.
pub(super) const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The real time after which a loop logs that its manual clock stands still.
const LIMIT: Duration = match cfg!(test) {
    false => Duration::from_secs(10),
    true => Duration::from_millis(20),
};

/// The time that a loop has waited for a manual clock.
#[derive(Default)]
pub(super) struct Standstill {
    waited: Cell<Duration>,
    /// The clock's time since then.
    clock: Cell<Option<Instant>>,
    is_logged: Cell<bool>,
}

impl Standstill {
    /// Returns how long the loop has waited since the clock came to `now`.
    fn waited_at(&self, now: Instant) -> Duration {
        if self.clock.replace(Some(now)) != Some(now) {
            self.waited.set(Duration::ZERO);
        }
        self.waited.get()
    }
}

impl Inner {
    /// Polls the reactor, for at most `limit`, and reads the messages of other threads.
    pub(super) fn poll_in_virtual_time(&self, limit: Option<Duration>) -> io::Result<()> {
        // A job wakes its task before it counts as done. So after this the poll finds that wake-up.
        let jump = self.jump(limit);
        let until_log = self.time_until_log();
        let timeout = match jump {
            Some(_) => Some(Duration::ZERO),
            None => shorter(shorter(limit, self.wait()), until_log),
        };
        let start = Instant::now();
        let events = self.reactor.events_seen();
        let is_notified = self.reactor.poll(timeout, &self.ready)?;
        if is_notified || self.door.is_unheard() {
            self.read_messages();
        }
        // A notification alone is no event: an embedder's loop notifies itself.
        let events = self.reactor.events_seen() - events - u64::from(is_notified);
        let is_idle =
            events == 0 && self.patience() != Some(Duration::ZERO) && !self.door.has_messages();
        match jump {
            Some(when) if is_idle => self.clock.jump_to(when),
            None if is_idle && until_log.is_some() => self.count_wait(start.elapsed()),
            _ => self.standstill.waited.set(Duration::ZERO),
        }
        Ok(())
    }

    /// Returns the time to which a paused clock jumps if a poll finds nothing. That is the next
    /// timer, but at most `limit` from now.
    pub(super) fn jump(&self, limit: Option<Duration>) -> Option<Instant> {
        if !self.clock.jumps() || self.reactor.patience() == Some(Duration::ZERO) {
            return None;
        }
        let now = self.clock.now();
        let wait = self.patience().filter(|wait| *wait < NEVER)?;
        let by = limit.map_or(wait, |limit| limit.min(wait));
        let may_jump = !by.is_zero() && !self.pool.is_busy(&self.watcher);
        may_jump.then(|| now + by)
    }

    /// Returns how long the loop may still wait before it logs that its manual clock stands still.
    fn time_until_log(&self) -> Option<Duration> {
        let standstill = &self.standstill;
        if standstill.is_logged.get() || self.clock.jumps() || !self.waits_for_its_timers_alone() {
            return None;
        }
        let waited = standstill.waited_at(self.clock.now());
        Some(LIMIT.saturating_sub(waited))
    }

    fn waits_for_its_timers_alone(&self) -> bool {
        let own = usize::from(self.signals.has_only_interrupt());
        self.patience().is_some_and(|wait| !wait.is_zero())
            && self.reactor.registered() == own
            && !self.pool.is_busy(&self.watcher)
    }

    fn count_wait(&self, wait: Duration) {
        let standstill = &self.standstill;
        let now = self.clock.now();
        if standstill.clock.get() == Some(now) {
            standstill.waited.set(standstill.waited.get() + wait);
        }
        let waited = standstill.waited_at(now);
        if waited < LIMIT || standstill.is_logged.replace(true) {
            return;
        }
        if let Some(place) = self.timers.next_place() {
            log::warn!(
                "the loop has waited {waited:.0?} for its manual clock, which nobody advances; its \
                 next timer was set at {place}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::mem;
    use std::panic::Location;
    use std::sync::{Mutex, mpsc};

    use log::{LevelFilter, Log, Metadata, Record};

    use super::*;
    use crate::clock::Clock;
    use crate::event_loop::{Loop, LoopHandle};
    use crate::socket::Socket;

    static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

    /// Keeps the lines about a manual clock. Other tests of this binary log too.
    struct Capture;

    impl Log for Capture {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &Record<'_>) {
            let line = record.args().to_string();
            if line.contains("manual clock") {
                LINES.lock().expect("whole").push(line);
            }
        }

        fn flush(&self) {}
    }

    const HOUR: Duration = Duration::from_secs(3600);

    fn new_loop(clock: &Clock) -> Loop {
        let built = Loop::builder().clock(clock.clone()).build();
        built.expect("a loop")
    }

    /// Runs the loop for longer than the limit, and returns the lines that it logs.
    fn logged(event_loop: &Loop) -> Vec<String> {
        for _ in 0..8 {
            event_loop.run_once(Some(LIMIT / 4)).expect("an iteration");
        }
        mem::take(&mut LINES.lock().expect("whole"))
    }

    /// Sets a timer, and returns the place of the call.
    type SetTimer = fn(&LoopHandle) -> &'static Location<'static>;

    #[track_caller]
    fn here() -> &'static Location<'static> {
        Location::caller()
    }

    #[test]
    fn manual_clock_that_nobody_advances_is_logged_once() {
        log::set_logger(&Capture).expect("the only logger");
        log::set_max_level(LevelFilter::Warn);
        let ways: [SetTimer; 3] = [
            |handle| (handle.call_later(HOUR, || {}), here()).1,
            |handle| (handle.create_task(handle.sleep(HOUR)), here()).1,
            |handle| {
                let (waiting, place) = (handle.wait_for(pending::<()>(), HOUR), here());
                handle.create_task(waiting);
                place
            },
        ];
        for set_timer in ways {
            let event_loop = new_loop(&Clock::manual());
            event_loop.call_later(HOUR * 2, || {});
            let place = set_timer(&event_loop);
            let lines = logged(&event_loop);
            assert_eq!(lines.len(), 1, "{lines:?}");
            let place = format!("{}:{}:", place.file(), place.line());
            assert!(lines[0].contains(&place), "{lines:?} without {place}");
            assert_eq!(logged(&event_loop), [""; 0]);
        }
        // One wait that is long, with the descriptor of Ctrl-C alone.
        let event_loop = new_loop(&Clock::manual());
        let _interrupt = event_loop.interrupt().expect("registered");
        event_loop.call_later(HOUR, || {});
        // The poller reports a new descriptor once.
        event_loop
            .run_once(Some(Duration::ZERO))
            .expect("an iteration");
        event_loop.run_once(None).expect("an iteration");
        assert_eq!(LINES.lock().expect("whole").len(), 1);
        LINES.lock().expect("whole").clear();
        not_logged();
    }

    /// The cases in which something else may wake the loop.
    fn not_logged() {
        for clock in [Clock::real(), Clock::manual()] {
            let event_loop = new_loop(&clock);
            assert_eq!(logged(&event_loop), [""; 0]);
            if clock.is_real() {
                event_loop.call_later(HOUR, || {});
                assert_eq!(logged(&event_loop), [""; 0]);
            }
        }
        let event_loop = new_loop(&Clock::manual());
        event_loop.call_later(HOUR, || {});
        let (release, released) = mpsc::channel::<()>();
        let job = event_loop.run_in_executor(move || released.recv().is_err());
        assert_eq!(logged(&event_loop), [""; 0]);
        drop(release);
        assert!(event_loop.run_until_complete(job).expect("ran"));
        assert_eq!(logged(&event_loop).len(), 1);

        let clock = Clock::manual();
        let event_loop = new_loop(&clock);
        event_loop.call_later(HOUR, || {});
        for _ in 0..4 {
            event_loop.run_once(Some(LIMIT / 2)).expect("an iteration");
            clock.advance(Duration::from_secs(1));
            event_loop.run_once(Some(LIMIT / 2)).expect("an iteration");
        }
        assert_eq!(mem::take(&mut *LINES.lock().expect("whole")), [""; 0]);

        let (near, _far) = Socket::pair().expect("a pair");
        let handle = event_loop.handle();
        event_loop.create_task(async move { handle.sock_recv(&near, 1).await });
        assert_eq!(logged(&event_loop), [""; 0]);
    }
}
