//! What was found since the loop last looked at its sockets.
//!
//! A request that the poller has announced was sent before that look. So what is found after the look is as new as any such
//! request can expect, and all of them may have it: when many ask for one file in one turn, it is looked up once, and one that is
//! small is read once. There is nothing to be kept up to date: the next turn finds everything anew.
//!
//! Who was not announced has no right to it: a request that came behind another in one piece, or the first of a connection. What is left
//! is a connection that is announced for bytes it has read already, and whose next request comes between that poll and its step: it
//! may be answered with what was there at the poll.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use sendloop::LoopHandle;

use crate::encoding::Acceptable;
use crate::find::{Opened, Wanted};

/// How many files of one turn are remembered; each holds a descriptor.
const MOST: usize = 8;

/// How long those of the last turn stay open where no other follows.
const SWEEP: Duration = Duration::from_secs(1);

pub(crate) struct Recent {
    event_loop: LoopHandle,
    turn: Cell<u64>,
    found: RefCell<Vec<Found>>,
    sweeping: Cell<bool>,
}

struct Found {
    path: PathBuf,
    is_directory: bool,
    acceptable: Acceptable,
    opened: Arc<Opened>,
}

impl Found {
    fn answers(&self, wanted: &Wanted) -> bool {
        let target = &wanted.target;
        self.acceptable == wanted.acceptable
            && self.is_directory == target.is_directory
            // As text: comparing paths takes them apart.
            && self.path.as_os_str() == target.path.as_os_str()
    }
}

impl Recent {
    pub(crate) fn new(event_loop: LoopHandle) -> Recent {
        Recent {
            event_loop,
            turn: Cell::new(0),
            found: RefCell::default(),
            sweeping: Cell::new(false),
        }
    }

    /// Names the turn that the loop is in.
    pub(crate) fn turn(&self) -> u64 {
        self.event_loop.stats().iterations
    }

    /// What was found in this turn.
    pub(crate) fn get(&self, wanted: &Wanted) -> Option<Arc<Opened>> {
        if self.turn.get() != self.turn() {
            return None;
        }
        let found = self.found.borrow();
        let found = found.iter().find(|found| found.answers(wanted));
        found.map(|found| found.opened.clone())
    }

    /// Remembers what has just been found.
    pub(crate) fn put(self: &Rc<Recent>, wanted: Wanted, opened: &Arc<Opened>) {
        let mut found = self.found.borrow_mut();
        let turn = self.turn();
        if self.turn.replace(turn) != turn {
            found.clear();
        }
        found.retain(|found| !found.answers(&wanted));
        if found.len() < MOST {
            found.push(Found {
                path: wanted.target.path,
                is_directory: wanted.target.is_directory,
                acceptable: wanted.acceptable,
                opened: opened.clone(),
            });
        }
        if !self.sweeping.replace(true) {
            let recent = self.clone();
            self.event_loop.call_later(SWEEP, move || recent.sweep());
        }
    }

    fn sweep(&self) {
        self.sweeping.set(false);
        self.found.borrow_mut().clear();
    }
}
