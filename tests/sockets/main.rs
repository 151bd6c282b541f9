//! Sockets and other descriptors.

#[path = "../util/ports.rs"]
mod ports;
#[path = "../util/mod.rs"]
mod util;

mod connect;
mod connect_host;
mod connect_targets;
mod datagrams;
mod descriptor_sockets;
mod event_batches;
mod fd_callback_destructors;
mod fd_callbacks;
mod poll_accept;
mod readiness;
mod reused_descriptors;
mod shared_sockets;
mod shutdown;
mod socket_life;
mod stream_end;
mod streams;
mod wait_queues;
