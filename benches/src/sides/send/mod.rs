//! Sends files over TCP connections.
//!
//! A client orders a file by its size and a number of times: two numbers of eight bytes. The side
//! sends the file of that size in its folder. Then the client orders again or closes the
//! connection. The size [`ALL`] orders every file of the folder in random order; only the bare
//! loops and sendloop support it.

mod async_io;
mod bare;
mod sendloop;
mod tokio;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::{Result, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{Backlog, listen};

use bare::{Beside, Calls};
use sendloop::Settings;

/// The order of a client.
#[derive(Clone, Copy)]
pub struct Order {
    pub size: u64,
    pub times: u64,
}

const ORDER: usize = 16;

/// The size that stands for all files.
pub const ALL: u64 = 0;

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

/// A folder and its open files. All connections share one open file.
#[derive(Clone)]
struct Folder {
    path: PathBuf,
    files: Rc<RefCell<HashMap<u64, Rc<File>>>>,
    /// Advances with each batch of all files, so that no two have the same order.
    seed: Rc<Cell<u64>>,
}

type SizedFile = (Rc<File>, u64);

/// The files that one order asks for.
struct Batch {
    files: Vec<SizedFile>,
    times: u64,
}

impl Batch {
    /// Returns each file as often as the client wants it.
    fn files(&self) -> impl Iterator<Item = &SizedFile> {
        let count = self.files.len() * self.times as usize;
        self.files.iter().cycle().take(count)
    }
}

/// Returns the next random number (splitmix64).
pub fn random(seed: &Cell<u64>) -> u64 {
    seed.set(seed.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
    let mut mixed = seed.get();
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl Folder {
    fn new(path: PathBuf) -> Folder {
        Folder { path, files: Rc::default(), seed: Rc::default() }
    }

    fn batch(&self, order: Order) -> io::Result<Batch> {
        let files = match order.size {
            ALL => self.all()?,
            size => vec![(self.open(size)?, size)],
        };
        let times = order.times;
        Ok(Batch { files, times })
    }

    /// Returns every file of the folder, shuffled.
    fn all(&self) -> io::Result<Vec<SizedFile>> {
        let mut sizes = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            sizes.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
        }
        sizes.sort_unstable();
        for last in (1..sizes.len()).rev() {
            let other = random(&self.seed) % (last as u64 + 1);
            sizes.swap(last, other as usize);
        }
        let open = |size| Ok((self.open(size)?, size));
        sizes.into_iter().map(open).collect()
    }

    fn open(&self, size: u64) -> io::Result<Rc<File>> {
        if let Some(file) = self.files.borrow().get(&size) {
            return Ok(file.clone());
        }
        let file = Rc::new(self.open_own(size)?);
        self.files.borrow_mut().insert(size, file.clone());
        Ok(file)
    }

    /// Opens a file for one connection that uses its position.
    fn open_own(&self, size: u64) -> io::Result<File> {
        File::open(self.path.join(size.to_string()))
    }
}

pub fn run(peer: &str, arguments: &[String]) -> Result<()> {
    let [folder] = arguments else {
        bail!("send-PEER FOLDER");
    };
    let folder = Folder::new(folder.into());
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    // Ten thousand clients connect at once.
    listen(&listener, Backlog::MAXCONN)?;
    super::print_ready(listener.local_addr()?.port());
    super::end_with_stdin();
    match peer {
        "blocking" => bare::blocking(&listener, &folder, Calls::whole(Beside::Nothing))?,
        "blocking_lseek" => bare::blocking(&listener, &folder, Calls::whole(Beside::Position))?,
        "blocking_probe" => bare::blocking(&listener, &folder, Calls::whole(Beside::Probe))?,
        "blocking_probe_lseek" => {
            bare::blocking(&listener, &folder, Calls::whole(Beside::ProbeAndPosition))?;
        }
        "epoll" => bare::epoll(&listener, &folder, Calls::whole(Beside::Nothing))?,
        "read_write" => bare::read_write(&listener, &folder)?,
        "tokio_copy" => tokio::run(listener, folder, tokio::How::Copy)?,
        "tokio_sendfile" => tokio::run(listener, folder, tokio::How::Sendfile)?,
        "async_io" => async_io::run(listener, folder)?,
        _ => match (sendloop_settings(peer), call_size(peer)) {
            (Some(settings), _) => sendloop::run(listener, folder, settings)?,
            (_, Some(("blocking", most))) => bare::blocking(&listener, &folder, Calls::of(most))?,
            (_, Some(("epoll", most))) => bare::epoll(&listener, &folder, Calls::of(most))?,
            _ => bail!("no side for files has the name {peer}"),
        },
    }
    Ok(())
}

/// Returns the settings in the name of a sendloop peer.
fn sendloop_settings(peer: &str) -> Option<Settings> {
    let (prefetch, update_position) = match peer {
        "sendloop" => (true, true),
        "sendloop_noprefetch" => (false, true),
        "sendloop_noposition" => (true, false),
        "sendloop_noposition_noprefetch" => (false, false),
        _ => return None,
    };
    Some(Settings { prefetch, update_position })
}

/// Returns a bare loop and its largest count: `epoll_128k` is (`epoll`, 128 KiB).
fn call_size(peer: &str) -> Option<(&str, u64)> {
    let (way, size) = peer.strip_suffix('k')?.split_once('_')?;
    Some((way, size.parse::<u64>().ok()? << 10))
}
