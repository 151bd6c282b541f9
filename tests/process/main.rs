//! Tests of what the whole process has: its memory, its descriptor limit, its logger. They have
//! their own binary, because other tests would disturb the measurements, need descriptors, or log.

#[path = "../util/mod.rs"]
mod util;

mod allocations;
mod descriptor_limits;
// Only glibc returns free memory to the kernel on request.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod memory;
mod slow_callbacks;
