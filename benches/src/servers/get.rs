//! A small HTTP client: it checks the files of a server and measures its latency.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::content;
use crate::workloads::discard;

/// Longer than any reply takes.
const LIMIT: Duration = Duration::from_secs(60);

/// A connection that is kept alive.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    pub fn new(port: u16) -> Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(Connection(BufReader::with_capacity(64 << 10, stream)))
    }

    pub fn ask(&mut self, path: &str) -> Result<()> {
        let request = format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        Ok(self.0.get_mut().write_all(request.as_bytes())?)
    }

    /// Reads the head of a reply and returns the length of the body.
    pub fn head(&mut self) -> Result<u64> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        if !line.starts_with("HTTP/1.1 200 ") {
            bail!("answered {line:?}");
        }
        let mut length = None;
        while line.trim_end() != "" {
            line.clear();
            self.0.read_line(&mut line)?;
            let field = line.to_ascii_lowercase();
            if let Some(value) = field.strip_prefix("content-length:") {
                length = Some(value.trim().parse()?);
            }
        }
        length.context("no Content-Length")
    }

    /// Requests a file, reads the reply and returns the length of its body.
    pub fn get(&mut self, path: &str) -> Result<u64> {
        self.ask(path)?;
        let length = self.head()?;
        let mut body = [0; 16 << 10];
        let mut rest = length;
        while rest > 0 {
            let room = rest.min(body.len() as u64) as usize;
            self.0.read_exact(&mut body[..room])?;
            rest -= room as u64;
        }
        Ok(length)
    }

    /// Requests a file and compares every byte.
    pub fn get_checked(&mut self, path: &str, size: u64) -> Result<()> {
        self.ask(path)?;
        let length = self.head()?;
        if length != size {
            bail!("{path} has {size} bytes, and {length} were sent");
        }
        let mut body = vec![0; length as usize];
        self.0.read_exact(&mut body)?;
        if body != content(0, size) {
            bail!("{path} arrived changed");
        }
        Ok(())
    }
}

/// Downloads a file over a new connection, discards it and returns the length of its body.
pub fn download(port: u16, path: &str, buffer: &mut [u8]) -> Result<u64> {
    let mut connection = Connection::new(port)?;
    connection.ask(path)?;
    let length = connection.head()?;
    let mut left = length - (connection.0.buffer().len() as u64).min(length);
    while left > 0 {
        match discard(connection.0.get_ref(), buffer)? as u64 {
            0 => bail!("{left} bytes did not come"),
            taken => left = left.checked_sub(taken).context("more than the body")?,
        }
    }
    Ok(length)
}

/// Checks that a server sends a file unchanged.
pub fn check(port: u16, path: &str, size: u64) -> Result<()> {
    Connection::new(port)?.get_checked(path, size)
}
