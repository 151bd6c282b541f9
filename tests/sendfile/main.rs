//! `sock_sendfile` and `try_sendfile`.

#[cfg(target_os = "linux")]
#[path = "../util/disk.rs"]
mod disk;
#[cfg(target_os = "linux")]
#[path = "../util/mounts.rs"]
mod mounts;
#[cfg(target_os = "linux")]
#[path = "../util/slow_fs.rs"]
mod slow_fs;
#[path = "../util/mod.rs"]
mod util;

mod cancel;
mod conduct;
mod content;
mod errors;
mod header;
mod limits;
#[cfg(target_os = "linux")]
mod midway;
#[cfg(target_os = "linux")]
mod page_cache_files;
mod position;
#[cfg(target_os = "linux")]
mod prefetch;
#[cfg(target_os = "linux")]
mod probes;
#[cfg(target_os = "linux")]
mod regressions;
#[cfg(target_os = "linux")]
mod slow_file_system;
#[cfg(target_os = "linux")]
mod slow_server;
mod try_sendfile;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;

use sendloop::{Loop, Socket, Task};

/// Starts a task that sends the whole file and then drops the socket.
fn start_transfer<T: AsFd + 'static>(
    event_loop: &Loop,
    near: Socket<T>,
    file: &Rc<File>,
) -> Task<io::Result<u64>> {
    let (handle, file) = (event_loop.handle(), file.clone());
    event_loop.create_task(async move { handle.sock_sendfile(&near, &file).await })
}

/// `tests/rustc/` compiles this package with a cfg. Without the cfg, these runs would show nothing.
#[test]
fn a_run_with_a_cfg_was_compiled_with_it() {
    let wrapper = std::env::var("RUSTC_WORKSPACE_WRAPPER").unwrap_or_default();
    assert!(!wrapper.ends_with("sendloop_force_fallback") || util::FORCED_FALLBACK);
    assert!(!wrapper.ends_with("sendloop_shuffle") || cfg!(sendloop_shuffle));
}
