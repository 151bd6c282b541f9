//! The client: it orders files and discards them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};

use super::files::word;
use crate::sides::send::{ALL, Order};

/// The size of a read.
const BUFFER: usize = 4 << 20;
/// Longer than any measurement.
const TIMEOUT: Duration = Duration::from_secs(60);

pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub fn connect(port: u16) -> Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let buffer = vec![0; BUFFER];
        Ok(Client { stream, buffer })
    }

    /// Orders a file a number of times, discards it and returns its bytes.
    pub fn fetch(&mut self, size: u64, times: u64) -> Result<u64> {
        self.stream.write_all(&Order { size, times }.bytes())?;
        self.take(size * times)?;
        Ok(size * times)
    }

    /// Orders all files of the side's folder, of `bytes` together, and discards them.
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

    /// Orders a file and compares every byte.
    pub fn check(&mut self, size: u64, times: u64) -> Result<()> {
        self.stream.write_all(&Order { size, times }.bytes())?;
        let mut part = vec![0; 64 << 10];
        for _ in 0..times {
            let mut place = 0;
            while place < size.div_ceil(8) {
                let len = part.len().min((size - place * 8) as usize);
                self.stream.read_exact(&mut part[..len])?;
                for bytes in part[..len].chunks(8) {
                    ensure!(bytes == &word(place)[..bytes.len()], "other bytes at {}", place * 8);
                    place += 1;
                }
            }
        }
        Ok(())
    }
}

/// Discards received bytes. With MSG_TRUNC the kernel does not copy them, so the client is never
/// the limit. 0 is the end.
pub fn discard(stream: &(impl AsFd + ?Sized), buffer: &mut [u8]) -> Result<usize, Errno> {
    recv(stream.as_fd().as_raw_fd(), buffer, MsgFlags::MSG_TRUNC)
}
