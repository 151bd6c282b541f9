//! Files that are not in the page cache, or lack some pages there.

use std::fs::File;
use std::net::UdpSocket;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{PosixFadviseAdvice as Advice, posix_fadvise};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use crate::runner::side;

pub const PAGE: u64 = 4096;
const TIMEOUT: Duration = Duration::from_secs(10);

/// Evicts all pages of a file from the page cache.
pub fn evict(path: &Path) -> Result<()> {
    let file = File::open(path)?;
    // The kernel cannot evict dirty pages.
    file.sync_all()?;
    evict_all(&file)
}

/// Loads a file into the page cache, except for the given pages.
///
/// It reads page by page, so that each page is one folio: the kernel drops only whole folios.
pub fn with_holes(path: &Path, holes: impl Fn(u64) -> bool) -> Result<()> {
    let file = File::open(path)?;
    let pages = file.metadata()?.len().div_ceil(PAGE);
    let wanted: Vec<bool> = (0..pages).map(|page| !holes(page)).collect();
    let start = Instant::now();
    loop {
        evict_all(&file)?;
        posix_fadvise(&file, 0, 0, Advice::POSIX_FADV_RANDOM)?;
        let mut byte = [0];
        for page in 0..pages {
            file.read_exact_at(&mut byte, page * PAGE)?;
        }
        for page in (0..pages).filter(|page| holes(*page)) {
            let (from, len) = ((page * PAGE) as i64, PAGE as i64);
            posix_fadvise(&file, from, len, Advice::POSIX_FADV_DONTNEED)?;
        }
        if resident(&file)? == wanted {
            return Ok(());
        }
        ensure!(start.elapsed() < TIMEOUT, "the kernel keeps other pages");
    }
}

fn evict_all(file: &File) -> Result<()> {
    let start = Instant::now();
    loop {
        posix_fadvise(file, 0, 0, Advice::POSIX_FADV_DONTNEED)?;
        let left = resident(file)?.into_iter().filter(|is_there| *is_there);
        match left.count() {
            0 => return Ok(()),
            left if start.elapsed() > TIMEOUT => bail!("the kernel keeps {left} pages"),
            _ => release_sent_pages()?,
        }
    }
}

/// Lets the measured core free the socket buffers that still refer to pages. The kernel defers that
/// until there is other traffic.
fn release_sent_pages() -> Result<()> {
    let traffic = thread::spawn(|| -> Result<()> {
        side::become_measured()?;
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.send_to(&[0], socket.local_addr()?)?;
        socket.recv(&mut [0])?;
        Ok(())
    });
    traffic.join().expect("no panic")?;
    thread::sleep(Duration::from_millis(1));
    Ok(())
}

/// Returns the pages that are in the page cache, by mincore(2), which reads nothing.
pub fn resident(file: &File) -> Result<Vec<bool>> {
    let len = usize::try_from(file.metadata()?.len())?;
    let room = NonZeroUsize::new(len).context("an empty file")?;
    let mut pages = vec![0; len.div_ceil(PAGE as usize)];
    // SAFETY: the kernel chooses the address, so the mapping replaces nothing.
    let map = unsafe { mmap(None, room, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, file, 0)? };
    // SAFETY: the range is mapped above, and `pages` has a byte for each of its pages.
    let result = unsafe { libc::mincore(map.as_ptr(), len, pages.as_mut_ptr()) };
    // SAFETY: the range is the one mapped above, and nothing refers to it.
    unsafe { munmap(map, len)? };
    ensure!(result == 0, "mincore failed");
    Ok(pages.iter().map(|page| page & 1 == 1).collect())
}
