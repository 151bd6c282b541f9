//! The transfer's system calls on the file and the socket, and what their answers mean.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;

use super::steps::{Answer, Facts};
use crate::sys;

/// One call of sendfile(2).
pub(super) fn send(socket: BorrowedFd<'_>, file: &File, offset: u64, len: usize) -> Answer {
    match sys::sendfile::sendfile(socket, file.as_fd(), offset, len) {
        Ok(0) => Answer::Nothing,
        Ok(sent) => Answer::Sent(sent),
        Err(error) => classify(error),
    }
}

/// One send(2) of the header. `more` where the file follows: then the kernel fills the last segment up with that, which saves
/// a packet, and the 40 ms that Nagle's algorithm waits for the peer's delayed acknowledgement.
pub(super) fn send_header(socket: BorrowedFd<'_>, bytes: &[u8], more: bool) -> Answer {
    match more {
        true => sent(sys::socket::send_more(socket, bytes)),
        false => sent(sys::socket::send(socket, bytes)),
    }
}

/// Lets go what the kernel holds back for bytes that will not come.
pub(super) fn push(socket: BorrowedFd<'_>) {
    sys::socket::push(socket);
}

/// One send(2) of what was read.
pub(super) fn send_bytes(socket: BorrowedFd<'_>, bytes: &[u8]) -> Answer {
    sent(sys::socket::send(socket, bytes))
}

fn sent(result: io::Result<usize>) -> Answer {
    match result {
        Ok(0) => Answer::Nothing,
        Ok(sent) => Answer::Sent(sent),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock => Answer::WouldBlock,
            io::ErrorKind::Interrupted => Answer::Interrupted,
            _ => Answer::Failed(error),
        },
    }
}

/// What an error of sendfile means for the transfer.
///
/// Only these five say that the call does not serve this file and socket: EINVAL (the file's system has no pages to send from,
/// or wants them aligned), ENOSYS and EPERM (the kernel, or a filter on system calls, has no such call), EOPNOTSUPP (the
/// socket's protocol cannot), ESPIPE (a pipe, a socket). Everything else is the connection's or the file's error: asyncio takes
/// any error for "not available" as long as nothing was sent, and reads a file that no peer waits for.
fn classify(error: io::Error) -> Answer {
    let Some(errno) = error.raw_os_error() else {
        return Answer::Failed(error);
    };
    match errno {
        libc::EINTR => Answer::Interrupted,
        libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP | libc::EPERM | libc::ESPIPE => {
            Answer::NotAvailable(errno)
        }
        libc::EOVERFLOW => Answer::BeyondAllFiles,
        _ if error.kind() == io::ErrorKind::WouldBlock => Answer::WouldBlock,
        _ => Answer::Failed(error),
    }
}

/// Makes a socket non-blocking again that somebody made blocking through a duplicate: sendfile has no flag of its own for it, and
/// would hold the loop for as long as the peer likes.
pub(super) fn keep_nonblocking(socket: BorrowedFd<'_>) {
    if !sys::socket::is_nonblocking(socket).unwrap_or(false) {
        log::warn!("a socket to send a file on was blocking; something changed that");
        let set = sys::socket::set_nonblocking(socket);
        set.unwrap_or_else(|error| log::error!("it cannot be made non-blocking: {error}"));
    }
}

/// Asks the file for its size and its kind; not `certain`, for what is known of them without asking a server.
///
/// A device or a pipe may have nothing at the moment, and its EAGAIN looks like the socket's, for whose edge the transfer would
/// wait in vain. So only files and block devices are sent from the page cache, and with O_DIRECT they are not in it.
pub(super) fn facts(file: &File, certain: bool) -> io::Result<Facts> {
    let known = match certain {
        true => None,
        false => sys::file::known(file.as_fd()),
    };
    let (size, stores) = match known {
        Some(known) => known,
        None => {
            let metadata = sys::uninterrupted(|| file.metadata())?;
            let kind = metadata.file_type();
            (metadata.len(), kind.is_file() || kind.is_block_device())
        }
    };
    let cached = stores && !sys::file::is_direct(file.as_fd())?;
    Ok(Facts { size, cached })
}

/// Whether the file says that it has no byte at the offset. One that says 0 may have.
pub(super) fn ends_before(file: &File, offset: u64) -> bool {
    let size = facts(file, true).map_or(0, |facts| facts.size);
    0 < size && size <= offset
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(errno: i32) -> Answer {
        classify(io::Error::from_raw_os_error(errno))
    }

    #[test]
    fn only_five_errors_mean_not_available() {
        for errno in 1..=133 {
            let not_available = matches!(of(errno), Answer::NotAvailable(e) if e == errno);
            let listed = [
                libc::EINVAL,
                libc::ENOSYS,
                libc::EOPNOTSUPP,
                libc::EPERM,
                libc::ESPIPE,
            ];
            assert_eq!(not_available, listed.contains(&errno), "errno {errno}");
        }
    }

    #[test]
    fn errors_of_the_connection_and_the_file_stay_what_they_are() {
        let errors = [
            libc::EPIPE,
            libc::ECONNRESET,
            libc::ENOTCONN,
            libc::ETIMEDOUT,
            libc::EBADF,
            libc::EIO,
            libc::ENOMEM,
        ];
        for errno in errors {
            match of(errno) {
                Answer::Failed(error) => assert_eq!(error.raw_os_error(), Some(errno)),
                other => panic!("errno {errno} became {other:?}"),
            }
        }
    }

    #[test]
    fn again_interrupted_and_beyond_have_their_own_answers() {
        assert!(matches!(of(libc::EAGAIN), Answer::WouldBlock));
        assert!(matches!(of(libc::EINTR), Answer::Interrupted));
        assert!(matches!(of(libc::EOVERFLOW), Answer::BeyondAllFiles));
    }
}
