//! Signals on their way to loops.
//!
//! A signal handler may do next to nothing: no allocation, no lock. Ours walks a list of slots,
//! one for each loop that catches signals. It writes the signal's number to the pipe of each
//! slot that wants the signal, which wakes its loop.
//!
//! - Mailboxes are never freed, only used again, so the handler's walk is safe at any time. There
//!   are as many as there were ever loops with signals at once.
//! - The bytes in a pipe keep the order in which signals arrived. If a pipe is full, the handler
//!   counts the signal instead.
//! - A slot's pipe is closed only when no handler is under way that may have read its number:
//!   1. The owner sets the number to -1.
//!   2. It waits until no handler runs. One that begins later reads -1.
//!   3. It closes the pipe.
//! - In a forked child the handler leaves the slots of the parent alone, as their pipes are the
//!   parent's. If only a loop of the parent wants the signal, the handler installs the former action
//!   and raises the signal again.
//!
//! # Dispositions
//!
//! Other code of the program may install handlers of its own at any time, and may call or install
//! ours later.
//!
//! 1. `catch` installs our handler, and keeps the action that it replaces as the former one unless
//!    that is our handler too.
//! 2. `release` installs the former action when no slot wants the signal, but only if the present
//!    handler is ours.
//! 3. A handler of the program's own may call ours. Ours then serves the slots that want the
//!    signal, and does no more.
//! 4. If our handler is installed and no slot wants the signal, the handler itself installs the
//!    former action. Either a foreign handler has put ours back too late, or the signal is the
//!    first Ctrl-C of [`run`](crate::run). The first signal is ignored or cancels `run`, and the
//!    next one does what it did before the loop.
//! 5. A slot is marked as wanting a signal before the handler is installed and until it is
//!    replaced. A handler that follows rule 4 is counted, and looks at the marks after that. `catch`
//!    sets its mark and then waits until none is counted. So after `catch` has returned, no handler
//!    installs the former action until the mark is gone.
//! 6. Two threads may each get a Ctrl-C at once. The first handler interrupts [`run`](crate::run)
//!    and installs the default. The second finds the default and raises its signal again, which
//!    ends the process.

use std::array;
use std::io::{self, Read};
use std::iter;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::atomic::Ordering::{self, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicUsize};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use super::disposition::{self, DEFAULT, replace, swap};
use crate::sys::fork::{self, PerProcess, Process};
use crate::sys::uninterrupted;

/// Signals are numbered from 1; 64 is Linux's last.
const NUMBERS: usize = 65;
/// A byte that only wakes the loop. No signal has this number.
const WAKE: u8 = 0;
/// System calls of the program that a signal interrupts go on, as with asyncio.
const FLAGS: libc::c_int = libc::SA_RESTART | libc::SA_ONSTACK;

struct SharedSlot {
    next: AtomicPtr<SharedSlot>,
    taken: AtomicBool,
    /// The number of the process whose loop has it.
    process: AtomicUsize,
    /// How many handlers use it now.
    handlers: AtomicU32,
    pipe: AtomicI32,
    wanted: [AtomicBool; NUMBERS],
    /// How often each signal arrived while the pipe was full.
    overflow: [AtomicU32; NUMBERS],
    /// Whether the next Ctrl-C is to interrupt the loop, if no slot wants SIGINT.
    interruptible: AtomicBool,
    interrupted: AtomicBool,
}

impl SharedSlot {
    /// Returns whether this is a forked child, and the slot is one of its parent's loops'.
    fn is_inherited(&self) -> bool {
        self.process.load(SeqCst) != fork::present_number()
    }

    fn wants(&self, number: usize) -> bool {
        let wanted = self.wanted.get(number);
        wanted.is_some_and(|wanted| wanted.load(SeqCst))
    }

    fn is_interrupted_by(&self, number: usize) -> bool {
        number == libc::SIGINT as usize && self.interruptible.load(SeqCst)
    }

    /// The reasons for which the slot keeps our handler installed for a signal.
    fn needs(&self, number: usize) -> u32 {
        u32::from(self.wants(number)) + u32::from(self.is_interrupted_by(number))
    }

    /// Leaves a signal in the pipe, or in the count if the pipe is full. Safe in a signal handler.
    fn post(&self, number: usize) {
        self.handlers.fetch_add(1, SeqCst);
        if !self.write(number as u8) {
            self.overflow[number].fetch_add(1, SeqCst);
            // The loop may have emptied the pipe before the count rose, and would sleep.
            self.write(WAKE);
        }
        self.handlers.fetch_sub(1, SeqCst);
    }

    /// Interrupts the loop, if it still asks for that. Safe in a signal handler.
    fn interrupt(&self) {
        self.handlers.fetch_add(1, SeqCst);
        if self.interruptible.swap(false, SeqCst) {
            self.interrupted.store(true, SeqCst);
            self.write(WAKE);
        }
        self.handlers.fetch_sub(1, SeqCst);
    }

    /// Writes a byte to the pipe and returns whether it could.
    fn write(&self, byte: u8) -> bool {
        let (pipe, errno) = (self.pipe.load(SeqCst), errno());
        if pipe < 0 {
            return false;
        }
        loop {
            // SAFETY: one byte of a local; the owner closes the pipe only when no handler uses the slot.
            if unsafe { libc::write(pipe, ptr::from_ref(&byte).cast(), 1) } == 1 {
                return true;
            }
            // SAFETY: the pointer is to this thread's errno.
            if unsafe { *errno } != libc::EINTR {
                return false;
            }
        }
    }
}

/// The part of a former action that the handler can read: its handler and its flags, but not its
/// mask.
struct Former {
    handler: AtomicUsize,
    flags: AtomicI32,
}

impl Former {
    /// The action, without its mask.
    fn action(&self) -> libc::sigaction {
        let mut action = DEFAULT;
        action.sa_sigaction = self.handler.load(SeqCst);
        action.sa_flags = self.flags.load(SeqCst);
        action
    }
}

static SLOTS: AtomicPtr<SharedSlot> = AtomicPtr::new(ptr::null_mut());
static FORMER_FOR_HANDLER: [Former; NUMBERS] = [const {
    Former {
        handler: AtomicUsize::new(libc::SIG_DFL),
        flags: AtomicI32::new(0),
    }
}; NUMBERS];

type FormerActions = [Option<libc::sigaction>; NUMBERS];

/// The former actions. The holder of this lock is the only one that installs actions, but for the
/// handler and foreign code.
fn former() -> MutexGuard<'static, FormerActions> {
    static FORMER: PerProcess<Mutex<FormerActions>> = PerProcess::new();
    let former = FORMER.get(|parents| {
        if parents.is_some() {
            // A forked child has no thread that runs a handler of its parent.
            RESTORING.store(0, SeqCst);
        }
        Mutex::new(match parents.map(Mutex::try_lock) {
            None => [None; NUMBERS],
            Some(Ok(former)) => *former,
            // A forked child takes no lock that a thread of the parent may have held at the fork.
            Some(Err(_)) => array::from_fn(|number| Some(FORMER_FOR_HANDLER[number].action())),
        })
    });
    former.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of handlers that follow rule 4 now.
static RESTORING: AtomicU32 = AtomicU32::new(0);

/// A handler that is counted. Safe in a signal handler.
struct RestoreCount;

impl RestoreCount {
    fn begin() -> RestoreCount {
        RESTORING.fetch_add(1, SeqCst);
        RestoreCount
    }

    /// Waits until no handler is counted. A handler is a few instructions long.
    fn wait_for_all() {
        while RESTORING.load(SeqCst) > 0 {
            thread::yield_now();
        }
    }
}

impl Drop for RestoreCount {
    fn drop(&mut self) {
        // A forked child may have set the count to 0 meanwhile.
        let _ = RESTORING.fetch_update(SeqCst, SeqCst, |count| count.checked_sub(1));
    }
}

fn slots() -> impl Iterator<Item = &'static SharedSlot> {
    let mut next = SLOTS.load(Ordering::Acquire);
    iter::from_fn(move || {
        // SAFETY: the list holds leaked boxes, which are never freed, and null at its end.
        let shared: &'static SharedSlot = unsafe { next.as_ref() }?;
        next = shared.next.load(Ordering::Acquire);
        Some(shared)
    })
}

/// The slots of this process.
fn own_slots() -> impl Iterator<Item = &'static SharedSlot> {
    slots().filter(|slot| !slot.is_inherited())
}

/// Returns whether a signal would do what it does by default, but for our handler, which no slot
/// of this process needs. So it is in a forked child whose parent catches the signal.
pub(super) fn is_idle_default(signal: i32, present: &libc::sigaction) -> bool {
    let number = signal as usize;
    let former = FORMER_FOR_HANDLER.get(number);
    present.sa_sigaction == handler_address()
        && former.is_some_and(|former| former.handler.load(SeqCst) == libc::SIG_DFL)
        && own_slots().all(|slot| slot.needs(number) == 0)
}

/// The address of our handler. In one place: the compiler may give a function several addresses.
#[inline(never)]
fn handler_address() -> libc::sighandler_t {
    handle_signal as *const () as libc::sighandler_t
}

/// The action that installs our handler.
///
/// All signals are blocked while it runs. Else signals that are pending together would interrupt
/// each other's handler, and three of them overflow the alternate stack of a Rust thread.
fn our_action() -> libc::sigaction {
    let mut action = DEFAULT;
    action.sa_sigaction = handler_address();
    action.sa_flags = FLAGS;
    // SAFETY: the pointer is to the mask of a local.
    unsafe { libc::sigfillset(&raw mut action.sa_mask) };
    action
}

/// The handler. Only atomics, write(2), sigaction(2) and errno: all are safe in a signal.
extern "C" fn handle_signal(signal: libc::c_int) {
    let errno = errno();
    // SAFETY: the pointer is to this thread's errno.
    let before = unsafe { *errno };
    let number = signal as usize;
    if !post(number) {
        let counted = RestoreCount::begin();
        if !post(number) {
            restore_former(signal);
        }
        drop(counted);
    }
    // SAFETY: the pointer is to this thread's errno.
    unsafe { *errno = before };
}

/// Leaves a signal in each slot that wants it, and returns whether there is one.
fn post(number: usize) -> bool {
    let mut is_wanted = false;
    for slot in own_slots().filter(|slot| slot.wants(number)) {
        slot.post(number);
        is_wanted = true;
    }
    is_wanted
}

/// In the handler, at a signal that no slot wants: installs the former action and interrupts the
/// loops that asked for it. Does nothing if a handler of the program's own called ours.
fn restore_former(signal: i32) {
    let number = signal as usize;
    // A handler of the program's own may call ours with any number.
    let Some(former) = FORMER_FOR_HANDLER.get(number) else {
        return;
    };
    let mut before = DEFAULT;
    // SAFETY: the kernel returned that handler with these flags.
    let replaced = unsafe { replace(signal, handler_address(), &former.action(), &mut before) };
    let is_for_former = match replaced {
        Ok(true) => !interrupt(number) && is_wanted_by_parent(number),
        // Another thread's handler has installed the default: see rule 6.
        Ok(false) => signal == libc::SIGINT && before.sa_sigaction == libc::SIG_DFL,
        Err(_) => false,
    };
    if is_for_former {
        // SAFETY: no pointers, and safe in a signal handler. The signal is blocked until that ends.
        unsafe { libc::raise(signal) };
    }
}

/// Interrupts the loops that asked for it, and returns whether there is one.
fn interrupt(number: usize) -> bool {
    let mut is_any = false;
    for slot in own_slots().filter(|slot| slot.is_interrupted_by(number)) {
        slot.interrupt();
        is_any = true;
    }
    is_any
}

/// Returns whether a loop of the parent wants the signal, in a forked child.
fn is_wanted_by_parent(number: usize) -> bool {
    let mut inherited = slots().filter(|slot| slot.is_inherited());
    inherited.any(|slot| slot.needs(number) > 0)
}

/// Keeps the action that ours replaced. The former one stays if ours replaced itself.
fn remember(former: &mut Option<libc::sigaction>, number: usize, before: libc::sigaction) {
    if before.sa_sigaction != handler_address() {
        *former = Some(before);
        let shared = &FORMER_FOR_HANDLER[number];
        // A child that is forked in between finds the default, and no handler with wrong flags.
        shared.handler.store(libc::SIG_DFL, SeqCst);
        shared.flags.store(before.sa_flags, SeqCst);
        shared.handler.store(before.sa_sigaction, SeqCst);
    }
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
        let process = Process::current().number();
        if shared.process.swap(process, SeqCst) != process {
            // At the fork another thread of the parent may have been in the handler.
            shared.handlers.store(0, SeqCst);
        }
        shared.pipe.store(writer.as_raw_fd(), SeqCst);
        Ok(SignalSlot {
            shared,
            reader,
            _writer: writer,
        })
    }

    /// Catches `signal` from now on. Installs our handler again if another one took its place.
    ///
    /// Refuses numbers that are no signal, SIGKILL and SIGSTOP, which cannot be caught, and the
    /// signals of a fault, which would come again for ever.
    pub(crate) fn catch(&self, signal: i32) -> io::Result<()> {
        let number = usize::try_from(signal).unwrap_or(0);
        let faults = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL];
        if number == 0 || number >= NUMBERS || faults.contains(&signal) {
            let what = format!("signal {signal} cannot be caught");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let mut former = former();
        let wanted_before = self.shared.wanted[number].swap(true, SeqCst);
        RestoreCount::wait_for_all();
        let mut before = DEFAULT;
        // SAFETY: the handler is `handle_signal`, which does only what a handler may do.
        if let Err(error) = unsafe { swap(signal, &our_action(), &mut before) } {
            self.shared.wanted[number].store(wanted_before, SeqCst);
            return Err(error);
        }
        remember(&mut former[number], number, before);
        Ok(())
    }

    /// Catches `signal` no more. If no other slot wants it, the former action comes back, unless
    /// the present one is not ours.
    pub(crate) fn release(&self, signal: i32) {
        let number = signal as usize;
        let former = former();
        if self.shared.wants(number) {
            self.restore_if_unused(signal, former[number]);
            self.shared.wanted[number].store(false, SeqCst);
        }
    }

    /// Has the next Ctrl-C interrupt this slot's loop if SIGINT is at its default, and returns
    /// whether it is.
    ///
    /// The handler puts the default back at once, so that the second Ctrl-C ends the process even
    /// if the loop never looks.
    pub(crate) fn enable_interrupt(&self) -> io::Result<bool> {
        let (signal, number) = (libc::SIGINT, libc::SIGINT as usize);
        let mut former = former();
        if !super::is_default(signal) {
            return Ok(false);
        }
        let mut before = DEFAULT;
        disposition::read(signal, &mut before)?;
        let present = before.sa_sigaction;
        // Before the handler is installed: the first Ctrl-C may come at once.
        remember(&mut former[number], number, DEFAULT);
        self.shared.interruptible.store(true, SeqCst);
        RestoreCount::wait_for_all();
        if !self.shared.interruptible.load(SeqCst) {
            // A Ctrl-C has come already. The next one has its default effect.
            return Ok(true);
        }
        // SAFETY: the handler is `handle_signal`, which does only what a handler may do.
        let replaced = unsafe { replace(signal, present, &our_action(), &mut before) };
        if let Ok(true) = replaced {
            remember(&mut former[number], number, before);
            return Ok(true);
        }
        let is_interrupted = !self.shared.interruptible.swap(false, SeqCst);
        replaced.map(|_| is_interrupted)
    }

    /// Lets Ctrl-C interrupt the loop no more. Returns false if one already did, or was not asked
    /// to.
    pub(crate) fn disable_interrupt(&self) -> bool {
        let former = former();
        if self.shared.interruptible.load(SeqCst) {
            self.restore_if_unused(libc::SIGINT, former[libc::SIGINT as usize]);
        }
        self.shared.interruptible.swap(false, SeqCst)
    }

    /// Installs the former action of `signal` if nothing but one wish of this slot keeps ours.
    fn restore_if_unused(&self, signal: i32, former: Option<libc::sigaction>) {
        let number = signal as usize;
        let needs: u32 = own_slots().map(|slot| slot.needs(number)).sum();
        let own_need = u32::from(!self.shared.is_inherited());
        let (Some(former), true) = (former, needs <= own_need) else {
            return;
        };
        // SAFETY: the kernel returned `former` when ours was installed.
        if let Err(error) = unsafe { replace(signal, handler_address(), &former, &mut { DEFAULT }) }
        {
            log::error!("cannot restore the disposition of signal {signal}: {error}");
        }
    }

    /// Empties the slot and returns the signals in the order in which they arrived.
    ///
    /// Those that arrived while the pipe was full come last, by number.
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

    /// Returns whether Ctrl-C interrupted the loop since the last call.
    pub(crate) fn take_interrupt(&self) -> bool {
        self.shared.interrupted.swap(false, SeqCst)
    }
}

/// Readable when there is a signal to be taken.
impl AsFd for SignalSlot {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

impl Drop for SignalSlot {
    fn drop(&mut self) {
        self.disable_interrupt();
        for signal in 1..NUMBERS as i32 {
            self.release(signal);
        }
        self.shared.pipe.store(-1, SeqCst);
        // A handler is a few instructions long; one that is under way may hold the pipe's number.
        // In a forked child no handler uses the slot of a parent.
        while !self.shared.is_inherited() && self.shared.handlers.load(SeqCst) > 0 {
            thread::yield_now();
        }
        for count in &self.shared.overflow {
            count.store(0, SeqCst);
        }
        self.shared.interrupted.store(false, SeqCst);
        // From here on another loop may have the place; nobody has the pipe, which is closed with
        // the fields.
        self.shared.taken.store(false, SeqCst);
    }
}

/// A new slot in the list, taken.
fn new_slot() -> &'static SharedSlot {
    let shared: &'static mut SharedSlot = Box::leak(Box::new(SharedSlot {
        next: AtomicPtr::new(ptr::null_mut()),
        taken: AtomicBool::new(true),
        process: AtomicUsize::new(0),
        handlers: AtomicU32::new(0),
        pipe: AtomicI32::new(-1),
        wanted: [const { AtomicBool::new(false) }; NUMBERS],
        overflow: [const { AtomicU32::new(0) }; NUMBERS],
        interruptible: AtomicBool::new(false),
        interrupted: AtomicBool::new(false),
    }));
    let place: *mut SharedSlot = shared;
    let mut head = SLOTS.load(Ordering::Acquire);
    loop {
        shared.next.store(head, Ordering::Release);
        match SLOTS.compare_exchange(head, place, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return shared,
            Err(other) => head = other,
        }
    }
}

#[cfg(test)]
mod tests;
