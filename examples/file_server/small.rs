//! Files that are smaller than a page.
//!
//! Below that, sendfile(2) has no copy to save that would be worth its price: a system call for the
//! header, one for the file, and one for the file's position. What is in memory is read behind the
//! header, and both go out in one. Measured with 1 KiB over loopback: a fifth more requests in a
//! second. What is not in memory is refused here, and takes the way of larger files.

use std::fs::File;

use crate::find::Opened;
use crate::range::Part;

/// Also what such a response holds while a client does not take it.
const MOST: u64 = 4096;

/// Puts a part of a file behind what `bytes` has, and says whether it did; if not, nothing has
/// changed. Never waits.
pub(crate) fn append(bytes: &mut Vec<u8>, opened: &Opened, part: Part) -> bool {
    if part.count > MOST {
        return false;
    }
    let size = opened.metadata.len();
    if size > MOST {
        return read(bytes, &opened.file, part);
    }
    let whole = opened.content.get_or_init(|| {
        let (mut bytes, offset) = (Vec::with_capacity(size as usize), 0);
        let is_all = read(
            &mut bytes,
            &opened.file,
            Part {
                offset,
                count: size,
            },
        );
        is_all.then(|| bytes.into_boxed_slice())
    });
    match whole {
        Some(whole) => bytes.extend_from_slice(&whole[part.offset as usize..part.end() as usize]),
        None => return false,
    }
    true
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
