//! The counterpart: it orders files and takes what comes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};

use super::files::word;
use crate::sides::send::{ALL, Order};

/// What is taken at a time.
const BUFFER: usize = 4 << 20;
/// Nothing that is measured takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub fn connect(port: u16) -> Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let buffer = vec![0; BUFFER];
        Ok(Client { stream, buffer })
    }

    /// Orders a file so often, and throws it away. What was sent, in bytes.
    pub fn fetch(&mut self, size: u64, times: u64) -> Result<u64> {
        self.stream.write_all(&Order { size, times }.bytes())?;
        self.take(size * times)?;
        Ok(size * times)
    }

    /// Orders every file of the side's folder so often, which are `bytes` together, and throws them away.
    pub fn fetch_all(&mut self, times: u64, bytes: u64) -> Result<()> {
        self.stream.write_all(&Order { size: ALL, times }.bytes())?;
        self.take(bytes * times)
    }

    fn take(&mut self, mut left: u64) -> Result<()> {
        while left > 0 {
            let taken = discard(&self.stream, &mut self.buffer)?;
            ensure!(taken as u64 <= left, "more than was ordered");
            ensure!(taken > 0, "the side closed the connection");
            left -= taken as u64;
        }
        Ok(())
    }

    /// The same, and compares every byte with the file's.
    pub fn check(&mut self, size: u64, times: u64) -> Result<()> {
        self.stream.write_all(&Order { size, times }.bytes())?;
        let mut part = vec![0; 64 << 10];
        for _ in 0..times {
            let mut place = 0;
            while place < size.div_ceil(8) {
                let len = part.len().min((size - place * 8) as usize);
                self.stream.read_exact(&mut part[..len])?;
                for bytes in part[..len].chunks(8) {
                    ensure!(
                        bytes == &word(place)[..bytes.len()],
                        "other bytes at {}",
                        place * 8
                    );
                    place += 1;
                }
            }
        }
        Ok(())
    }
}

/// Takes what has come, without looking at it: with MSG_TRUNC the kernel does not even copy it, so that the counterpart is never
/// what a side waits for. 0 is the end.
pub fn discard(stream: &(impl AsFd + ?Sized), buffer: &mut [u8]) -> Result<usize, Errno> {
    recv(stream.as_fd().as_raw_fd(), buffer, MsgFlags::MSG_TRUNC)
}
