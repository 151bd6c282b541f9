//! Detection of forked children, for one load and no system call.
//!
//! A word in memory holds the number of the current process. In a forked child it reads zero:
//!
//! - On Linux the word is in a page with MADV_WIPEONFORK (since 4.14). The kernel gives the child a
//!   page of zeros, even after a fork by the raw system call.
//! - On other systems, and if the kernel refuses that advice, a handler of pthread_atfork(3) sets
//!   the word to zero. It does not run after a fork by the raw system call.
//!
//! The first query in the child takes a number from a counter in ordinary memory. The child
//! inherits the counter, so its number is greater than those of its ancestors. A value that a child
//! must not use keeps the number of its process.
//!
//! A vfork(2) child shares its parent's memory, and so its number. Such a child may only exec or
//! exit.

use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// The word, or null before the first query. The word is never replaced or freed.
static WORD: AtomicPtr<AtomicUsize> = AtomicPtr::new(ptr::null_mut());

fn known_word() -> Option<&'static AtomicUsize> {
    // SAFETY: the pointer is null or to a word that lives as long as the process.
    unsafe { WORD.load(Ordering::Acquire).as_ref() }
}

fn word() -> &'static AtomicUsize {
    if let Some(word) = known_word() {
        return word;
    }
    let new = wiped_page().unwrap_or_else(word_that_libc_clears);
    let pointer = ptr::from_ref(new).cast_mut();
    // If two threads do this at once, the second one's page stays unused.
    let _ = WORD.compare_exchange(ptr::null_mut(), pointer, Ordering::AcqRel, Ordering::Acquire);
    known_word().unwrap_or(new)
}

/// Creates a word that the kernel clears in a forked child, or returns `None` if it cannot.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn wiped_page() -> Option<&'static AtomicUsize> {
    let len = size_of::<AtomicUsize>();
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: the call requests new memory at an address that the kernel chooses.
    let page = unsafe { libc::mmap(ptr::null_mut(), len, access, kind, -1, 0) };
    if page == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the page was mapped above, and nothing else knows of it.
    let advise = |advice| unsafe { libc::madvise(page, len, advice) } == 0;
    // Old versions of qemu's user mode report success for each advice and ignore it. An invalid
    // advice detects them.
    if advise(-1) || !advise(libc::MADV_WIPEONFORK) {
        // SAFETY: the page was mapped above, and nothing else knows of it.
        unsafe { libc::munmap(page, len) };
        return None;
    }
    // SAFETY: the page is aligned, zero and never unmapped after this. Only atomic operations read
    // and write it.
    Some(unsafe { &*page.cast::<AtomicUsize>() })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn wiped_page() -> Option<&'static AtomicUsize> {
    None
}

/// Returns a word that the C library clears in a forked child.
fn word_that_libc_clears() -> &'static AtomicUsize {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn clear() {
        NUMBER.store(0, Ordering::Relaxed);
    }
    // SAFETY: the handler is a function of this program that does nothing but an atomic store.
    let code = unsafe { libc::pthread_atfork(None, None, Some(clear)) };
    if code != 0 {
        log::error!(
            "cannot detect forked children: pthread_atfork failed with {code}; do not use a loop \
             in a forked child"
        );
    }
    &NUMBER
}

/// Returns the number of this process, or 0 in a forked child without one.
///
/// It is safe in a signal handler.
pub(crate) fn present_number() -> usize {
    known_word().map_or(0, |word| word.load(Ordering::Relaxed))
}

/// The process that created a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    word: &'static AtomicUsize,
    pub(crate) number: usize,
}

impl Default for Process {
    fn default() -> Process {
        Process::current()
    }
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

    /// Returns whether this is the current process.
    ///
    /// A value that a forked child has inherited returns false.
    #[inline]
    pub(crate) fn is_current(self) -> bool {
        self.word.load(Ordering::Relaxed) == self.number
    }
}

/// A value that each process has separately.
///
/// A thread of the parent may have held a lock in the inherited value at the fork. In the child,
/// no thread would release it.
pub(crate) struct PerProcess<T> {
    owned: AtomicPtr<Owned<T>>,
}

struct Owned<T> {
    process: Process,
    value: T,
}

impl<T: Send + Sync> PerProcess<T> {
    pub(crate) const fn new() -> PerProcess<T> {
        PerProcess { owned: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Returns the value of this process.
    ///
    /// The first call in each process creates it with `create`.
    pub(crate) fn get(&self, create: impl Fn() -> T) -> &T {
        loop {
            let present = self.owned.load(Ordering::Acquire);
            // SAFETY: the pointer is null or from a box. Only `drop` frees a box that is stored.
            let owned: Option<&Owned<T>> = unsafe { present.as_ref() };
            if let Some(owned) = owned.filter(|owned| owned.process.is_current()) {
                return &owned.value;
            }
            let fresh = Owned { process: Process::current(), value: create() };
            let fresh = Box::into_raw(Box::new(fresh));
            let (success, failure) = (Ordering::AcqRel, Ordering::Relaxed);
            if self.owned.compare_exchange(present, fresh, success, failure).is_err() {
                // SAFETY: the box was created above, and no other code has its pointer.
                drop(unsafe { Box::from_raw(fresh) });
            }
        }
    }
}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        let owned = *self.owned.get_mut();
        if !owned.is_null() {
            // SAFETY: the pointer is from a box, and all borrows of it have ended, as they end
            // before `self`. A parent's value that it replaced stays allocated.
            drop(unsafe { Box::from_raw(owned) });
        }
    }
}

/// Drops a value in a forked child that holds a descriptor of the parent's poller.
///
/// A child inherits the descriptors of epoll(7), but not those of kqueue(2). With kqueue, the
/// number may be another descriptor of the child, so the function forgets the value.
pub(crate) fn drop_inherited_poller<T>(poller: T) {
    if cfg!(any(target_os = "linux", target_os = "android")) {
        drop(poller);
    } else {
        mem::forget(poller);
    }
}

#[cfg(test)]
mod tests;
