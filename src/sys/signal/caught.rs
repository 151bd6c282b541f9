//! The way of a signal from its handler to the loops.
//!
//! A signal handler must not allocate or lock. Ours walks a list of slots, one for each loop that
//! catches signals. If a slot wants the signal, the handler writes the signal's number to the
//! slot's pipe, which wakes its loop.
//!
//! - Slots are reused and never freed, so the handler can walk the list at any time. The list is as
//!   long as the largest number of loops that caught signals at once.
//! - The bytes in a pipe keep the order in which signals arrived. If a pipe is full, the handler
//!   counts the signal instead.
//! - The owner of a slot closes the pipe only after all handlers that may have read its number:
//!   1. The owner sets the number to -1.
//!   2. It waits until no handler runs. A handler that begins later reads -1.
//!   3. It closes the pipe.
//! - In a forked child, the handler does not use the parent's slots, as their pipes belong to the
//!   parent. If only a loop of the parent wants the signal, the handler installs the former action
//!   and raises the signal again.
//!
//! # Dispositions
//!
//! Other code of the program is foreign code here. It may install its handlers at any time. It may
//! also call our handler, or install it again later.
//!
//! 1. `catch` installs our handler. It keeps the action that it replaces as the former action,
//!    unless that is our handler.
//! 2. `release` installs the former action if no slot wants the signal and our handler is
//!    installed.
//! 3. If a foreign handler calls ours, ours only serves the slots that want the signal.
//! 4. If our handler is installed and no slot wants each such signal, the handler installs the
//!    former action. Either a foreign handler installed ours too late, or this is the first Ctrl-C
//!    of [`run`](crate::run), for which a slot wants SIGINT once. The loop ignores this signal, or
//!    it cancels `run`. The next one has the effect from before the loop.
//! 5. A slot's mark shows that it wants a signal. `catch` sets the mark before it installs the
//!    handler, and the mark stays until the handler is replaced. A handler is counted first, and
//!    then reads the marks. `catch` sets its mark and then waits until none is counted. So after
//!    `catch` returns, no handler installs the former action while the mark is set.
//! 6. Two threads may each get a Ctrl-C at once. The first handler interrupts [`run`](crate::run)
//!    and installs the default. The second one finds the default and raises its signal again, which
//!    ends the process.

use std::io::{self, Read};
use std::iter;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize,
};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use super::{DEFAULT, is_default, read, replace, swap};
use crate::sys::fork::{self, PerProcess, Process};
use crate::sys::{cvt, uninterrupted};

/// The number of signals and one more, as they begin at 1. Linux's last one is 64.
const NUMBERS: usize = 65;
/// A byte that only wakes the loop, as no signal has this number.
const WAKE: u8 = 0;
/// Flags with which an interrupted system call of the program continues, as in asyncio.
const FLAGS: libc::c_int = libc::SA_RESTART | libc::SA_ONSTACK;

/// The marks of a slot for a signal.
const UNWANTED: u8 = 0;
/// The handler posts each of these signals.
const WANTED: u8 = 1;
/// The handler posts the next signal, and removes the mark as it installs the former action.
const WANTED_ONCE: u8 = 2;

/// The part of a [`SignalSlot`] that the handler uses.
struct SharedSlot {
    next: AtomicPtr<SharedSlot>,
    taken: AtomicBool,
    /// The number of the process that owns the slot.
    process: AtomicUsize,
    pipe: AtomicI32,
    marks: [AtomicU8; NUMBERS],
    /// The number of times that each signal arrived while the pipe was full.
    overflow: [AtomicU32; NUMBERS],
}

impl SharedSlot {
    /// Returns whether the slot belongs to the parent of this forked child.
    fn is_inherited(&self) -> bool {
        self.process.load(SeqCst) != fork::present_number()
    }

    fn wants(&self, number: usize) -> bool {
        self.marks[number].load(SeqCst) != UNWANTED
    }

    /// If the slot's mark is `mark`, replaces it by `next` and writes the signal to the pipe.
    ///
    /// If the pipe is full, it counts the signal. It is safe in a signal handler.
    fn post(&self, number: usize, mark: u8, next: u8) -> bool {
        let is_posted = self.marks[number].compare_exchange(mark, next, SeqCst, SeqCst).is_ok();
        if is_posted && !self.write(number as u8) {
            self.overflow[number].fetch_add(1, SeqCst);
            // The loop may have emptied the pipe before the count rose. Without this byte it would
            // not wake.
            self.write(WAKE);
        }
        is_posted
    }

    /// Writes a byte to the pipe, and returns false if the pipe is full or closed.
    fn write(&self, byte: u8) -> bool {
        let pipe = self.pipe.load(SeqCst);
        // SAFETY: the pointer is to one byte of a local. The owner closes the pipe only after all
        // handlers have ended.
        let write = || cvt(unsafe { libc::write(pipe, ptr::from_ref(&byte).cast(), 1) });
        pipe >= 0 && uninterrupted(write).is_ok()
    }
}

static SLOTS: AtomicPtr<SharedSlot> = AtomicPtr::new(ptr::null_mut());

/// The former actions, or null for the default.
///
/// Only the holder of the lock sets one. Then it waits for all [`HandlerCount`]s, and frees the old
/// one.
static FORMER: [AtomicPtr<libc::sigaction>; NUMBERS] =
    [const { AtomicPtr::new(ptr::null_mut()) }; NUMBERS];

/// Returns the former action of a signal, or `None` for a number that is no signal.
fn former(number: usize, _counted: &HandlerCount) -> Option<&libc::sigaction> {
    let former = FORMER.get(number)?.load(SeqCst);
    // SAFETY: the pointer is null or from a box, which stays while `_counted` exists.
    Some(unsafe { former.as_ref() }.unwrap_or(&DEFAULT))
}

/// Locks the former actions.
///
/// Apart from the handler and foreign code, only the holder of this lock installs actions. A forked
/// child takes no lock that a thread of the parent may have held at the fork.
fn lock() -> MutexGuard<'static, ()> {
    static LOCK: PerProcess<Mutex<()>> = PerProcess::new();
    let lock = LOCK.get(|| Mutex::new(()));
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of handlers that run now and of other readers of former actions, below the number of
/// their process.
///
/// A forked child has no thread that runs a handler of its parent. Its process number is greater
/// than that of its parent, so the parent's count is less than its count without any handler.
static HANDLERS: AtomicU64 = AtomicU64::new(0);

/// A guard that counts a running handler, or another reader of a former action.
///
/// It is safe in a signal handler.
struct HandlerCount {
    /// The count of this process without any handler.
    zero: u64,
}

impl HandlerCount {
    fn zero() -> u64 {
        (Process::current().number as u64) << 32
    }

    fn begin() -> HandlerCount {
        let zero = HandlerCount::zero();
        let add = |count: u64| Some(count.max(zero) + 1);
        let _ = HANDLERS.fetch_update(SeqCst, SeqCst, add);
        HandlerCount { zero }
    }

    /// Waits until no handler is counted. A handler is short, and no call of it waits.
    fn wait_for_all() {
        while HANDLERS.load(SeqCst) > HandlerCount::zero() {
            thread::yield_now();
        }
    }
}

impl Drop for HandlerCount {
    fn drop(&mut self) {
        // In a forked child, the count of the parent may be gone.
        let is_own = |count: u64| count > self.zero && count >> 32 == self.zero >> 32;
        let subtract = |count: u64| is_own(count).then(|| count - 1);
        let _ = HANDLERS.fetch_update(SeqCst, SeqCst, subtract);
    }
}

fn slots() -> impl Iterator<Item = &'static SharedSlot> {
    let mut next = SLOTS.load(SeqCst);
    iter::from_fn(move || {
        // SAFETY: the pointer is null at the end of the list. Otherwise it is to a leaked box.
        let shared: &'static SharedSlot = unsafe { next.as_ref() }?;
        next = shared.next.load(SeqCst);
        Some(shared)
    })
}

/// Returns the slots of this process.
fn own_slots() -> impl Iterator<Item = &'static SharedSlot> {
    slots().filter(|slot| !slot.is_inherited())
}

/// Returns whether our handler is installed over the default and no slot of this process needs it.
///
/// In a forked child, that is so if only the parent catches the signal.
pub(super) fn is_unneeded_over_default(signal: i32, present: &libc::sigaction) -> bool {
    let (number, counted) = (signal as usize, HandlerCount::begin());
    present.sa_sigaction == handler_address()
        && former(number, &counted).is_some_and(|former| former.sa_sigaction == libc::SIG_DFL)
        && !own_slots().any(|slot| slot.wants(number))
}

/// Returns the address of our handler.
///
/// Only this function takes it, as the compiler may give a function several addresses.
#[inline(never)]
fn handler_address() -> libc::sighandler_t {
    handle_signal as *const () as libc::sighandler_t
}

/// Returns the action that installs our handler.
///
/// It blocks all signals while the handler runs. Otherwise, pending signals would interrupt each
/// other's handlers. Three of them overflow the alternate stack of a Rust thread.
fn our_action() -> libc::sigaction {
    let mut action = DEFAULT;
    action.sa_sigaction = handler_address();
    action.sa_flags = FLAGS;
    // SAFETY: the pointer is to the mask of a local.
    unsafe { libc::sigfillset(&raw mut action.sa_mask) };
    action
}

/// Handles a signal.
///
/// It uses only atomics, write(2), sigaction(2), tgkill(2) and errno, which are safe in a handler.
extern "C" fn handle_signal(signal: libc::c_int) {
    let errno = errno();
    // SAFETY: the pointer is to this thread's errno.
    let before = unsafe { *errno };
    let counted = HandlerCount::begin();
    // A foreign handler may call ours with any number.
    if let Some(former) = former(signal as usize, &counted) {
        if !post(signal as usize, WANTED, WANTED) {
            restore_former(signal, former);
        }
    }
    drop(counted);
    // SAFETY: the pointer is to this thread's errno.
    unsafe { *errno = before };
}

/// Posts a signal to each slot whose mark is `mark`, which becomes `next`.
///
/// Returns whether there is such a slot.
fn post(number: usize, mark: u8, next: u8) -> bool {
    own_slots().filter(|slot| slot.post(number, mark, next)).count() > 0
}

/// Sends a signal to the current thread, as raise(3) does.
///
/// musl's raise(3) remembers the thread's id. In a child of a raw fork, that is the parent's
/// thread.
fn raise(signal: i32) {
    // SAFETY: no pointers, and the calls are safe in a signal handler.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    unsafe {
        libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::syscall(libc::SYS_gettid), signal)
    };
    // SAFETY: as above.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    unsafe {
        libc::raise(signal)
    };
}

/// Follows rule 4: installs the former action, and posts the signal to the slots that want it once.
///
/// It does nothing if a foreign handler called ours.
fn restore_former(signal: i32, former: &libc::sigaction) {
    let number = signal as usize;
    let mut before = DEFAULT;
    // SAFETY: the kernel returned that handler with these flags.
    let replaced = unsafe { replace(signal, handler_address(), former, &mut before) };
    let is_for_former = match replaced {
        // `catch` may replace the mark at any time.
        Ok(true) => {
            let is_posted = post(number, WANTED_ONCE, UNWANTED) || post(number, WANTED, WANTED);
            !is_posted && is_wanted_by_parent(number)
        }
        // Another thread's handler has installed the default: see rule 6.
        Ok(false) => signal == libc::SIGINT && before.sa_sigaction == libc::SIG_DFL,
        Err(_) => false,
    };
    if is_for_former {
        // The signal is blocked until the handler returns.
        raise(signal);
    }
}

/// Returns whether a loop of the parent wants the signal, in a forked child.
fn is_wanted_by_parent(number: usize) -> bool {
    slots().any(|slot| slot.is_inherited() && slot.wants(number))
}

/// Stores the action that ours replaced. It keeps the former one if ours replaced itself.
fn remember(number: usize, before: libc::sigaction, _lock: &MutexGuard<'_, ()>) {
    if before.sa_sigaction == handler_address() {
        return;
    }
    let old = FORMER[number].swap(Box::into_raw(Box::new(before)), SeqCst);
    HandlerCount::wait_for_all();
    if !old.is_null() {
        // SAFETY: the pointer is from a box that this function stored. All readers have ended.
        drop(unsafe { Box::from_raw(old) });
    }
}

/// Returns a pointer to this thread's errno.
fn errno() -> *mut libc::c_int {
    #[cfg(any(target_os = "android", target_os = "netbsd", target_os = "openbsd"))]
    use libc::__errno as location;
    #[cfg(any(target_os = "linux", target_os = "dragonfly"))]
    use libc::__errno_location as location;
    #[cfg(any(target_os = "freebsd", target_vendor = "apple"))]
    use libc::__error as location;
    // SAFETY: it has no conditions.
    unsafe { location() }
}

/// The place in which one loop's signals arrive.
pub(crate) struct SignalSlot {
    shared: &'static SharedSlot,
    reader: UnixStream,
    _writer: UnixStream,
}

impl SignalSlot {
    pub(crate) fn new() -> io::Result<SignalSlot> {
        let (reader, writer) = uninterrupted(UnixStream::pair)?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        let free = slots().find(|shared| !shared.taken.swap(true, SeqCst));
        let shared = free.unwrap_or_else(new_slot);
        shared.process.store(Process::current().number, SeqCst);
        shared.pipe.store(writer.as_raw_fd(), SeqCst);
        Ok(SignalSlot { shared, reader, _writer: writer })
    }

    /// Catches `signal`, and installs our handler, even if a foreign one has replaced it.
    ///
    /// Returns true if this ends the effect of [`catch_interrupt`](SignalSlot::catch_interrupt).
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a number that is no signal, and for the signals of a fault, which would
    /// repeat without end. Any error of sigaction(2), such as EINVAL for SIGKILL and SIGSTOP.
    pub(crate) fn catch(&self, signal: i32) -> io::Result<bool> {
        let number = usize::try_from(signal).unwrap_or(0);
        let faults = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL];
        if number == 0 || number >= NUMBERS || faults.contains(&signal) {
            let what = format!("signal {signal} cannot be caught");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let lock = lock();
        let mark_before = self.shared.marks[number].swap(WANTED, SeqCst);
        HandlerCount::wait_for_all();
        let mut before = DEFAULT;
        // SAFETY: the handler is `handle_signal`, which does only what a handler may do.
        if let Err(error) = unsafe { swap(signal, &our_action(), &mut before) } {
            self.shared.marks[number].store(mark_before, SeqCst);
            return Err(error);
        }
        remember(number, before, &lock);
        Ok(mark_before == WANTED_ONCE)
    }

    /// Stops catching `signal`.
    ///
    /// If no other slot wants it and our handler is installed, it installs the former action.
    pub(crate) fn release(&self, signal: i32) {
        let number = signal as usize;
        let _lock = lock();
        if self.shared.wants(number) {
            self.restore_if_unused(signal);
            self.shared.marks[number].store(UNWANTED, SeqCst);
        }
    }

    /// Catches the next Ctrl-C, and returns false if SIGINT is not default.
    ///
    /// The handler installs the default at once. So the second Ctrl-C ends the process even if the
    /// loop never runs again.
    pub(crate) fn catch_interrupt(&self) -> io::Result<bool> {
        let (signal, number) = (libc::SIGINT, libc::SIGINT as usize);
        let lock = lock();
        if !is_default(signal) {
            return Ok(false);
        }
        let mut before = DEFAULT;
        read(signal, &mut before)?;
        let present = before.sa_sigaction;
        // This comes before the handler is installed, as the first Ctrl-C may come at once.
        remember(number, DEFAULT, &lock);
        let mark = &self.shared.marks[number];
        mark.store(WANTED_ONCE, SeqCst);
        HandlerCount::wait_for_all();
        if mark.load(SeqCst) == UNWANTED {
            // A Ctrl-C has already come. The next one has its default effect.
            return Ok(true);
        }
        // SAFETY: the handler is `handle_signal`, which does only what a handler may do.
        let replaced = unsafe { replace(signal, present, &our_action(), &mut before) };
        if let Ok(true) = replaced {
            remember(number, before, &lock);
            return Ok(true);
        }
        let has_come = mark.swap(UNWANTED, SeqCst) == UNWANTED;
        replaced.map(|_| has_come)
    }

    /// Installs the former action of `signal` if no other slot wants it.
    fn restore_if_unused(&self, signal: i32) {
        let (number, counted) = (signal as usize, HandlerCount::begin());
        let mut others = own_slots().filter(|slot| !ptr::eq(*slot, self.shared));
        let is_used = others.any(|slot| slot.wants(number));
        let Some(former) = former(number, &counted).filter(|_| !is_used) else {
            return;
        };
        // SAFETY: the kernel returned `former` when ours was installed.
        if let Err(error) = unsafe { replace(signal, handler_address(), former, &mut { DEFAULT }) }
        {
            log::error!("cannot restore the former disposition of signal {signal}: {error}");
        }
    }

    /// Takes all signals, in the order in which they arrived.
    ///
    /// Signals that arrived while the pipe was full come last, ordered by number.
    pub(crate) fn take(&self) -> Vec<i32> {
        let (mut taken, mut bytes) = (Vec::new(), [0; 256]);
        while let Ok(n @ 1..) = uninterrupted(|| (&self.reader).read(&mut bytes)) {
            let signals = bytes[..n].iter().filter(|byte| **byte != WAKE);
            taken.extend(signals.map(|byte| i32::from(*byte)));
        }
        for (count, signal) in self.shared.overflow.iter().zip(0..) {
            taken.extend((0..count.swap(0, SeqCst)).map(|_| signal));
        }
        taken
    }
}

/// The descriptor is readable while there is a signal to take.
impl AsFd for SignalSlot {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

impl Drop for SignalSlot {
    fn drop(&mut self) {
        for signal in 1..NUMBERS as i32 {
            self.release(signal);
        }
        self.shared.pipe.store(-1, SeqCst);
        // A running handler may hold the pipe's number.
        HandlerCount::wait_for_all();
        for count in &self.shared.overflow {
            count.store(0, SeqCst);
        }
        // After this another loop may take the slot. No handler has the pipe, so the drop of the
        // fields closes it safely.
        self.shared.taken.store(false, SeqCst);
    }
}

/// Adds a new slot to the list, and marks it as taken.
fn new_slot() -> &'static SharedSlot {
    let shared: &'static mut SharedSlot = Box::leak(Box::new(SharedSlot {
        next: AtomicPtr::new(ptr::null_mut()),
        taken: AtomicBool::new(true),
        process: AtomicUsize::new(0),
        pipe: AtomicI32::new(-1),
        marks: [const { AtomicU8::new(UNWANTED) }; NUMBERS],
        overflow: [const { AtomicU32::new(0) }; NUMBERS],
    }));
    let pointer: *mut SharedSlot = shared;
    let _ = SLOTS.fetch_update(SeqCst, SeqCst, |head| {
        shared.next.store(head, SeqCst);
        Some(pointer)
    });
    shared
}

#[cfg(test)]
mod tests;
