//! The system calls of a transfer on file and socket, and the meaning of their results.
//! [`LoopHandle::try_sendfile`] makes one call for callers that drive a transfer themselves.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use super::check_arguments;
use super::plan::MAX_PER_CALL;
use crate::error::SendfileNotAvailableError;
use crate::event_loop::LoopHandle;
use crate::reactor::Direction;
use crate::ready_io::check_nonblocking;
use crate::socket::Socket;
use crate::sys;
use crate::sys::file::{FileKind, Metadata};

/// The outcome of a call that sends.
#[derive(Debug)]
pub(super) enum SendOutcome {
    Sent(usize),
    /// The call sent nothing and returned no error.
    Nothing,
    WouldBlock,
    Interrupted,
    /// sendfile does not support this file and this socket. The errno says why.
    NotAvailable(i32),
    /// The offset is past the largest offset of the file system.
    PastEveryFile,
    Failed(io::Error),
}

impl SendOutcome {
    /// Returns the outcome of send(2).
    fn of_send(result: io::Result<usize>) -> SendOutcome {
        match result {
            Ok(0) => SendOutcome::Nothing,
            Ok(sent) => SendOutcome::Sent(sent),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => SendOutcome::WouldBlock,
                io::ErrorKind::Interrupted => SendOutcome::Interrupted,
                _ => SendOutcome::Failed(error),
            },
        }
    }

    /// Returns the outcome of sendfile(2).
    ///
    /// Only these five errors mean "not available":
    ///
    /// - EINVAL: the file system has no pages to send, or requires alignment.
    /// - ENOSYS and EPERM: the kernel lacks the call, or a filter on system calls refuses it.
    /// - EOPNOTSUPP: the socket's protocol does not support it.
    /// - ESPIPE: the file is a pipe or a socket.
    ///
    /// Every other error belongs to the connection or the file. asyncio takes any error before the
    /// first byte for "not available". It then reads a file that no peer waits for.
    fn of_sendfile(result: io::Result<usize>) -> SendOutcome {
        use libc::{EINVAL, ENOSYS, EOPNOTSUPP, EOVERFLOW, EPERM, ESPIPE};
        match result.as_ref().map_err(io::Error::raw_os_error) {
            Err(Some(errno @ (EINVAL | ENOSYS | EOPNOTSUPP | EPERM | ESPIPE))) => {
                SendOutcome::NotAvailable(errno)
            }
            Err(Some(EOVERFLOW)) => SendOutcome::PastEveryFile,
            _ => SendOutcome::of_send(result),
        }
    }
}

/// Calls sendfile(2) once, and counts the call.
pub(super) fn send(
    event_loop: &LoopHandle,
    socket: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    range: &Range<u64>,
) -> SendOutcome {
    let len = (range.end - range.start) as usize;
    let sent = sys::sendfile::sendfile(socket, file, range.start, len);
    let outcome = SendOutcome::of_sendfile(sent);
    let mut counters = event_loop.counters();
    counters.sendfile_calls += 1;
    if let SendOutcome::WouldBlock = outcome {
        counters.sendfile_would_block += 1;
    }
    outcome
}

/// Sends a part of the header or of a block.
///
/// With `more`, the kernel fills the last segment up with bytes of the file. That saves a packet.
/// It also saves the 40 ms for which Nagle's algorithm waits for the peer's delayed
/// acknowledgement.
pub(super) fn send_bytes(socket: BorrowedFd<'_>, bytes: &[u8], more: bool) -> SendOutcome {
    SendOutcome::of_send(sys::socket::send(socket, bytes, more))
}

/// Makes a socket non-blocking again if a duplicate made it blocking.
///
/// sendfile has no flag for a non-blocking call. On a blocking socket, it would hold the loop until
/// the peer reads.
pub(super) fn keep_nonblocking(socket: BorrowedFd<'_>) {
    if !sys::socket::is_nonblocking(socket).unwrap_or(false) {
        let fd = socket.as_raw_fd();
        log::warn!("socket {fd} became blocking; its transfer makes it non-blocking again");
        if let Err(error) = sys::socket::set_nonblocking(socket) {
            log::error!("cannot make socket {fd} non-blocking, so it may hold the loop: {error}");
        }
    }
}

/// Returns the metadata of a file, and whether its bytes are in the page cache or come into it.
///
/// Without `sync`, the kernel queries no server.
///
/// A device or a pipe may have no data at the moment. Its EAGAIN is the same as the socket's, and
/// the transfer would wait in vain for an edge. So only files and block devices count as cached,
/// and only without O_DIRECT.
pub(super) fn stat(file: BorrowedFd<'_>, sync: bool) -> io::Result<(Metadata, bool)> {
    let metadata = sys::file::metadata(file, sync)?;
    let is_cached = metadata.kind != FileKind::Other && !sys::file::is_direct(file)?;
    Ok((metadata, is_cached))
}

impl LoopHandle {
    /// Calls sendfile(2) once, and returns the number of bytes sent.
    ///
    /// The call does not wait for the socket.
    ///
    /// It sends at most `count` bytes of the file from `offset` on, and at most 1 MiB. It returns 0
    /// at the end of the file, or for a `count` of 0. It is for callers that drive a transfer
    /// themselves, as with [`add_writer`](LoopHandle::add_writer). It neither uses nor changes the
    /// file's position. It does not probe the page cache, so it may wait for the disk.
    ///
    /// If a call sends less than `count`, the socket is not necessarily full. Only `WouldBlock`
    /// reports a full socket. If a duplicate has made the socket blocking, the call does wait.
    /// Debug mode refuses such a socket.
    ///
    /// # Errors
    ///
    /// - `WouldBlock`: the socket is full, or another task is writing to it.
    /// - `InvalidInput`: not a stream socket, or an offset beyond `i64::MAX`.
    /// - `Unsupported`, with a [`SendfileNotAvailableError`] inside: sendfile does not support this
    ///   file and this socket.
    /// - Any OS error of the connection and of the file.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::fs::File;
    /// use std::io;
    /// use sendloop::{Loop, Socket};
    ///
    /// # fn main() -> io::Result<()> {
    /// let event_loop = Loop::new()?;
    /// let (near, far) = Socket::pair()?;
    /// let file = File::open("Cargo.toml")?;
    ///
    /// assert_eq!(event_loop.try_sendfile(&near, &file, 1, 7)?, 7);
    /// assert_eq!(event_loop.run_until_complete(event_loop.sock_recv(&far, 100))?, b"package");
    ///
    /// let mut offset = 0;
    /// let full = loop {
    ///     match event_loop.try_sendfile(&near, &file, offset, u64::MAX) {
    ///         Ok(0) => offset = 0,
    ///         Ok(sent) => offset += sent,
    ///         Err(error) => break error,
    ///     }
    /// };
    /// assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_sendfile<T: AsFd>(
        &self,
        sock: &Socket<T>,
        file: &impl AsFd,
        offset: u64,
        count: u64,
    ) -> io::Result<u64> {
        check_arguments(sock, offset)?;
        check_nonblocking(self, sock.as_fd())?;
        if count == 0 {
            return Ok(0);
        }
        if sock.write_lock().is_taken() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let file = file.as_fd();
        let range = offset..offset + count.min(MAX_PER_CALL);
        // A file that reports the size 0 may have bytes there.
        let has_ended =
            || sys::file::metadata(file, true).is_ok_and(|it| 0 < it.size && it.size <= offset);
        loop {
            return match send(self, sock.as_fd(), file, &range) {
                SendOutcome::Sent(sent) => Ok(sent as u64),
                SendOutcome::Nothing | SendOutcome::PastEveryFile => Ok(0),
                SendOutcome::Interrupted => continue,
                SendOutcome::WouldBlock => {
                    sock.clear_ready(Direction::Write);
                    Err(io::ErrorKind::WouldBlock.into())
                }
                // The kernel checks the offset first. Only this error needs the size.
                SendOutcome::NotAvailable(_) if has_ended() => Ok(0),
                SendOutcome::NotAvailable(errno) => {
                    Err(SendfileNotAvailableError { errno: Some(errno), sent: 0 }.into())
                }
                SendOutcome::Failed(error) => Err(error),
            };
        }
    }
}

#[cfg(test)]
mod tests;
