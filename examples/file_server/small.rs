//! Files that are smaller than a page.
//!
//! Below that, sendfile(2) has no copy to save that would be worth its price: a system call for the header, one for the file, and
//! one for the file's position. What is in memory is read behind the header, and both go out in one. Measured with 1 KiB over
//! loopback: a fifth more requests in a second. What is not in memory is refused here, and takes the way of larger files.

use std::fs::File;

use crate::range::Part;

/// Puts a part of a file behind what `bytes` has, and says whether it did; if not, nothing has changed. Never waits.
#[cfg(target_os = "linux")]
pub(crate) fn append(bytes: &mut Vec<u8>, file: &File, part: Part) -> bool {
    use rustix::io::{ReadWriteFlags, preadv2};
    use std::io::IoSliceMut;

    /// Also what such a response holds while a client does not take it.
    const MOST: u64 = 4096;

    if part.count > MOST {
        return false;
    }
    let begin = bytes.len();
    bytes.resize(begin + part.count as usize, 0);
    let place = &mut [IoSliceMut::new(&mut bytes[begin..])];
    let read = preadv2(file, place, part.offset, ReadWriteFlags::NOWAIT);
    let is_all = read.is_ok_and(|read| read as u64 == part.count);
    if !is_all {
        bytes.truncate(begin);
    }
    is_all
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn append(_: &mut Vec<u8>, _: &File, _: Part) -> bool {
    false
}
