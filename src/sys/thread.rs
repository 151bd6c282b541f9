//! Detached threads that start without the standard library, and the number of processors.
//!
//! std holds a lock while a thread starts and while it ends (`thread_info` of its guard pages). If
//! another thread forks at that moment, the lock stays locked in the child. The next thread that
//! std starts there then hangs. The C library resets its own locks in a child.

use std::io;
use std::mem::{self, MaybeUninit};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use libc::c_void;

type ThreadBody = Box<dyn FnOnce() + Send>;

/// Returns the number of processors that this thread may use.
///
/// std's function also reads the limits of control groups from files, which needs 12 KB of code.
#[cfg(target_os = "linux")]
pub(crate) fn processors() -> usize {
    // SAFETY: a set of processors is an array of integers, so all zeros is a valid value, and the
    // kernel writes at most its size. The call fails with more processors than the set holds, or
    // if a filter forbids it.
    let count = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        match libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) {
            0 => libc::CPU_COUNT(&set),
            _ => libc::CPU_SETSIZE,
        }
    };
    usize::try_from(count).unwrap_or(1)
}

/// Returns the number of processors that this process may use.
#[cfg(not(target_os = "linux"))]
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The size of a stack in bytes, as in std.
const STACK: usize = 2 << 20;

/// Starts a detached thread that runs `body`.
///
/// # Errors
///
/// Any error of pthread_create(3): EAGAIN if the system has no room for another thread.
pub(crate) fn start(body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let body: Box<ThreadBody> = Box::new(Box::new(body));
    let body = Box::into_raw(body);
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let attributes = attributes.as_mut_ptr();
    let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: the pointer is to a local.
    let mut code = unsafe { libc::pthread_attr_init(attributes) };
    if code == 0 {
        // SAFETY: the attributes are initialized until the last call. If the thread starts, `enter`
        // takes over the box that `body` points to.
        unsafe {
            libc::pthread_attr_setdetachstate(attributes, libc::PTHREAD_CREATE_DETACHED);
            libc::pthread_attr_setstacksize(attributes, STACK);
            code = libc::pthread_create(thread.as_mut_ptr(), attributes, enter, body.cast());
            libc::pthread_attr_destroy(attributes);
        }
    }
    if code != 0 {
        // SAFETY: the box was created above, and no thread has it.
        drop(unsafe { Box::from_raw(body) });
        return Err(io::Error::from_raw_os_error(code));
    }
    Ok(())
}

extern "C" fn enter(body: *mut c_void) -> *mut c_void {
    // SAFETY: `start` created the box for this thread alone.
    let body = unsafe { Box::from_raw(body.cast::<ThreadBody>()) };
    // Names the thread for debuggers.
    // SAFETY: the name is a C string of at most 15 bytes, and the thread is this one.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    unsafe {
        libc::pthread_setname_np(libc::pthread_self(), c"sendloop-worker".as_ptr())
    };
    if let Err(panic) = catch_unwind(AssertUnwindSafe(*body)) {
        // The payload's destructor may panic too, and a panic must not leave this function.
        mem::forget(panic);
    }
    ptr::null_mut()
}
