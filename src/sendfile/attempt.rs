//! One step of a transfer, for those who drive it themselves.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use super::check;
use super::native;
use super::plan::MOST_PER_CALL;
use super::steps::Answer;
use super::transfer::count_call;
use crate::error::SendfileNotAvailableError;
use crate::event_loop::LoopHandle;
use crate::reactor::Direction;
use crate::ready_io::check_nonblocking;
use crate::socket::Socket;

impl LoopHandle {
    /// One call of sendfile(2), which does not wait for the socket: sends at most `count` bytes of the file from `offset` on,
    /// 1 MiB at most, and says how many the socket took. 0 is the end of the file, or a `count` of 0.
    ///
    /// For those who drive a transfer themselves, as with [`add_writer`](LoopHandle::add_writer). The file's position is neither
    /// used nor moved; whether the bytes are in the page cache is not asked, so the call may wait for the disk. A call that sent
    /// less than it was asked for has not found the socket full: only `WouldBlock` says so. It does wait where somebody has made
    /// the socket blocking through a duplicate, which debug mode refuses.
    ///
    /// # Errors
    ///
    /// - `WouldBlock`: the socket is full, or another task writes to it at the moment.
    /// - `InvalidInput`: not a stream socket, or an offset beyond `i64::MAX`.
    /// - `Unsupported`, with a [`SendfileNotAvailableError`] inside: not with this file and socket.
    /// - What the system says of the connection and of the file.
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
        file: &File,
        offset: u64,
        count: u64,
    ) -> io::Result<u64> {
        check(sock, offset)?;
        check_nonblocking(self, sock)?;
        if count == 0 {
            return Ok(0);
        }
        if sock.turns().is_taken() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        loop {
            let len = count.min(MOST_PER_CALL) as usize;
            let answer = native::send(sock.as_fd(), file, offset, len);
            count_call(self, &answer);
            return match answer {
                Answer::Sent(sent) => Ok(sent as u64),
                Answer::Nothing | Answer::BeyondAllFiles => Ok(0),
                Answer::Interrupted => continue,
                Answer::WouldBlock => {
                    sock.exhausted(Direction::Write);
                    Err(io::ErrorKind::WouldBlock.into())
                }
                // The kernel looks at the offset first, and the size is not asked for before it is needed.
                Answer::NotAvailable(_) if native::ends_before(file, offset) => Ok(0),
                Answer::NotAvailable(errno) => {
                    Err(SendfileNotAvailableError::new(Some(errno), 0).into())
                }
                Answer::Failed(error) => Err(error),
            };
        }
    }
}
