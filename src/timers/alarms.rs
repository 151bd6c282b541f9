//! Who is woken at some time: a waker in a place that is used again, so that setting an alarm asks for no memory.

use std::mem;
use std::task::Waker;

use crate::slots::{Key, Slots};

enum Alarm {
    Set(Waker),
    Rung,
}

#[derive(Default)]
pub(super) struct Alarms {
    alarms: Slots<Alarm>,
}

impl Alarms {
    pub(super) fn set(&mut self, waker: Waker) -> Key {
        self.alarms.insert(Alarm::Set(waker))
    }

    pub(super) fn has(&self, key: Key) -> bool {
        self.alarms.get(key).is_some()
    }

    /// Gives the waker that was to be woken before, where the alarm has not rung.
    pub(super) fn renew(&mut self, key: Key, waker: &Waker) -> Option<Waker> {
        match self.alarms.get_mut(key) {
            Some(Alarm::Set(before)) => Some(mem::replace(before, waker.clone())),
            _ => None,
        }
    }

    /// The waker to be woken now.
    pub(super) fn ring(&mut self, key: Key) -> Option<Waker> {
        let alarm = self.alarms.get_mut(key)?;
        match mem::replace(alarm, Alarm::Rung) {
            Alarm::Set(waker) => Some(waker),
            Alarm::Rung => None,
        }
    }

    /// The waker that will not be woken.
    pub(super) fn remove(&mut self, key: Key) -> Option<Waker> {
        match self.alarms.remove(key)? {
            Alarm::Set(waker) => Some(waker),
            Alarm::Rung => None,
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.alarms.len()
    }
}
