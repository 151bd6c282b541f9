//! Wakers that consist of an id.
//!
//! No waker is counted, allocated or freed, on any thread.

use std::task::Waker;

/// A type that can wake the task of an id.
///
/// The trait lets this layer call one above it.
pub(crate) trait WakeById: 'static {
    /// Wakes the task of an id. Any thread may call it at any time, even after the task has ended.
    fn wake(id: u64);
}

/// Creates the waker of an id.
#[cfg(target_pointer_width = "64")]
pub(crate) fn from_id<W: WakeById>(id: u64) -> Waker {
    use std::task::{RawWaker, RawWakerVTable};

    fn raw<W: WakeById>(id: *const ()) -> RawWaker {
        let table: &'static RawWakerVTable =
            const { &RawWakerVTable::new(raw::<W>, wake::<W>, wake::<W>, forget) };
        RawWaker::new(id, table)
    }

    fn wake<W: WakeById>(id: *const ()) {
        W::wake(id.addr() as u64);
    }

    fn forget(_: *const ()) {}

    let id = std::ptr::without_provenance(id as usize);
    // SAFETY: the functions use the pointer only as an id, so any thread may call them, and there
    // is no memory to free.
    unsafe { Waker::from_raw(raw::<W>(id)) }
}

/// Creates a counted waker, as a pointer is too small for the id.
#[cfg(not(target_pointer_width = "64"))]
pub(crate) fn from_id<W: WakeById>(id: u64) -> Waker {
    use std::marker::PhantomData;
    use std::sync::Arc;

    struct ArcWaker<W>(u64, PhantomData<fn() -> W>);

    impl<W: WakeById> std::task::Wake for ArcWaker<W> {
        fn wake(self: Arc<Self>) {
            W::wake(self.0);
        }
    }

    Waker::from(Arc::new(ArcWaker::<W>(id, PhantomData)))
}
