// rustdoc copies no images. The first definition of a link counts, so this inline one wins.
#![doc = include_str!("../docs/benchmarks/plots.md")]
#![doc = include_str!("../README.md")]
//! # Where to read on
//!
//! - [`Loop`] and [`LoopHandle`]: the loop, and everything that it does.
//! - [`docs::asyncio`]: asyncio's methods, one by one: what is the same here, what differs, what is not there.
//! - [`docs::sendfile`]: what [`sock_sendfile`](LoopHandle::sock_sendfile) promises, and why each promise is one.
//! - [`docs::design`]: why things are as they are.
//! - [`docs::reliability`]: what was tried to break it, and what happens then.
//! - [`docs::benchmarks`]: what it costs beside what one would use instead.
//! - [`docs::security`]: what may be relied on, and what not.
//! - [`docs::file_server`]: the example that is a program of its own.

#[cfg(not(unix))]
compile_error!("sendloop needs a Unix system");

mod clock;
mod error;
mod event_loop;
mod exceptions;
mod nesting;
mod offload;
mod pool;
mod reactor;
mod ready;
mod ready_io;
mod remote;
mod sendfile;
mod slots;
mod sock;
mod socket;
mod sync;
mod sys;
mod task;
mod timers;
mod turns;
mod wait_queue;

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

/// Longer texts: nothing here but documentation.
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
