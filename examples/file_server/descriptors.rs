//! Descriptors: how many connections their limit allows, and what to do when none is left.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Once;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::report;

/// Descriptors of a loop: its own, directories, and precompressed variants that are looked up.
const FOR_A_LOOP: usize = 40;

/// Descriptors of the process: the standard streams, the root, the log.
const FOR_THE_PROCESS: usize = 32;

/// Raises the soft limit to the hard one: the usual soft limit of 1024 is for select(2) alone.
/// Returns the limit.
pub(crate) fn raise_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            report(format_args!("cannot raise the descriptor limit: {error}"));
            limit.current
        }
    };
    limit.map_or(usize::MAX, |limit| limit as usize)
}

/// Returns how many connections each loop may have: its share of `wanted`, or what the limit
/// allows.
///
/// Each needs a descriptor for its socket, and another for its file.
pub(crate) fn connections(wanted: usize, limit: usize, loops: NonZeroUsize) -> usize {
    let reserved = FOR_THE_PROCESS + FOR_A_LOOP * loops.get();
    // Few descriptors are no reason to refuse everybody.
    let left = limit.saturating_sub(reserved).max(limit / 2);
    let allowed = (left / 2 / loops.get()).max(1);
    allowed.min(wanted.div_ceil(loops.get()))
}

/// Returns how many files a loop may keep open. They leave if descriptors run out.
pub(crate) fn cached_files(limit: usize, loops: NonZeroUsize) -> usize {
    limit / 2 / loops.get()
}

/// Reports that the server takes fewer connections than it was asked to.
pub(crate) fn report_lowered(wanted: usize, connections: usize) {
    if connections < wanted {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or_default();
        report(format_args!(
            "serving at most {connections} connections at a time: there are {limit} descriptors"
        ));
    }
}

/// Returns whether the process or the system is out of descriptors.
pub(crate) fn are_exhausted(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE))
}

/// Reports the first time that descriptors run out. A line for each time would fill the disk.
pub(crate) fn report_exhausted(error: &io::Error) {
    static REPORTED: Once = Once::new();
    REPORTED.call_once(|| {
        report(format_args!("out of descriptors, closing idle connections: {error}"));
    });
}
