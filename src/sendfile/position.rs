//! The file's position, which is right on every way out.

use std::fs::File;
use std::io::{Seek, SeekFrom};

use super::machine::Machine;
use crate::sys::uninterrupted;

/// A transfer that has begun, and the file whose position it answers for.
///
/// While it runs, the position is neither used nor moved: each call names its offset. However it ends, by a result, by being
/// dropped, or with its loop, it ends as this value is dropped, and that is the one place which sets the position.
#[derive(Debug)]
pub(super) struct Positioned<'a> {
    pub(super) machine: Machine,
    pub(super) file: &'a File,
}

impl<'a> Positioned<'a> {
    pub(super) fn new(machine: Machine, file: &'a File) -> Positioned<'a> {
        Positioned { machine, file }
    }
}

impl Drop for Positioned<'_> {
    fn drop(&mut self) {
        let mut file = self.file;
        // What cannot be positioned, as a pipe, has no position that could be wrong; the transfer's result stands either way.
        let position = SeekFrom::Start(self.machine.position());
        if let Err(error) = uninterrupted(|| file.seek(position)) {
            log::debug!("the position of a sent file could not be set: {error}");
        }
    }
}
