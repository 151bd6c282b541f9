//! What the poller is asked to tell of a descriptor.

use mio::Interest;
use mio::event::Event;

/// Both directions and, where the poller has it, urgent data: a TCP read stops at it, so that a short read says nothing there.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) const ALL: Interest = Interest::READABLE
    .add(Interest::WRITABLE)
    .add(Interest::PRIORITY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) const ALL: Interest = WITHOUT_URGENT;

/// Both directions, for fd callbacks. asyncio does not ask for urgent data either, and mio's event
/// does not tell readable from urgent.
pub(crate) const WITHOUT_URGENT: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// Whether a short read of TCP says that there is no more: where urgent data is announced.
pub(crate) const SHORT_READ_IS_ALL: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Whether asyncio calls a reader for this event: its EpollSelector does for any bit but EPOLLOUT.
///
/// The bits that it asks for are EPOLLIN and EPOLLOUT; the kernel adds EPOLLERR and EPOLLHUP. The
/// poller here also asks for EPOLLRDHUP, which mio reports only together with EPOLLIN.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn calls_reader(event: &Event) -> bool {
    event.is_readable() || event.is_read_closed() || event.is_error()
}

/// Whether asyncio calls a writer for this event: its EpollSelector does for any bit but EPOLLIN.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn calls_writer(event: &Event) -> bool {
    event.is_writable() || event.is_write_closed() || event.is_error()
}

/// kqueue reports the directions one by one, and asyncio's KqueueSelector looks at nothing else.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn calls_reader(event: &Event) -> bool {
    event.is_readable()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn calls_writer(event: &Event) -> bool {
    event.is_writable()
}
