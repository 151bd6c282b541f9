//! A small single-threaded event loop with the methods of Python's asyncio, and a zero-copy,
//! cancel-safe [`sock_sendfile`](LoopHandle::sock_sendfile).
//!
//! ```no_run
//! use std::{fs::File, io, net::TcpListener};
//! use sendloop::{LoopHandle, Socket};
//!
//! fn main() -> io::Result<()> {
//!     match sendloop::run(serve) {
//!         Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()), // Ctrl-C
//!         result => result?,
//!     }
//! }
//!
//! async fn serve(event_loop: LoopHandle) -> io::Result<()> {
//!     let listener = Socket::new(TcpListener::bind("127.0.0.1:8080")?)?;
//!     loop {
//!         let (client, _) = event_loop.sock_accept(&listener).await?;
//!         let handle = event_loop.clone();
//!         event_loop.create_task(async move {
//!             let file = File::open("Cargo.toml")?;
//!             handle.sock_sendfile(&client, &file).await
//!         });
//!     }
//! }
//! ```
//!
//! # How do I…
//!
//! Each method has an example. The last column names a program in `examples/` that uses it. The
//! tests run these programs against real clients.
//!
//! | How do I… | Use | Program |
//! |---|---|---|
//! | start? | [`run`]; [`Builder::run`] for settings; [`Loop::run_until_complete`] | `echo_server.rs` |
//! | end at Ctrl-C without an error? | [`run`] fails with `Interrupted`: match it, as above | `echo_server.rs` |
//! | spawn a task? | [`create_task`](LoopHandle::create_task), [`task_group`](LoopHandle::task_group) for many | `chat.rs` |
//! | wait for some time? | [`sleep`](LoopHandle::sleep), [`sleep_until`](LoopHandle::sleep_until), [`call_later`](LoopHandle::call_later) | `retry.rs` |
//! | set a timeout? | [`wait_for`](LoopHandle::wait_for); [`stall_timeout`](SendFile::stall_timeout) for a transfer | `proxy.rs` |
//! | cancel? | [`Task::cancel`], or [`CancelHandle`] if another task awaits it | `chat.rs` |
//! | call from another thread? | [`remote`](LoopHandle::remote), then [`call_soon_threadsafe`](Remote::call_soon_threadsafe) | – |
//! | accept? | [`sock_accept`](LoopHandle::sock_accept) | `echo_server.rs` |
//! | connect by name? | [`connect`](LoopHandle::connect); [`sock_connect`](LoopHandle::sock_connect) by address | `retry.rs` |
//! | resolve a name? | [`getaddrinfo`](LoopHandle::getaddrinfo) | – |
//! | receive and send? | [`sock_recv`](LoopHandle::sock_recv), [`sock_sendall`](LoopHandle::sock_sendall) | `proxy.rs` |
//! | use UDP? | [`sock_recvfrom`](LoopHandle::sock_recvfrom), [`sock_sendto`](LoopHandle::sock_sendto) | `agent.rs` |
//! | use another crate's socket? | [`Socket::new`]; `Socket<OwnedFd>` with [`Address`] to accept and connect | – |
//! | send a file? | [`sock_sendfile`](LoopHandle::sock_sendfile) | `send_file.rs` |
//! | run blocking code? | [`run_in_executor`](LoopHandle::run_in_executor) | `recv_file.rs` |
//! | wait for a pipe or another descriptor? | [`readable`](LoopHandle::readable), [`writable`](LoopHandle::writable), [`add_reader`](LoopHandle::add_reader) | `agent.rs` |
//! | run a child process? | `std::process::Command`, and [`readable`](LoopHandle::readable) for its output | `agent.rs` |
//! | wait for a signal? | [`signal`](LoopHandle::signal), [`add_signal_handler`](LoopHandle::add_signal_handler) | `agent.rs` |
//! | shut down gracefully? | a [`signal`](LoopHandle::signal), then [`TaskGroup::join_next`] with a timeout | `chat.rs` |
//! | use TLS? | rustls over `adapters/futures_io.rs` | `https_server.rs` |
//! | read lines? | `BufReader::lines` over `adapters/futures_io.rs` | `line_server.rs` |
//! | use hyper or a tokio crate? | `adapters/hyper.rs`, `adapters/tokio.rs` | `hyper_server.rs` |
//! | test with a virtual clock? | [`Clock::paused`], [`Clock::manual`] | `retry.rs` |
//! | run the loop inside another loop? | [`Loop::run_once`] when its descriptor is readable | `embed_poll.rs`, `embed_calloop.rs` |
//! | see what the loop does? | [`stats`](LoopHandle::stats), [`set_debug`](LoopHandle::set_debug) | – |
//!
//! # More documents
//!
//! - [`docs::asyncio`] compares each name of asyncio with its equivalent here.
//! - [`docs::sendfile`] lists the promises of `sock_sendfile`, each with its test.
//! - [`docs::design`] describes the modules, and the reasons for the design.
//! - [`docs::reliability`] describes the tests, and [`docs::benchmarks`] has the measurements.
//! - [`docs::security`] lists what you may rely on.
//! - [`docs::file_server`] describes the HTTP file server in `examples/file_server/`.

#[cfg(not(unix))]
compile_error!("sendloop needs a Unix system");

mod clock;
mod error;
mod event_loop;
mod exceptions;
mod executor;
mod nesting;
mod oneshot;
mod pool;
mod reactor;
mod ready_io;
mod remote;
mod run_queue;
mod sendfile;
mod slots;
mod sock;
mod socket;
mod sync;
mod sys;
mod task;
mod timers;
mod wait_queue;
mod write_lock;

pub use clock::Clock;
pub use error::{
    LoopClosedError, SendfileNotAvailableError, SendfilePhase, TaskError, TimeoutError,
};
pub use event_loop::{
    Builder, Fallbacks, Handle, Loop, LoopHandle, Readiness, Signal, Sleep, Stats, TimerHandle,
    get_running_loop, run,
};
pub use exceptions::ExceptionContext;
pub use pool::Blocking;
pub use remote::Remote;
pub use sendfile::{SendFile, SendFileFuture};
pub use sock::{Address, Connect, Datagram, Listen};
pub use socket::Socket;
pub use sys::address::RawAddress;
pub use task::{CancelHandle, Promise, PromiseFuture, Task, TaskGroup};

/// The project's longer documents; these modules hold no code.
pub mod docs {
    #[doc = include_str!("../docs/ASYNCIO.md")]
    pub mod asyncio {}
    // rustdoc copies no images. The first definition of a link counts, so these inline ones win.
    #[doc = include_str!("../docs/benchmarks/plots.md")]
    #[doc = include_str!("../docs/BENCHMARKS.md")]
    pub mod benchmarks {}
    #[doc = include_str!("../docs/DESIGN.md")]
    pub mod design {}
    #[doc = include_str!("../docs/FILE_SERVER.md")]
    pub mod file_server {}
    #[doc = include_str!("../docs/RELIABILITY.md")]
    pub mod reliability {}
    #[doc = include_str!("../SECURITY.md")]
    pub mod security {}
    #[doc = include_str!("../docs/SENDFILE.md")]
    pub mod sendfile {}
}

/// Runs the README's code as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
