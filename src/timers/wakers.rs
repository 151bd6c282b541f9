//! Who is woken at some time: a waker in a location that is used again, so that setting an alarm asks for no memory.

use std::mem;
use std::panic::Location;
use std::task::Waker;

use crate::slots::{Key, Slots};

enum TimerWaker {
    Set(Waker, &'static Location<'static>),
    Fired,
}

impl TimerWaker {
    fn fire(&mut self) -> Option<Waker> {
        match mem::replace(self, TimerWaker::Fired) {
            TimerWaker::Set(waker, _) => Some(waker),
            TimerWaker::Fired => None,
        }
    }
}

#[derive(Default)]
pub(super) struct TimerWakers {
    wakers: Slots<TimerWaker>,
}

impl TimerWakers {
    pub(super) fn add(&mut self, waker: Waker, location: &'static Location<'static>) -> Key {
        self.wakers.insert(TimerWaker::Set(waker, location))
    }

    pub(super) fn has(&self, key: Key) -> bool {
        self.wakers.get(key).is_some()
    }

    /// Gives the waker that was to be woken before, where the alarm has not rung.
    pub(super) fn renew(&mut self, key: Key, waker: Waker) -> Option<Waker> {
        match self.wakers.get_mut(key) {
            Some(TimerWaker::Set(before, _)) => Some(mem::replace(before, waker)),
            _ => None,
        }
    }

    /// The waker to be woken now.
    pub(super) fn fire(&mut self, key: Key) -> Option<Waker> {
        self.wakers.get_mut(key)?.fire()
    }

    /// All wakers that are to be woken at some time.
    pub(super) fn fire_all(&mut self) -> Vec<Waker> {
        self.wakers
            .values_mut()
            .filter_map(TimerWaker::fire)
            .collect()
    }

    /// Returns the location that set the alarm, unless it has rung.
    pub(super) fn location(&self, key: Key) -> Option<&'static Location<'static>> {
        match self.wakers.get(key)? {
            TimerWaker::Set(_, location) => Some(location),
            TimerWaker::Fired => None,
        }
    }

    /// The waker that will not be woken.
    pub(super) fn remove(&mut self, key: Key) -> Option<Waker> {
        match self.wakers.remove(key)? {
            TimerWaker::Set(waker, _) => Some(waker),
            TimerWaker::Fired => None,
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.wakers.len()
    }
}
