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
mod page_cache;
mod position;
#[cfg(target_os = "linux")]
mod prefetch;
#[cfg(target_os = "linux")]
mod probe_cost;
#[cfg(target_os = "linux")]
mod probes;
#[cfg(target_os = "linux")]
mod regressions;
#[cfg(target_os = "linux")]
mod slow_file_system;
#[cfg(target_os = "linux")]
mod slow_server;
mod try_sendfile;
