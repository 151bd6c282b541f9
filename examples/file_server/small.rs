//! Small files, which are sent in one call together with their header.
//!
//! sendfile(2) saves a copy, and costs system calls for the header, the file and the page cache.
//! Below this size the copy is cheaper. Only bytes in memory are read. Other files are sent like
//! larger ones.

use std::fs::File;

use crate::find::Opened;
use crate::range::Part;

/// The size of the largest part that is copied, and the most that a response holds in memory while
/// its client does not take it.
pub(crate) const MOST: u64 = 16 << 10;

/// Appends a part of a file to `bytes` and returns `true`. Returns `false` and changes nothing if
/// the part is too large or not in memory. Never waits.
pub(crate) fn append(bytes: &mut Vec<u8>, opened: &Opened, part: Part) -> bool {
    if part.count > MOST {
        return false;
    }
    match opened.content.get() {
        Some(whole) => {
            bytes.extend_from_slice(&whole[part.offset as usize..part.end() as usize]);
            true
        }
        None => read(bytes, &opened.file, part),
    }
}

/// Reads the whole content of a small file, if it is in memory.
pub(crate) fn keep_content(opened: &Opened) {
    let mut content = Vec::new();
    let count = opened.metadata.len();
    if count <= MOST && read(&mut content, &opened.file, Part { offset: 0, count }) {
        let _ = opened.content.set(content.into_boxed_slice());
    }
}

#[cfg(target_os = "linux")]
fn read(bytes: &mut Vec<u8>, file: &File, part: Part) -> bool {
    use rustix::io::{ReadWriteFlags, preadv2};
    use std::io::IoSliceMut;

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
fn read(_: &mut Vec<u8>, _: &File, _: Part) -> bool {
    false
}
