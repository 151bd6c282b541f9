//! What the poller is asked to tell of a descriptor.

use mio::Interest;

/// Both directions and, where the poller has it, urgent data: a TCP read stops at it, so that a short read says nothing there.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) const ALL: Interest = Interest::READABLE
    .add(Interest::WRITABLE)
    .add(Interest::PRIORITY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) const ALL: Interest = Interest::READABLE.add(Interest::WRITABLE);
