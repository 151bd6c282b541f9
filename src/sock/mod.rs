//! The operations on sockets, each a few lines over [`ready_io`](crate::ready_io).

mod accept;
mod connect;
mod datagram;
mod recv;
mod send;

pub use accept::Listen;
pub use connect::Connect;
pub use datagram::Datagram;
