//! A cache of open files that is never stale.
//!
//! The promise: an answer is no older than a change whose system call returned before the request
//! was sent. The cache keeps it in these steps:
//!
//! 1. A search finds a file, and lists what it found at each path.
//! 2. [`Watches`] watches each step of these paths, and then checks again what is there. The cache
//!    reads a small file.
//! 3. If everything is as the search found it, and no watch has an event, the file is kept.
//! 4. After a request was received, one poll(2) asks for events. A file is used only if every fact
//!    that led to it still holds.
//!
//! A file is not kept if a part of its way cannot be watched. Asynchronous writes, and writes
//! beneath an overlay, may cause no event in time. So the cache compares the size and times of a
//! file once a second. Nothing else shows stores to a shared mapping.
//!
//! The cache is bounded in files, each of which has a descriptor, and in bytes. A full cache takes
//! no more files, and closes those without a request within seconds.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sendloop::LoopHandle;

use crate::find::{Opened, Seen, Stamp, Wanted};
use crate::root::Root;
use crate::watches::{Fact, Watches};

/// The most files of a loop, and the most bytes of small files.
const MAX_FILES: usize = 16 << 10;
const MAX_BYTES: usize = 64 << 20;

/// The longest path that is kept. With `--spa` a client can choose paths of 8 KiB.
const MAX_PATH: usize = 1 << 10;

/// The time after which a file without a request is closed.
const IDLE: Duration = Duration::from_secs(15);

/// The interval at which files that changed or are idle are closed, and how old a comparison of a
/// file's times may be.
const SWEEP: Duration = Duration::from_secs(1);

pub(crate) struct Cache {
    event_loop: LoopHandle,
    max_files: usize,
    /// `None` if there is no cache.
    kept: RefCell<Option<Kept>>,
    is_sweeping: Cell<bool>,
}

struct Kept {
    watches: Watches,
    files: HashMap<Wanted, CachedFile>,
    bytes: usize,
    /// No file is kept until then. If mounts are frequent, filling a cache costs more than it
    /// saves.
    resting_until: Instant,
}

struct CachedFile {
    opened: Arc<Opened>,
    facts: Vec<Rc<Fact>>,
    /// The denials at which every fact held.
    checked: u64,
    used: Instant,
    compared: Instant,
}

impl CachedFile {
    fn holds(&mut self, denials: u64) -> bool {
        if self.checked != denials && self.facts.iter().all(|fact| fact.holds()) {
            self.checked = denials;
        }
        self.checked == denials
    }

    fn bytes(&self) -> usize {
        self.opened.content.get().map_or(0, |content| content.len())
    }

    /// Compares the file's size and times with those that were found.
    fn is_unchanged(&self) -> bool {
        let now = self.opened.file.metadata();
        now.is_ok_and(|now| Stamp::of(&now) == Stamp::of(&self.opened.metadata))
    }
}

impl Cache {
    /// A cache of at most so many files. With 0 there is none.
    pub(crate) fn new(event_loop: LoopHandle, max_files: usize) -> Rc<Cache> {
        let watches = (max_files > 0).then(Watches::new).flatten();
        let resting_until = event_loop.time();
        Rc::new(Cache {
            event_loop,
            max_files: max_files.min(MAX_FILES),
            kept: RefCell::new(watches.map(|watches| Kept {
                watches,
                files: HashMap::new(),
                bytes: 0,
                resting_until,
            })),
            is_sweeping: Cell::new(false),
        })
    }

    /// Returns what a search would find now, if it is kept. The request must have been received.
    pub(crate) fn get(&self, wanted: &Wanted) -> Option<Arc<Opened>> {
        let mut kept = self.kept.borrow_mut();
        let kept = kept.as_mut()?;
        let entry = kept.files.get_mut(wanted)?;
        let now = self.event_loop.time();
        if !kept.watches.refresh() {
            kept.resting_until = now + SWEEP;
        }
        let is_compared = |entry: &CachedFile| now.duration_since(entry.compared) < SWEEP;
        let holds = entry.holds(kept.watches.denials());
        if holds && !is_compared(entry) && entry.is_unchanged() {
            entry.compared = now;
        }
        if !holds || !is_compared(entry) {
            // The search that follows finds it anew.
            entry.used = now.checked_sub(IDLE)?;
            return None;
        }
        entry.used = now;
        Some(entry.opened.clone())
    }

    /// Keeps a file for the next request, if all that led to it can be watched.
    pub(crate) fn keep(
        self: &Rc<Cache>,
        root: &Root,
        wanted: Wanted,
        seen: &[Seen],
        opened: &Arc<Opened>,
    ) {
        let now = self.event_loop.time();
        let mut kept = self.kept.borrow_mut();
        let Some(kept) = kept.as_mut().filter(|kept| kept.has_room(self.max_files)) else {
            return;
        };
        if now < kept.resting_until || wanted.target.path.as_os_str().len() > MAX_PATH {
            return;
        }
        let mut facts = Vec::new();
        let is_same = seen.iter().all(|(path, stamp)| {
            let watched = kept.watches.watch(&root.path().join(path), &mut facts);
            watched.is_ok_and(|watched| watched == *stamp)
        });
        opened.keep_content();
        let mut entry =
            CachedFile { opened: opened.clone(), facts, checked: 0, used: now, compared: now };
        if is_same && kept.refresh(now) && entry.holds(kept.watches.denials()) {
            kept.insert(wanted, entry);
        } else {
            kept.watches.forget(entry.facts);
        }
        // The sweep also forgets watches of directories that no file needs.
        self.sweep_later();
    }

    /// Closes all files, as descriptors are needed. Returns whether there were any.
    pub(crate) fn clear(&self) -> bool {
        let mut kept = self.kept.borrow_mut();
        kept.as_mut().is_some_and(|kept| kept.retain(|_| false) > 0)
    }

    fn sweep_later(self: &Rc<Cache>) {
        if !self.is_sweeping.replace(true) {
            let cache = self.clone();
            self.event_loop.call_later(SWEEP, move || cache.sweep());
        }
    }

    fn sweep(self: Rc<Cache>) {
        self.is_sweeping.set(false);
        let now = self.event_loop.time();
        let mut kept = self.kept.borrow_mut();
        let Some(kept) = &mut *kept else {
            return;
        };
        kept.refresh(now);
        kept.watches.forget_ways();
        let denials = kept.watches.denials();
        kept.retain(|entry| entry.holds(denials) && now.duration_since(entry.used) < IDLE);
        if !kept.files.is_empty() {
            self.sweep_later();
        }
    }
}

impl Kept {
    fn has_room(&self, max_files: usize) -> bool {
        self.files.len() < max_files && self.bytes < MAX_BYTES
    }

    /// Takes note of changes. Returns `false` if all files were dropped.
    fn refresh(&mut self, now: Instant) -> bool {
        let is_known = self.watches.refresh();
        if !is_known {
            self.resting_until = now + SWEEP;
        }
        is_known
    }

    fn insert(&mut self, wanted: Wanted, entry: CachedFile) {
        self.bytes += entry.bytes();
        if let Some(replaced) = self.files.insert(wanted, entry) {
            self.bytes -= replaced.bytes();
            self.watches.forget(replaced.facts);
        }
    }

    /// Drops the other files, and returns their number.
    fn retain(&mut self, mut stays: impl FnMut(&mut CachedFile) -> bool) -> usize {
        let before = self.files.len();
        self.files.retain(|_, entry| {
            let stays = stays(entry);
            if !stays {
                self.bytes -= entry.bytes();
                self.watches.forget(mem::take(&mut entry.facts));
            }
            stays
        });
        before - self.files.len()
    }
}
