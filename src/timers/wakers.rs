//! The wakers of timer entries, in an arena, so that a sleep does not allocate.

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

    /// Replaces the waker, unless it has fired, and returns the old one.
    pub(super) fn replace(&mut self, key: Key, waker: Waker) -> Option<Waker> {
        match self.wakers.get_mut(key) {
            Some(TimerWaker::Set(present, _)) => Some(mem::replace(present, waker)),
            _ => None,
        }
    }

    /// Takes the waker of an entry that fires.
    pub(super) fn fire(&mut self, key: Key) -> Option<Waker> {
        self.wakers.get_mut(key)?.fire()
    }

    /// Takes all wakers that have not fired.
    pub(super) fn fire_all(&mut self) -> Vec<Waker> {
        self.wakers
            .values_mut()
            .filter_map(TimerWaker::fire)
            .collect()
    }

    /// Returns the location that set the timer, unless it has fired.
    pub(super) fn location(&self, key: Key) -> Option<&'static Location<'static>> {
        match self.wakers.get(key)? {
            TimerWaker::Set(_, location) => Some(location),
            TimerWaker::Fired => None,
        }
    }

    /// Frees the slot of a waker, and returns the waker if it has not fired.
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
