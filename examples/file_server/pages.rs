//! Renders listings, and shares each rendering between the clients that ask at the same time.
//!
//! A listing may be large, and each client takes it at its own pace. So the executor renders it
//! into an unnamed file in memory, and the loop sends it from there like any file. A client that
//! reads nothing holds no part of it.
//!
//! One listing is rendered at a time. A request gets a rendering that began after the request came,
//! so it is never too old. If a new rendering equals an earlier one that a client still receives,
//! both clients share the earlier. So a directory that does not change has one rendering, and
//! [`MAX_BYTES`] bounds all renderings together.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use sendloop::LoopHandle;

use crate::beneath::Wait;
use crate::index::{self, Order};
use crate::listing;
use crate::root::Root;
use crate::rules::Rules;

/// The bytes that all renderings of a loop may take together. A single one may be larger.
const MAX_BYTES: u64 = 64 << 20;

/// The interval at which unused renderings are dropped.
const SWEEP: Duration = Duration::from_secs(1);

/// A listing in one order and one format.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Listing {
    /// The path of the directory below the root.
    pub(crate) path: PathBuf,
    pub(crate) order: Order,
    pub(crate) format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    Html,
    Json,
}

/// A rendering.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) file: File,
    pub(crate) len: u64,
    pub(crate) format: Format,
    hash: u64,
}

struct Rendered {
    listing: Listing,
    /// The event at which its rendering began.
    begun: u64,
    page: Arc<Page>,
}

pub(crate) struct Pages {
    event_loop: LoopHandle,
    root: Arc<Root>,
    rules: Arc<Rules>,
    hash: RandomState,
    events: Cell<u64>,
    rendered: RefCell<Vec<Rendered>>,
    is_sweeping: Cell<bool>,
    /// A channel that is full during a rendering.
    rendering: (Sender<()>, Receiver<()>),
}

/// Lets the next one render when it is dropped.
struct Turn<'a>(&'a Receiver<()>);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let _ = self.0.try_recv();
    }
}

impl Pages {
    pub(crate) fn new(event_loop: LoopHandle, root: Arc<Root>, rules: Arc<Rules>) -> Rc<Pages> {
        Rc::new(Pages {
            event_loop,
            root,
            rules,
            hash: RandomState::new(),
            events: Cell::new(0),
            rendered: RefCell::default(),
            is_sweeping: Cell::new(false),
            rendering: async_channel::bounded(1),
        })
    }

    /// Renders a listing, or shares one that was begun after this call.
    ///
    /// # Errors
    ///
    /// Any OS error from reading the directory; `QuotaExceeded` if clients that take their time
    /// hold too many others.
    pub(crate) async fn page(self: &Rc<Pages>, listing: Listing) -> io::Result<Arc<Page>> {
        let asked = self.next_event();
        let (begin, end) = &self.rendering;
        let _ = begin.send(()).await;
        let _turn = Turn(end);
        let is_new = |page: &Rendered| page.listing == listing && page.begun > asked;
        if let Some(rendered) = self.rendered.borrow().iter().find(|page| is_new(page)) {
            return Ok(rendered.page.clone());
        }
        let begun = self.next_event();
        let (root, rules, wanted) = (self.root.clone(), self.rules.clone(), listing.clone());
        let hasher = self.hash.build_hasher();
        let rendering = move || render(&root, &rules, &wanted, hasher);
        let rendered = self.event_loop.run_in_executor(rendering).await;
        let page = rendered.unwrap_or_else(|error| Err(io::Error::other(error.to_string())))?;
        self.keep(listing, begun, page)
    }

    fn next_event(&self) -> u64 {
        self.events.replace(self.events.get() + 1)
    }

    fn keep(self: &Rc<Pages>, listing: Listing, begun: u64, page: Page) -> io::Result<Arc<Page>> {
        self.drop_unused();
        let mut rendered = self.rendered.borrow_mut();
        let is_same = |other: &&mut Rendered| {
            other.listing == listing && (other.page.hash, other.page.len) == (page.hash, page.len)
        };
        if let Some(same) = rendered.iter_mut().find(is_same) {
            same.begun = begun;
            return Ok(same.page.clone());
        }
        let bytes: u64 = rendered.iter().map(|other| other.page.len).sum();
        if !rendered.is_empty() && bytes + page.len > MAX_BYTES {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        let page = Arc::new(page);
        rendered.push(Rendered { listing, begun, page: page.clone() });
        self.sweep_later();
        Ok(page)
    }

    fn drop_unused(&self) {
        let is_used = |rendered: &Rendered| Arc::strong_count(&rendered.page) > 1;
        self.rendered.borrow_mut().retain(is_used);
    }

    fn sweep_later(self: &Rc<Pages>) {
        if !self.is_sweeping.replace(true) {
            let pages = self.clone();
            self.event_loop.call_later(SWEEP, move || pages.sweep());
        }
    }

    fn sweep(self: Rc<Pages>) {
        self.is_sweeping.set(false);
        self.drop_unused();
        if !self.rendered.borrow().is_empty() {
            self.sweep_later();
        }
    }
}

fn render(root: &Root, rules: &Rules, listing: &Listing, hasher: impl Hasher) -> io::Result<Page> {
    let mut entries = listing::list(&*root.tree(Wait::Allowed)?, &listing.path, rules.hidden)?;
    index::sort(&mut entries, listing.order);
    let out = Hashed { file: unnamed_file()?, hasher, len: 0 };
    let mut out = BufWriter::with_capacity(64 << 10, out);
    match listing.format {
        Format::Html => {
            let path = address(&listing.path);
            let (entries, order) = (&entries[..], listing.order);
            let page = index::IndexPage { path: &path, entries, order };
            write!(out, "{page}")?;
        }
        Format::Json => write!(out, "{}", index::Json(&entries))?,
    }
    let out = out.into_inner()?;
    Ok(Page { file: out.file, len: out.len, format: listing.format, hash: out.hasher.finish() })
}

/// With a slash at both ends.
fn address(path: &Path) -> Vec<u8> {
    let path = match path.as_os_str().as_bytes() {
        b"." => b"",
        path => path,
    };
    [b"/", path].concat()
}

#[cfg(target_os = "linux")]
fn unnamed_file() -> io::Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};
    Ok(memfd_create("listing", MemfdFlags::CLOEXEC)?.into())
}

#[cfg(not(target_os = "linux"))]
fn unnamed_file() -> io::Result<File> {
    tempfile::tempfile()
}

struct Hashed<H> {
    file: File,
    hasher: H,
    len: u64,
}

impl<H: Hasher> Write for Hashed<H> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.file.write(bytes)?;
        self.hasher.write(&bytes[..len]);
        self.len += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
