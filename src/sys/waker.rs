//! Wakers that are a number: nothing is counted, allocated or freed for them, on whatever thread, however many there are.

use std::marker::PhantomData;
use std::task::Waker;

/// What it is to wake a number.
pub(crate) trait WakeById: 'static {
    /// From any thread, at any time, also where what the number stood for is long gone.
    fn wake(number: u64);
}

/// The waker of a number.
pub(crate) fn from_id<W: WakeById>(number: u64) -> Waker {
    imp::from_id(number, PhantomData::<W>)
}

#[cfg(target_pointer_width = "64")]
mod imp {
    use std::marker::PhantomData;
    use std::ptr::without_provenance;
    use std::task::{RawWaker, RawWakerVTable, Waker};

    use super::WakeById;

    pub(super) fn from_id<W: WakeById>(number: u64, _: PhantomData<W>) -> Waker {
        // SAFETY: the functions take the pointer as the number that it is, so they may be called from any thread, and there is
        // nothing to free.
        unsafe { Waker::from_raw(raw::<W>(without_provenance(number as usize))) }
    }

    fn raw<W: WakeById>(number: *const ()) -> RawWaker {
        let table: &'static RawWakerVTable =
            const { &RawWakerVTable::new(raw::<W>, wake::<W>, wake::<W>, forget) };
        RawWaker::new(number, table)
    }

    fn wake<W: WakeById>(number: *const ()) {
        W::wake(number.addr() as u64);
    }

    fn forget(_: *const ()) {}
}

/// Where a pointer is too small for the number, it is counted after all.
#[cfg(not(target_pointer_width = "64"))]
mod imp {
    use std::marker::PhantomData;
    use std::sync::Arc;
    use std::task::{Wake, Waker};

    use super::WakeById;

    struct ArcWaker<W>(u64, PhantomData<fn() -> W>);

    impl<W: WakeById> Wake for ArcWaker<W> {
        fn wake(self: Arc<Self>) {
            W::wake(self.0);
        }
    }

    pub(super) fn from_id<W: WakeById>(number: u64, _: PhantomData<W>) -> Waker {
        Waker::from(Arc::new(ArcWaker::<W>(number, PhantomData)))
    }
}
