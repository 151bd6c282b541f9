//! The way out: the file's position is right, and the socket holds nothing back.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::fd::BorrowedFd;

use super::machine::Machine;
use super::native;
use crate::sys::uninterrupted;

/// A transfer that has begun, and the file whose position it answers for.
///
/// While it runs, the position is neither used nor moved: each call names its offset. However it ends, by a result, by being
/// dropped, or with its loop, it ends as this value is dropped, and that is the one place which sets the position, and which lets
/// a header go that the kernel still holds back for the file. (A send that is over before there is a transfer has done so already.)
#[derive(Debug)]
pub(super) struct Positioned<'a> {
    pub(super) machine: Machine,
    pub(super) file: &'a File,
    socket: BorrowedFd<'a>,
}

impl<'a> Positioned<'a> {
    pub(super) fn new(machine: Machine, file: &'a File, socket: BorrowedFd<'a>) -> Positioned<'a> {
        Positioned {
            machine,
            file,
            socket,
        }
    }
}

impl Drop for Positioned<'_> {
    fn drop(&mut self) {
        if self.machine.is_held_back() {
            native::push(self.socket);
        }
        set(self.file, self.machine.position());
    }
}

/// What cannot be positioned, as a pipe, has no position that could be wrong; the transfer's result stands either way.
pub(super) fn set(mut file: &File, position: u64) {
    let position = SeekFrom::Start(position);
    if let Err(error) = uninterrupted(|| file.seek(position)) {
        log::debug!("the position of a sent file could not be set: {error}");
    }
}
