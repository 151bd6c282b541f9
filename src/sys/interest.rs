//! What the poller is asked to tell of a descriptor.

use mio::Interest;

/// Both directions. Urgent data is none: an operation reads up to it, and its next call past it.
pub(crate) const ALL: Interest = Interest::READABLE.add(Interest::WRITABLE);
