//! Detached threads that start without the standard library.
//!
//! std holds a lock while a thread starts and while it ends (`thread_info` of its guard pages). If
//! another thread forks at that moment, the lock stays locked in the child. The next thread that
//! std starts there then hangs. The C library resets its own locks in a child.

use std::io;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use libc::{c_int, c_void};

type ThreadBody = Box<dyn FnOnce() + Send>;

/// The size of a stack in bytes, as in std.
const STACK: usize = 2 << 20;

/// Starts a detached thread that runs `body`.
///
/// # Errors
///
/// Any error of pthread_create(3): EAGAIN if the system has no room for another thread.
pub(crate) fn start(body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let body: ThreadBody = Box::new(body);
    let body = Box::into_raw(Box::new(body));
    let started = create(body.cast());
    if started.is_err() {
        // SAFETY: the box was created above, and no thread has it.
        drop(unsafe { Box::from_raw(body) });
    }
    started
}

fn create(body: *mut c_void) -> io::Result<()> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let attributes = attributes.as_mut_ptr();
    let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: the first call initializes the attributes, and the last one destroys them. If the
    // thread starts, `enter` takes over the box that `body` points to.
    unsafe {
        check(libc::pthread_attr_init(attributes))?;
        libc::pthread_attr_setdetachstate(attributes, libc::PTHREAD_CREATE_DETACHED);
        libc::pthread_attr_setstacksize(attributes, STACK);
        let code = libc::pthread_create(thread.as_mut_ptr(), attributes, enter, body);
        libc::pthread_attr_destroy(attributes);
        check(code)
    }
}

/// Converts the result of a pthread function, which is its error.
fn check(code: c_int) -> io::Result<()> {
    match code {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

extern "C" fn enter(body: *mut c_void) -> *mut c_void {
    // SAFETY: `start` created the box for this thread alone.
    let body = unsafe { Box::from_raw(body.cast::<ThreadBody>()) };
    set_name();
    if let Err(panic) = catch_unwind(AssertUnwindSafe(*body)) {
        // The payload's destructor may panic too, and a panic must not leave this function.
        std::mem::forget(panic);
    }
    ptr::null_mut()
}

/// Names the thread for debuggers.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn set_name() {
    // SAFETY: the name is a C string of at most 15 bytes, and the thread is this one.
    unsafe { libc::pthread_setname_np(libc::pthread_self(), c"sendloop-worker".as_ptr()) };
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set_name() {}
