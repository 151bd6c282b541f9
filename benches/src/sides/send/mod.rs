//! Sending files over TCP connections.
//!
//! A client names a file by its size and says how often it wants it, as two numbers of eight bytes; the file of that size lies in
//! the folder that the side was started with. It is sent so often, and the connection closed.

mod async_io;
mod bare;
mod sendloop;
mod tokio;

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;

use anyhow::{Result, bail};

/// What a client asks for.
#[derive(Clone, Copy)]
struct Order {
    size: u64,
    times: u64,
}

const ORDER: usize = 16;

impl Order {
    fn parse(bytes: [u8; ORDER]) -> Order {
        let [size, times] = [0, 8].map(|at| {
            let number = bytes[at..at + 8].try_into().expect("eight bytes");
            u64::from_le_bytes(number)
        });
        Order { size, times }
    }
}

/// Where the files are.
#[derive(Clone)]
struct Folder(PathBuf);

impl Folder {
    fn open(&self, size: u64) -> io::Result<File> {
        File::open(self.0.join(size.to_string()))
    }
}

pub fn run(peer: &str, arguments: &[String]) -> Result<()> {
    let [folder] = arguments else {
        bail!("send-PEER FOLDER");
    };
    let folder = Folder(folder.into());
    let listener = TcpListener::bind("127.0.0.1:0")?;
    super::say_ready(listener.local_addr()?.port());
    super::end_with_stdin();
    match peer {
        "blocking" => bare::blocking(&listener, &folder)?,
        "epoll" => bare::epoll(&listener, &folder)?,
        "read_write" => bare::read_write(&listener, &folder)?,
        "tokio_copy" => tokio::run(listener, folder, tokio::How::Copy)?,
        "tokio_sendfile" => tokio::run(listener, folder, tokio::How::Sendfile)?,
        "async_io" => async_io::run(listener, folder)?,
        "sendloop" => sendloop::run(listener, folder, true)?,
        "sendloop_noprefetch" => sendloop::run(listener, folder, false)?,
        _ => bail!("nobody sends as {peer}"),
    }
    Ok(())
}
