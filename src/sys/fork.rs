//! Notices that this process is a forked child, for one load and no system call.
//!
//! A word in memory holds the number of the present process. In a forked child it reads zero:
//!
//! - On Linux the word is in a page with MADV_WIPEONFORK (since 4.14): the kernel gives the child a
//!   page of zeros, also if it was forked by the raw system call.
//! - Elsewhere, and if the kernel refuses that advice, a handler of pthread_atfork(3) sets the word
//!   to zero in the child. A fork by the raw system call is not noticed then.
//!
//! Whoever asks first in the child gives it a number, from a counter in ordinary memory. The child
//! inherits the counter, so its number is not that of any ancestor. Each value that must not be
//! used in a child keeps the number of its process.
//!
//! A vfork(2) child shares the memory of its parent, and so it shares the number: it may do nothing
//! but exec or exit anyway.

use std::fmt;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// Null until the first question; then it is never changed, and what it points to is never freed.
static WORD: AtomicPtr<AtomicUsize> = AtomicPtr::new(ptr::null_mut());

fn known_word() -> Option<&'static AtomicUsize> {
    // SAFETY: the pointer is null or to a word that lives as long as the process.
    unsafe { WORD.load(Ordering::Acquire).as_ref() }
}

fn word() -> &'static AtomicUsize {
    if let Some(word) = known_word() {
        return word;
    }
    let made = wiped_page().unwrap_or_else(word_that_libc_clears);
    let place = ptr::from_ref(made).cast_mut();
    // Two threads may come here at once. The second one's page stays unused.
    let first = ptr::null_mut();
    match WORD.compare_exchange(first, place, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => made,
        Err(_) => known_word().unwrap_or(made),
    }
}

/// A word that the kernel clears in a forked child; `None` if it cannot.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn wiped_page() -> Option<&'static AtomicUsize> {
    let len = size_of::<AtomicUsize>();
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: it asks for new memory at an address that the kernel chooses.
    let page = unsafe { libc::mmap(ptr::null_mut(), len, access, kind, -1, 0) };
    if page == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the page was mapped above, and nothing else knows of it.
    let advise = |advice| unsafe { libc::madvise(page, len, advice) } == 0;
    // Old versions of qemu's user mode report success for each advice and ignore it. One that no
    // system has shows that.
    if advise(-1) || !advise(libc::MADV_WIPEONFORK) {
        // SAFETY: the page was mapped above, and nothing else knows of it.
        unsafe { libc::munmap(page, len) };
        return None;
    }
    // SAFETY: the page is aligned, zero and never unmapped from here on; only atomic operations
    // read and write it.
    Some(unsafe { &*page.cast::<AtomicUsize>() })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn wiped_page() -> Option<&'static AtomicUsize> {
    None
}

/// A word that the C library clears in a forked child.
fn word_that_libc_clears() -> &'static AtomicUsize {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn clear() {
        NUMBER.store(0, Ordering::Relaxed);
    }
    // SAFETY: the handler is a function of this program that does nothing but an atomic store.
    let code = unsafe { libc::pthread_atfork(None, None, Some(clear)) };
    if code != 0 {
        log::error!("a forked child will not be noticed: pthread_atfork failed with {code}");
    }
    &NUMBER
}

/// The number of this process, or 0 in a forked child that has none yet. Safe in a signal handler.
pub(crate) fn present_number() -> usize {
    known_word().map_or(0, |word| word.load(Ordering::Relaxed))
}

/// The process that made a value.
#[derive(Clone, Copy)]
pub(crate) struct Process {
    word: &'static AtomicUsize,
    number: usize,
}

impl Process {
    pub(crate) fn current() -> Process {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let word = word();
        let mut number = word.load(Ordering::Relaxed);
        if number == 0 {
            number = NEXT.fetch_add(1, Ordering::Relaxed);
            let set = word.compare_exchange(0, number, Ordering::Relaxed, Ordering::Relaxed);
            number = set.map_or_else(|other| other, |_| number);
        }
        Process { word, number }
    }

    /// Returns whether this still is that process. False in a forked child, for a value that it
    /// inherited.
    #[inline]
    pub(crate) fn is_current(self) -> bool {
        self.word.load(Ordering::Relaxed) == self.number
    }

    pub(crate) fn number(self) -> usize {
        self.number
    }
}

impl Default for Process {
    fn default() -> Process {
        Process::current()
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Process").field(&self.number).finish()
    }
}

/// A value of which each process has its own: a forked child may find the lock in the inherited
/// one taken for ever.
pub(crate) struct PerProcess<T> {
    made: AtomicPtr<Made<T>>,
}

struct Made<T> {
    process: Process,
    value: T,
}

impl<T: Send + Sync> PerProcess<T> {
    pub(crate) const fn new() -> PerProcess<T> {
        PerProcess {
            made: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Returns the value of this process. The first call in each process has `make` make it, from
    /// the parent's if there is one.
    pub(crate) fn get(&self, make: impl Fn(Option<&T>) -> T) -> &T {
        let mut place = self.made.load(Ordering::Acquire);
        loop {
            // SAFETY: the pointer is null or from a box. Once a box is here, only `drop` frees it.
            let made: Option<&Made<T>> = unsafe { place.as_ref() };
            if let Some(made) = made.filter(|made| made.process.is_current()) {
                return &made.value;
            }
            let fresh = Box::into_raw(Box::new(Made {
                process: Process::current(),
                value: make(made.map(|made| &made.value)),
            }));
            let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
            place = match self.made.compare_exchange(place, fresh, success, failure) {
                Ok(_) => fresh,
                Err(other) => {
                    // SAFETY: the box was made above, and nothing else has seen it.
                    drop(unsafe { Box::from_raw(fresh) });
                    other
                }
            };
        }
    }
}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        let made = *self.made.get_mut();
        if !made.is_null() {
            // SAFETY: the pointer is from a box. Nothing borrows from it any more, as the borrows
            // end before `self`. A value that it has replaced stays allocated.
            drop(unsafe { Box::from_raw(made) });
        }
    }
}

/// Drops, in a forked child, what holds a descriptor of the parent's poller.
///
/// A child inherits the descriptors of epoll(7). It does not inherit those of kqueue(2): there the
/// number may name another descriptor of the child by now, so the value is forgotten.
pub(crate) fn drop_inherited_poller<T>(poller: T) {
    if cfg!(any(target_os = "linux", target_os = "android")) {
        drop(poller);
    } else {
        mem::forget(poller);
    }
}

#[cfg(test)]
mod tests;
