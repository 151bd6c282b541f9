//! Signals on their way to loops.
//!
//! A signal handler may do next to nothing: no allocation, no lock. Ours goes through the mailboxes, one for each loop that
//! catches signals, counts the signal in those that want it, and writes a byte to their pipes, which wakes their loops.
//!
//! - Mailboxes are never freed, only used again, so the handler's walk is safe at any time. There are as many as there were
//!   ever loops with signals at once.
//! - A mailbox's pipe is closed only when no handler is under way that may have read its number:
//!   1. The owner sets the number to -1.
//!   2. It waits until no handler uses the mailbox. One that begins later reads -1.
//!   3. It closes the pipe.
//! - In a forked child the handler leaves the mailboxes of the parent alone, as their pipes are the
//!   parent's. If no loop of the child wants the signal, the handler does what the signal did by
//!   default, if that is what happened before.
//! - What happened at the signal before is kept with the number of mailboxes that want it, and comes back with the last.

use std::io::{self, Read};
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use super::present;
use crate::sys::fork::{self, PerProcess, Process};
use crate::sys::{cvt, uninterrupted};

/// Signals are numbered from 1; 64 is Linux's last.
const NUMBERS: usize = 65;

struct Shared {
    next: AtomicPtr<Shared>,
    taken: AtomicBool,
    /// The number of the process whose loop has it.
    process: AtomicUsize,
    /// How many handlers use it now.
    handlers: AtomicU32,
    pipe: AtomicI32,
    wanted: [AtomicBool; NUMBERS],
    caught: [AtomicU32; NUMBERS],
}

static MAILBOXES: AtomicPtr<Shared> = AtomicPtr::new(ptr::null_mut());
/// Whether the signal was at its default when ours was installed.
static WAS_DEFAULT: [AtomicBool; NUMBERS] = [const { AtomicBool::new(false) }; NUMBERS];

/// For each signal that is caught, what happened at it before, and how many mailboxes of this
/// process want it.
type Former = [Option<(libc::sigaction, usize)>; NUMBERS];

fn former() -> MutexGuard<'static, Former> {
    static FORMER: PerProcess<Mutex<Former>> = PerProcess::new();
    let former = FORMER.get(|parents| Mutex::new(inherit(parents)));
    former.lock().unwrap_or_else(PoisonError::into_inner)
}

/// In a forked child ours is installed where the parent has installed it, and no mailbox of the
/// child wants it yet.
fn inherit(parents: Option<&Mutex<Former>>) -> Former {
    let parents = parents.and_then(|parents| parents.try_lock().ok());
    let former = parents.map_or([None; NUMBERS], |former| *former);
    former.map(|entry| entry.map(|(action, _)| (action, 0)))
}

fn mailboxes() -> impl Iterator<Item = &'static Shared> {
    let mut next = MAILBOXES.load(Ordering::Acquire);
    std::iter::from_fn(move || {
        // SAFETY: the list holds leaked boxes, which are never freed, and null at its end.
        let shared: &'static Shared = unsafe { next.as_ref() }?;
        next = shared.next.load(Ordering::Acquire);
        Some(shared)
    })
}

/// The handler. Only atomics, write(2) and errno: all are safe in a signal.
extern "C" fn catch(signal: libc::c_int) {
    let errno = errno();
    // SAFETY: the pointer is to this thread's errno.
    let before = unsafe { *errno };
    let number = signal as usize;
    let (mut has_own, mut has_parents) = (false, false);
    for mailbox in mailboxes().filter(|mailbox| mailbox.wanted[number].load(Ordering::SeqCst)) {
        if mailbox.is_inherited() {
            has_parents = true;
            continue;
        }
        has_own = true;
        mailbox.handlers.fetch_add(1, Ordering::SeqCst);
        mailbox.caught[number].fetch_add(1, Ordering::SeqCst);
        let pipe = mailbox.pipe.load(Ordering::SeqCst);
        if pipe >= 0 {
            // A full pipe is no loss: its loop is going to wake, and the count says how often.
            // SAFETY: one byte of a static; the owner closes the pipe only when no handler runs. `errno` is this thread's.
            while unsafe {
                libc::write(pipe, b"!".as_ptr().cast(), 1) == -1 && *errno == libc::EINTR
            } {}
        }
        mailbox.handlers.fetch_sub(1, Ordering::SeqCst);
    }
    if has_parents && !has_own && WAS_DEFAULT[number].load(Ordering::SeqCst) {
        raise_default(signal);
    }
    // SAFETY: the pointer is to this thread's errno.
    unsafe { *errno = before };
}

/// Does what `signal` does by default, as soon as the handler has returned.
fn raise_default(signal: libc::c_int) {
    // SAFETY: SIG_DFL runs no code, and both calls are safe in a signal handler.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

impl Shared {
    /// Returns whether this is a forked child, and the mailbox is one of its parent's loops'.
    fn is_inherited(&self) -> bool {
        self.process.load(Ordering::SeqCst) != fork::present_number()
    }
}

/// Returns whether ours is installed for `signal` only because a parent's loop wanted it, and the
/// signal was at its default before.
pub(super) fn is_inherited_default(signal: i32, action: &libc::sigaction) -> bool {
    let number = signal as usize;
    let mut wanting = mailboxes().filter(|mailbox| mailbox.wanted[number].load(Ordering::SeqCst));
    is_ours(action)
        && WAS_DEFAULT[number].load(Ordering::SeqCst)
        && wanting.all(Shared::is_inherited)
}

#[cfg(any(target_os = "linux", target_os = "emscripten"))]
fn errno() -> *mut libc::c_int {
    // SAFETY: it has no conditions.
    unsafe { libc::__errno_location() }
}

#[cfg(any(target_os = "freebsd", target_vendor = "apple"))]
fn errno() -> *mut libc::c_int {
    // SAFETY: it has no conditions.
    unsafe { libc::__error() }
}

#[cfg(not(any(
    target_os = "linux",
    target_os = "emscripten",
    target_os = "freebsd",
    target_vendor = "apple"
)))]
fn errno() -> *mut libc::c_int {
    // SAFETY: it has no conditions.
    unsafe { libc::__errno() }
}

/// Where one loop's signals arrive.
pub(crate) struct Mailbox {
    shared: &'static Shared,
    reader: UnixStream,
    _writer: UnixStream,
}

impl Mailbox {
    pub(crate) fn new() -> io::Result<Mailbox> {
        let (reader, writer) = uninterrupted(UnixStream::pair)?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        let free = mailboxes().find(|shared| !shared.taken.swap(true, Ordering::SeqCst));
        let shared = free.unwrap_or_else(make);
        let process = Process::current().number();
        if shared.process.swap(process, Ordering::SeqCst) != process {
            // At the fork another thread of the parent may have been in the handler.
            shared.handlers.store(0, Ordering::SeqCst);
        }
        shared.pipe.store(writer.as_raw_fd(), Ordering::SeqCst);
        Ok(Mailbox {
            shared,
            reader,
            _writer: writer,
        })
    }

    /// Catches `signal` from now on; once more is no different.
    ///
    /// Numbers that are no signal, SIGKILL and SIGSTOP, which cannot be caught, and those by which the processor says that
    /// the program cannot go on, which would come again for ever, are refused.
    pub(crate) fn want(&self, signal: i32) -> io::Result<()> {
        let number = usize::try_from(signal).unwrap_or(0);
        let faults = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL];
        if number == 0 || number >= NUMBERS || faults.contains(&signal) {
            let what = format!("signal {signal} cannot be caught");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let mut former = former();
        if self.shared.wanted[number].load(Ordering::SeqCst) {
            return Ok(());
        }
        match &mut former[number] {
            Some((_, users)) if *users > 0 => *users += 1,
            // A forked child has this from its parent. What happened before is what happened before
            // the parent's.
            Some((action, users)) => {
                let before = install(signal)?;
                if !is_ours(&before) {
                    *action = before;
                }
                *users = 1;
            }
            place => *place = Some((install(signal)?, 1)),
        }
        self.shared.caught[number].store(0, Ordering::SeqCst);
        self.shared.wanted[number].store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Catches `signal` no more; with the last mailbox that did, what happened at it before happens again.
    pub(crate) fn unwant(&self, signal: i32) {
        let number = signal as usize;
        let mut former = former();
        if !self.shared.wanted[number].swap(false, Ordering::SeqCst) {
            return;
        }
        let Some((action, users)) = &mut former[number] else {
            return;
        };
        // A forked child does not count the mailboxes of its parent.
        if !self.shared.is_inherited() {
            *users -= 1;
        }
        if *users > 0 {
            return;
        }
        // SAFETY: `action` is what the kernel wrote when ours was installed.
        let restored = cvt(unsafe { libc::sigaction(signal, action, ptr::null_mut()) });
        restored.map_or_else(|error| log::error!("signal {signal}: {error}"), drop);
        former[number] = None;
    }

    /// Empties the mailbox: each signal that was caught, and how often.
    pub(crate) fn take(&self) -> Vec<(i32, u32)> {
        let mut bytes = [0; 256];
        while matches!((&self.reader).read(&mut bytes), Ok(n) if n > 0) {}
        let counts = self.shared.caught.iter().zip(0..);
        let taken = counts.map(|(count, signal)| (signal, count.swap(0, Ordering::SeqCst)));
        taken.filter(|(_, count)| *count > 0).collect()
    }
}

/// Readable when there is a signal to be taken.
impl AsFd for Mailbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        for signal in 1..NUMBERS as i32 {
            self.unwant(signal);
        }
        self.shared.pipe.store(-1, Ordering::SeqCst);
        // A handler is a few instructions long; one that is under way may hold the pipe's number.
        // In a forked child no handler uses the mailbox of a parent.
        while !self.shared.is_inherited() && self.shared.handlers.load(Ordering::SeqCst) > 0 {
            thread::yield_now();
        }
        // From here on another loop may have the place; nobody has the pipe, which is closed with the fields.
        self.shared.taken.store(false, Ordering::SeqCst);
    }
}

/// A new mailbox in the list, taken.
fn make() -> &'static Shared {
    let shared: &'static mut Shared = Box::leak(Box::new(Shared {
        next: AtomicPtr::new(ptr::null_mut()),
        taken: AtomicBool::new(true),
        process: AtomicUsize::new(0),
        handlers: AtomicU32::new(0),
        pipe: AtomicI32::new(-1),
        wanted: [const { AtomicBool::new(false) }; NUMBERS],
        caught: [const { AtomicU32::new(0) }; NUMBERS],
    }));
    let place: *mut Shared = shared;
    let mut head = MAILBOXES.load(Ordering::Acquire);
    loop {
        shared.next.store(head, Ordering::Release);
        match MAILBOXES.compare_exchange(head, place, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return shared,
            Err(other) => head = other,
        }
    }
}

fn is_ours(action: &libc::sigaction) -> bool {
    action.sa_sigaction == catch as *const () as libc::sighandler_t
}

fn install(signal: i32) -> io::Result<libc::sigaction> {
    let before = present(signal)?;
    if !is_ours(&before) {
        let was_default = before.sa_sigaction == libc::SIG_DFL;
        WAS_DEFAULT[signal as usize].store(was_default, Ordering::SeqCst);
    }
    // SAFETY: sigaction is integers, a function pointer that may be null, and a set of bits: all zero is a value of it.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = catch as *const () as libc::sighandler_t;
    // System calls of the program's that the signal interrupts go on, as asyncio has it.
    action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: the handler is `catch`, which does only what a handler may do; the mask is empty.
    cvt(unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) })?;
    Ok(before)
}
