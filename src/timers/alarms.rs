//! Who is woken at some time: a waker in a place that is used again, so that setting an alarm asks for no memory.

use std::mem;
use std::panic::Location;
use std::task::Waker;

use crate::slots::{Key, Slots};

enum Alarm {
    Set(Waker, &'static Location<'static>),
    Rung,
}

impl Alarm {
    fn ring(&mut self) -> Option<Waker> {
        match mem::replace(self, Alarm::Rung) {
            Alarm::Set(waker, _) => Some(waker),
            Alarm::Rung => None,
        }
    }
}

#[derive(Default)]
pub(super) struct Alarms {
    alarms: Slots<Alarm>,
}

impl Alarms {
    pub(super) fn set(&mut self, waker: Waker, place: &'static Location<'static>) -> Key {
        self.alarms.insert(Alarm::Set(waker, place))
    }

    pub(super) fn has(&self, key: Key) -> bool {
        self.alarms.get(key).is_some()
    }

    /// Gives the waker that was to be woken before, where the alarm has not rung.
    pub(super) fn renew(&mut self, key: Key, waker: Waker) -> Option<Waker> {
        match self.alarms.get_mut(key) {
            Some(Alarm::Set(before, _)) => Some(mem::replace(before, waker)),
            _ => None,
        }
    }

    /// The waker to be woken now.
    pub(super) fn ring(&mut self, key: Key) -> Option<Waker> {
        self.alarms.get_mut(key)?.ring()
    }

    /// All wakers that are to be woken at some time.
    pub(super) fn ring_all(&mut self) -> Vec<Waker> {
        self.alarms.values_mut().filter_map(Alarm::ring).collect()
    }

    /// Returns the place that set the alarm, unless it has rung.
    pub(super) fn place(&self, key: Key) -> Option<&'static Location<'static>> {
        match self.alarms.get(key)? {
            Alarm::Set(_, place) => Some(place),
            Alarm::Rung => None,
        }
    }

    /// The waker that will not be woken.
    pub(super) fn remove(&mut self, key: Key) -> Option<Waker> {
        match self.alarms.remove(key)? {
            Alarm::Set(waker, _) => Some(waker),
            Alarm::Rung => None,
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.alarms.len()
    }
}
