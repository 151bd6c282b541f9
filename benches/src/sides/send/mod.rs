//! Sending files over TCP connections.
//!
//! A client names a file by its size and says how often it wants it, as two numbers of eight bytes; the file of that size lies in
//! the folder that the side was started with. It is sent so often; then the client may order again, or close the connection.

mod async_io;
mod bare;
mod sendloop;
mod tokio;

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::{Result, bail};
use nix::sys::socket::{Backlog, listen};

/// What a client asks for.
#[derive(Clone, Copy)]
pub struct Order {
    pub size: u64,
    pub times: u64,
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

    pub fn bytes(self) -> [u8; ORDER] {
        let mut bytes = [0; ORDER];
        bytes[..8].copy_from_slice(&self.size.to_le_bytes());
        bytes[8..].copy_from_slice(&self.times.to_le_bytes());
        bytes
    }
}

/// Where the files are, and those that are open: each is opened once, however many connections want it.
#[derive(Clone)]
struct Folder {
    path: PathBuf,
    files: Rc<RefCell<HashMap<u64, Rc<File>>>>,
}

impl Folder {
    fn new(path: PathBuf) -> Folder {
        let files = Rc::default();
        Folder { path, files }
    }

    fn open(&self, size: u64) -> io::Result<Rc<File>> {
        if let Some(file) = self.files.borrow().get(&size) {
            return Ok(file.clone());
        }
        let file = Rc::new(self.open_own(size)?);
        self.files.borrow_mut().insert(size, file.clone());
        Ok(file)
    }

    /// One that nobody else has, for those who use its position.
    fn open_own(&self, size: u64) -> io::Result<File> {
        File::open(self.path.join(size.to_string()))
    }
}

pub fn run(peer: &str, arguments: &[String]) -> Result<()> {
    let [folder] = arguments else {
        bail!("send-PEER FOLDER");
    };
    let folder = Folder::new(folder.into());
    let listener = TcpListener::bind("127.0.0.1:0")?;
    // For those who come ten thousand at once.
    listen(&listener, Backlog::MAXCONN)?;
    super::say_ready(listener.local_addr()?.port());
    super::end_with_stdin();
    match peer {
        "blocking" => bare::blocking(&listener, &folder, bare::Beside::Nothing)?,
        "blocking_lseek" => bare::blocking(&listener, &folder, bare::Beside::Position)?,
        "blocking_look_lseek" => {
            bare::blocking(&listener, &folder, bare::Beside::LookAndPosition)?;
        }
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
