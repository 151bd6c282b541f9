//! The page cache as a transfer sees it. It decides whether the loop's thread may send the next
//! bytes without waiting for the disk.
//!
//! [`PageCache::poll_ready`] is the main interface. It is ready when the loop can send the first
//! bytes of a range. Until then it probes the kernel, and executor threads read the missing pages.
//!
//! # Probes
//!
//! The kernel has three probes of the page cache (`sys/page_cache/linux.rs` lists their costs and
//! file systems). A transfer begins with the cheapest one that works on its mount. After a miss it
//! uses the exact one:
//!
//! ```text
//!             the file system is
//! Unknown ──┬─ in memory, or DAX ─────────▶ Off    no probe
//!           ├─ on a local disk ──────────▶ Cheap   cachestat, else preadv2 of bytes, else mincore
//!           │                                │ a miss of this transfer, or recently on this mount
//!           │                                ▼
//!           │                              Exact   mincore; prefetches exactly the missing ranges
//!           │                                │ mincore is not truthful, or prefetches do not help
//!           │                                ▼
//!           ├─ not local, no fallback ───▶ Blind   prefetches every range before it is sent
//!           └─ not local, with fallback            stays unknown; the transfer takes the fallback
//! ```
//!
//! # Rules
//!
//! 1. A probe counts until the transfer waits for the socket for more than 1 ms. A page may leave
//!    the page cache between the probe and the send. Then the loop's thread waits for the disk
//!    once.
//! 2. If a page is known to be missing, the loop sends it only after an executor thread has read
//!    it. After three reads that did not help, the loop sends it anyway. It also does so if the
//!    executor takes no work.
//! 3. Each thread remembers a mount by its unique id: its file system, and which probes work on it.
//!    If the kernel refuses a probe for one file (EPERM, errors of mmap), that counts for its
//!    transfer alone.
//! 4. A prefetch owns a duplicate of the file. So the caller can drop a transfer while a thread
//!    still reads. The transfer drops a prefetch that no thread has begun.
//! 5. The executor reads the bytes without a copy, and they stay in the page cache alone. The
//!    loop's thread makes the send, as in another thread it would race with cancellation.
//! 6. The loop's thread queries no server here. The executor finds the kind of an unknown file
//!    system. Files of remote and unknown ones (FUSE, NFS) take the fallback. FUSE may keep no
//!    pages, and NFS asks its server whether they are still valid.

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use crate::error::{LoopClosedError, TaskError};
use crate::event_loop::{Fallback, LoopHandle};
use crate::pool::Blocking;
use crate::sys::file::{self, FileKind, Metadata};
use crate::sys::page_cache::{self as kernel, FileSystem};

/// The bytes that one probe covers.
const WINDOW: u64 = kernel::MAX_RANGE;

/// The bytes of a prefetch that the transfer waits for.
///
/// They are few, so that the transfer continues soon.
const PIECE: u64 = 256 << 10;

/// The bytes of readahead, while the loop sends and while the socket drains.
const READ_AHEAD: u64 = 1 << 20;

/// The prefetches of one page after which the loop sends it, even if it is still missing.
///
/// The kernel then evicts the page as fast as the executor reads it.
const MAX_PREFETCHES: u32 = 3;

/// The pages in a row that no prefetch helped, after which the transfer stops its probes.
///
/// In seastar the probes were wrong. No message reported it, and threads did all the work
/// (scylladb/seastar#2974).
const MAX_FRUITLESS_PAGES: u32 = 3;

/// The time for which a miss makes transfers of its mount use the exact probe.
const MISS_INTERVAL: Duration = Duration::from_secs(1);

/// The longest wait for the socket after which a probe still counts.
///
/// A quick peer causes many short waits. The mincore of a MiB costs a twentieth of its send.
const MAX_SHORT_WAIT: Duration = Duration::from_millis(1);

/// The time for which a prefetched range counts as ready if no probe can confirm it.
const PREFETCH_INTERVAL: Duration = Duration::from_millis(100);

/// The most mounts that a thread remembers.
///
/// Beyond that, it forgets all of them at once.
const MAX_MOUNTS: usize = 64;

/// The way in which a transfer probes the page cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    /// The file system is not known yet.
    Unknown,
    /// No probe: the file is in memory, or the caller allows waits.
    Off,
    /// The cheapest probe.
    Cheap,
    /// mincore.
    Exact,
    /// No probe is reliable, or the file system is not local. The executor prefetches each range
    /// before the loop sends it.
    Blind,
}

/// The facts about a mount that a thread remembers.
#[derive(Debug, Default)]
struct Mount {
    file_system: Cell<Option<FileSystem>>,
    /// True if preadv2 with RWF_NOWAIT works, `None` if unknown.
    nowait: Cell<Option<bool>>,
    /// True if cachestat is missing, or does not see this mount's pages (overlayfs).
    no_cachestat: Cell<bool>,
    last_miss: Cell<Option<Instant>>,
}

thread_local! {
    /// The mounts of this thread's transfers, by unique id.
    ///
    /// The kernel never uses an id twice.
    static MOUNTS: RefCell<Vec<(u64, Rc<Mount>)>> = const { RefCell::new(Vec::new()) };
}

impl Mount {
    /// Returns the mount of a file.
    ///
    /// Without a unique id, the thread remembers nothing, as a later mount may have the same
    /// number. A block device's data is on no mount.
    fn of(metadata: &Metadata) -> Rc<Mount> {
        match metadata.mount {
            Some(id) if metadata.kind == FileKind::Regular => MOUNTS
                .try_with(|mounts| Mount::find(&mut mounts.borrow_mut(), id))
                .unwrap_or_default(),
            _ => Rc::default(),
        }
    }

    fn find(mounts: &mut Vec<(u64, Rc<Mount>)>, id: u64) -> Rc<Mount> {
        if let Some((_, mount)) = mounts.iter().find(|(known, _)| *known == id) {
            return mount.clone();
        }
        if mounts.len() == MAX_MOUNTS {
            mounts.clear();
        }
        let mount = Rc::new(Mount::default());
        mounts.push((id, mount.clone()));
        mount
    }

    fn has_recent_miss(&self) -> bool {
        let last_miss = self.last_miss.get();
        let is_recent = last_miss.is_some_and(|at| at.elapsed() < MISS_INTERVAL);
        if !is_recent {
            self.last_miss.set(None);
        }
        is_recent
    }
}

/// The outcome of [`PageCache::poll_ready`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CacheReadiness {
    /// The loop can send this many of the first bytes, at least one.
    Ready(u64),
    /// The loop's thread must not send the file.
    UseFallback(Fallback),
}

/// The result of a probe of a window.
#[derive(PartialEq, Eq, Debug)]
enum ProbeResult {
    /// The first bytes are present. `PageCache::ready` holds their range.
    Present,
    /// The first page is missing. The executor has to prefetch these ranges.
    Missing(Vec<Range<u64>>),
    /// The file bypasses the page cache.
    Direct,
}

/// A file, and the loop that sends it.
#[derive(Clone, Copy, Debug)]
pub(super) struct CachedFile<'a> {
    pub(super) event_loop: &'a LoopHandle,
    pub(super) fd: BorrowedFd<'a>,
}

/// A prefetch in progress.
#[derive(Debug)]
struct Prefetch {
    /// The range from the first missing byte to the last.
    range: Range<u64>,
    work: Blocking<()>,
}

/// The page cache as one transfer knows it.
#[derive(Debug)]
pub(super) struct PageCache {
    mode: Mode,
    may_fall_back: bool,
    metadata: Option<Metadata>,
    mount: Option<Rc<Mount>>,
    /// The bytes that the loop can send without another probe.
    ready: Range<u64>,
    /// The offset of the last miss.
    miss: Option<u64>,
    /// True if cachestat refuses this file.
    is_refused: bool,
    /// True if mincore is known to report the true state of this file.
    is_truthful: bool,
    /// True if the file bypasses the page cache, `None` if unknown.
    is_direct: Option<bool>,
    /// The offset of a page, and the prefetches of it that have not helped.
    page_prefetches: (u64, u32),
    fruitless_pages: u32,
    prefetch: Option<Prefetch>,
    /// The offset up to which prefetches have begun.
    prefetched: u64,
    file_system: Option<Blocking<FileSystem>>,
}

impl PageCache {
    /// Creates the state of a transfer without any probe yet.
    ///
    /// Without `prefetch`, everything counts as ready. With `may_fall_back`, files whose reads may
    /// wait for a server take the fallback. Otherwise the executor prefetches them.
    pub(super) fn new(prefetch: bool, may_fall_back: bool) -> PageCache {
        PageCache {
            mode: match prefetch && kernel::IS_SUPPORTED {
                true => Mode::Unknown,
                false => Mode::Off,
            },
            may_fall_back,
            metadata: None,
            mount: None,
            ready: 0..0,
            miss: None,
            is_refused: false,
            is_truthful: false,
            is_direct: None,
            page_prefetches: (0, 0),
            fruitless_pages: 0,
            prefetch: None,
            prefetched: 0,
            file_system: None,
        }
    }

    /// Takes the metadata of a stat.
    ///
    /// The stat has checked that the file does not bypass the page cache.
    pub(super) fn set_metadata(&mut self, metadata: Metadata) {
        self.metadata = Some(metadata);
        self.is_direct = Some(false);
    }

    /// Forgets probes after a wait for the socket, as pages may have left the page cache.
    pub(super) fn after_wait(&mut self, waited: Duration) {
        let limit = match self.mode {
            Mode::Blind => PREFETCH_INTERVAL,
            _ => MAX_SHORT_WAIT,
        };
        if waited > limit {
            self.ready = 0..0;
        }
        if waited > PREFETCH_INTERVAL {
            self.prefetched = 0;
        }
    }

    /// Stops all probes, as the executor takes no work.
    ///
    /// The loop then sends everything without prefetch.
    pub(super) fn turn_off(&mut self) {
        self.mode = Mode::Off;
    }

    /// Returns whether the loop can send the whole range now.
    ///
    /// A range counts only if a probe without waiting shows it.
    pub(super) fn is_ready_now(&mut self, file: CachedFile<'_>, range: &Range<u64>) -> bool {
        if self.mode == Mode::Off {
            return true;
        }
        // One page needs no stat first.
        if is_one_page(range) {
            if let Ok(is_resident) = self.probe_byte(file, range.start) {
                match is_resident {
                    true => self.ready = range.clone(),
                    false => self.count_miss(file, range.start),
                }
                return is_resident;
            }
        }
        if !self.find_mount(file) || !self.choose_mode() {
            return false;
        }
        match self.mode {
            Mode::Off => true,
            Mode::Cheap | Mode::Exact => {
                let result = self.probe(file, &first(range, WINDOW));
                result == ProbeResult::Present && self.ready.end >= range.end
            }
            Mode::Unknown | Mode::Blind => false,
        }
    }

    /// Returns how many of a range's first bytes the loop can send without waiting.
    ///
    /// It returns the fallback instead if the loop's thread should not send them. While it is
    /// pending, it wakes the task of `cx` for the next poll. `range` is all that the transfer still
    /// owes.
    ///
    /// # Errors
    ///
    /// `LoopClosedError` if the loop closes during the wait for an executor thread.
    pub(super) fn poll_ready(
        &mut self,
        file: CachedFile<'_>,
        range: Range<u64>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<CacheReadiness>> {
        let is_known = self.ready.contains(&range.start) || self.miss.is_some();
        if self.mode == Mode::Unknown && !is_known && is_one_page(&range) {
            self.is_ready_now(file, &range);
        }
        if self.mode == Mode::Unknown && !self.ready.contains(&range.start) {
            ready!(self.poll_mode(file, range.start, cx))?;
            if self.mode == Mode::Unknown {
                return Poll::Ready(Ok(CacheReadiness::UseFallback(Fallback::NoAnswer)));
            }
        }
        loop {
            if self.mode == Mode::Off {
                return Poll::Ready(Ok(CacheReadiness::Ready(range.end - range.start)));
            }
            if self.ready.contains(&range.start) {
                self.read_ahead(file, &range);
                let end = self.ready.end.min(range.end);
                return Poll::Ready(Ok(CacheReadiness::Ready(end - range.start)));
            }
            match self.probe(file, &first(&range, WINDOW)) {
                ProbeResult::Present => {}
                ProbeResult::Missing(missing) => {
                    ready!(self.poll_prefetch(file, missing, cx))?;
                }
                ProbeResult::Direct => {
                    return Poll::Ready(Ok(CacheReadiness::UseFallback(Fallback::Uncached)));
                }
            }
        }
    }

    /// Chooses the mode. The mode stays unknown if the file should take the fallback.
    fn poll_mode(
        &mut self,
        file: CachedFile<'_>,
        offset: u64,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.find_mount(file) {
            // sendfile reports the error of the file.
            self.mode = Mode::Off;
        }
        if self.mode == Mode::Unknown && !self.choose_mode() {
            ready!(self.poll_file_system(file, offset, cx))?;
            self.choose_mode();
        }
        Poll::Ready(Ok(()))
    }

    /// Finds the mount of the file, and returns false if the stat fails.
    ///
    /// If the metadata decides the mode, it also sets the mode.
    fn find_mount(&mut self, file: CachedFile<'_>) -> bool {
        if self.mount.is_some() {
            return true;
        }
        let metadata = match self.metadata {
            Some(metadata) => metadata,
            None => match file::metadata(file.fd, false) {
                Ok(metadata) => metadata,
                Err(_) => return false,
            },
        };
        self.metadata = Some(metadata);
        self.mount = Some(Mount::of(&metadata));
        if metadata.is_dax || metadata.kind == FileKind::Other {
            self.mode = Mode::Off;
        }
        true
    }

    /// Chooses the mode, and returns whether the mount's file system is known.
    fn choose_mode(&mut self) -> bool {
        let Some(mount) = &self.mount else {
            return false;
        };
        if self.mode != Mode::Unknown {
            return true;
        }
        let Some(file_system) = mount.file_system.get() else {
            return false;
        };
        self.mode = match file_system {
            FileSystem::Memory => Mode::Off,
            FileSystem::Local if self.miss.is_some() || mount.has_recent_miss() => Mode::Exact,
            FileSystem::Local => Mode::Cheap,
            FileSystem::Other if self.may_fall_back => Mode::Unknown,
            FileSystem::Other => Mode::Blind,
        };
        true
    }

    /// Finds the mount's file system, or turns probing off.
    fn poll_file_system(
        &mut self,
        file: CachedFile<'_>,
        offset: u64,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mount = self.mount.clone().unwrap_or_default();
        if self.file_system.is_none() {
            if let Some(file_system) = self.guess_file_system(file, offset) {
                mount.file_system.set(Some(file_system));
                return Poll::Ready(Ok(()));
            }
            if self.mode == Mode::Off {
                return Poll::Ready(Ok(()));
            }
            // The kernel may query a server even for its name.
            if let Ok(lent) = file.event_loop.lend(file.fd, true) {
                let query = move || kernel::file_system(lent.as_fd());
                self.file_system = Some(file.event_loop.run_cancel_on_drop(query));
            }
        }
        let result = match &mut self.file_system {
            Some(query) => Some(ready!(Pin::new(query).poll(cx))),
            None => None,
        };
        self.file_system = None;
        match result {
            Some(Ok(file_system)) => mount.file_system.set(Some(file_system)),
            Some(Err(error)) if error.is_cancelled() && file.event_loop.is_closed() => {
                return Poll::Ready(Err(LoopClosedError.into()));
            }
            // The executor has no thread or descriptor for it. That does not concern the mount.
            _ => {
                let mount = Mount::default();
                mount.file_system.set(Some(FileSystem::Other));
                self.mount = Some(Rc::new(mount));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Returns the file system, if the kernel knows it without a server.
    fn guess_file_system(&mut self, file: CachedFile<'_>, offset: u64) -> Option<FileSystem> {
        match self.probe_byte(file, offset) {
            Ok(true) => return Some(FileSystem::Local),
            Ok(false) => {
                self.count_miss(file, offset);
                return Some(FileSystem::Local);
            }
            Err(error) if is_unsupported(&error) => {}
            // sendfile reports the error of the file.
            Err(_) => {
                self.mode = Mode::Off;
                return None;
            }
        }
        if kernel::is_sealable(file.fd) {
            return Some(FileSystem::Memory);
        }
        let is_device = self
            .metadata
            .is_some_and(|metadata| metadata.kind == FileKind::BlockDevice);
        is_device.then_some(FileSystem::Local)
    }

    /// Probes which part of a window is present.
    fn probe(&mut self, file: CachedFile<'_>, window: &Range<u64>) -> ProbeResult {
        let window = match self.metadata {
            Some(metadata) if metadata.size > window.start => {
                &(window.start..window.end.min(metadata.size))
            }
            // The file ends before the window, or its size is unknown.
            _ => {
                self.ready = window.clone();
                return ProbeResult::Present;
            }
        };
        match self.mode {
            Mode::Cheap => self.probe_cheap(file, window),
            Mode::Blind => ProbeResult::Missing(vec![first(window, PIECE)]),
            _ => self.probe_exact(file, window),
        }
    }

    /// Makes the cheapest probe that works here, and after a miss the exact one.
    fn probe_cheap(&mut self, file: CachedFile<'_>, window: &Range<u64>) -> ProbeResult {
        let mount = self.mount.clone().unwrap_or_default();
        let cached = self.cached_pages(file, window);
        let is_there = match cached {
            Some(cached) => cached >= pages(window),
            None if mount.nowait.get() == Some(true) => self.probe_bytes(file, window),
            None => return self.probe_exact(file, window),
        };
        if is_there {
            self.ready = window.clone();
            return ProbeResult::Present;
        }
        if cached != Some(0) {
            self.enter_exact();
        }
        let result = self.probe_exact(file, window);
        // If cachestat counts no page and mincore sees all of them, this is overlayfs.
        let sees_all = result == ProbeResult::Present && self.ready.end >= window.end;
        if self.mode == Mode::Cheap && sees_all {
            mount.no_cachestat.set(true);
        }
        result
    }

    /// Returns how many pages of a window cachestat counts.
    ///
    /// It returns `None` if cachestat does not work here.
    fn cached_pages(&mut self, file: CachedFile<'_>, window: &Range<u64>) -> Option<u64> {
        let mount = self.mount.as_ref()?;
        if mount.no_cachestat.get() || self.is_refused {
            return None;
        }
        file.event_loop.counters().sendfile_probes += 1;
        let error = match kernel::cached_pages(file.fd, window.start, window.end - window.start) {
            Ok(cached) => return Some(cached),
            Err(error) => error,
        };
        match error.raw_os_error() {
            Some(libc::ENOSYS | libc::EOPNOTSUPP) => mount.no_cachestat.set(true),
            _ => self.is_refused = true,
        }
        None
    }

    fn enter_exact(&mut self) {
        if self.mode == Mode::Cheap {
            self.mode = Mode::Exact;
        }
    }

    /// Returns whether a window's first byte and each piece's last byte are present.
    ///
    /// It does not see a hole between them.
    fn probe_bytes(&mut self, file: CachedFile<'_>, window: &Range<u64>) -> bool {
        let ends = (window.start + PIECE..window.end).step_by(PIECE as usize);
        let mut offsets = [window.start]
            .into_iter()
            .chain(ends.map(|end| end - 1))
            .chain([window.end - 1])
            .take(if is_one_page(window) { 1 } else { usize::MAX });
        offsets.all(|offset| self.probe_byte(file, offset).unwrap_or(false))
    }

    /// Probes one byte, and remembers whether the probe works on the mount.
    fn probe_byte(&mut self, file: CachedFile<'_>, offset: u64) -> io::Result<bool> {
        file.event_loop.counters().sendfile_probes += 1;
        let result = kernel::is_resident(file.fd, offset);
        let works = match &result {
            Ok(_) => Some(true),
            Err(error) => match error.raw_os_error() {
                Some(libc::EOPNOTSUPP | libc::ENOSYS) => Some(false),
                _ => None,
            },
        };
        if let (Some(_), Some(mount)) = (works, &self.mount) {
            mount.nowait.set(works);
        }
        result
    }

    /// Counts a miss, once for each page that several probes find missing.
    fn count_miss(&mut self, file: CachedFile<'_>, offset: u64) {
        if self.miss.replace(offset) != Some(offset) {
            file.event_loop.counters().sendfile_misses += 1;
        }
    }

    /// Probes with mincore which pages of a window are present.
    fn probe_exact(&mut self, file: CachedFile<'_>, window: &Range<u64>) -> ProbeResult {
        let Some(mut missing) = self.missing(file, window) else {
            self.enter_blind();
            return ProbeResult::Missing(vec![first(window, PIECE)]);
        };
        let present = window.start..missing.first().map_or(window.end, |range| range.start);
        if let Some(range) = missing.first() {
            if let Some(result) = self.on_miss(file, range.start, window) {
                return result;
            }
        }
        if !present.is_empty() {
            self.page_prefetches.1 = 0;
            self.fruitless_pages = 0;
            self.ready = present;
            return ProbeResult::Present;
        }
        let piece = first(&missing[0], PIECE);
        if self.page_prefetches == (piece.start, MAX_PREFETCHES) {
            self.on_fruitless_page();
            self.ready = piece;
            return ProbeResult::Present;
        }
        let end = piece.start + PIECE;
        missing.retain(|range| range.start < end);
        if let Some(last) = missing.last_mut() {
            last.end = last.end.min(end);
        }
        ProbeResult::Missing(missing)
    }

    /// Returns the missing ranges of a window, in order.
    ///
    /// It returns `None` if mincore fails or does not report the true state.
    fn missing(&mut self, file: CachedFile<'_>, window: &Range<u64>) -> Option<Vec<Range<u64>>> {
        file.event_loop.counters().sendfile_probes += 1;
        let mut pages = [0; size_of::<kernel::Pages>()];
        let (start, len) = (window.start, window.end - window.start);
        let count = kernel::resident_pages(file.fd, start, len, &mut pages).ok()?;
        let missing = missing_ranges(window, &pages[..count], kernel::page_size());
        if !missing.is_empty() {
            self.is_truthful = true;
        } else if !self.is_truthful {
            let size = self.metadata.map_or(0, |metadata| metadata.size);
            self.is_truthful = kernel::is_mincore_truthful(file.fd, size);
        }
        self.is_truthful.then_some(missing)
    }

    /// Handles a miss at `offset`, and returns a result if no prefetch can help.
    ///
    /// No page of a file that bypasses the page cache ever becomes present. Nor does a page past
    /// the end, if the file has shrunk since the last stat.
    fn on_miss(
        &mut self,
        file: CachedFile<'_>,
        offset: u64,
        window: &Range<u64>,
    ) -> Option<ProbeResult> {
        let is_direct = || matches!(file::is_direct(file.fd), Ok(true));
        if *self.is_direct.get_or_insert_with(is_direct) {
            return Some(ProbeResult::Direct);
        }
        if file::metadata(file.fd, false).is_ok_and(|metadata| metadata.size <= offset) {
            self.ready = window.clone();
            return Some(ProbeResult::Present);
        }
        self.count_miss(file, offset);
        self.enter_exact();
        if let Some(mount) = &self.mount {
            mount.last_miss.set(Some(Instant::now()));
        }
        None
    }

    fn on_fruitless_page(&mut self) {
        self.page_prefetches.1 = 0;
        self.fruitless_pages += 1;
        if self.fruitless_pages == MAX_FRUITLESS_PAGES {
            log::warn!(
                "the page cache does not keep the pages of a file; this transfer stops its probes \
                 and prefetches every range"
            );
            self.enter_blind();
        }
    }

    /// Stops all probes of the file. Earlier prefetches no longer count, as no probe confirms them.
    fn enter_blind(&mut self) {
        self.mode = Mode::Blind;
        self.prefetched = 0;
    }

    /// Waits for the prefetch of the first of these ranges, or starts it.
    fn poll_prefetch(
        &mut self,
        file: CachedFile<'_>,
        missing: Vec<Range<u64>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let start = missing[0].start;
        let covers = |prefetch: &Prefetch| prefetch.range.contains(&start);
        if !self.prefetch.as_ref().is_some_and(covers) {
            self.start_prefetch(file, missing);
        }
        let Some(prefetch) = &mut self.prefetch else {
            self.turn_off();
            return Poll::Ready(Ok(()));
        };
        let result = ready!(Pin::new(&mut prefetch.work).poll(cx));
        let page_prefetches = if self.page_prefetches.0 == start {
            self.page_prefetches.1
        } else {
            0
        };
        self.page_prefetches = (start, page_prefetches + 1);
        Poll::Ready(self.end_prefetch(file.event_loop, result))
    }

    /// Starts a prefetch of these ranges, in order, on an executor thread.
    fn start_prefetch(&mut self, file: CachedFile<'_>, missing: Vec<Range<u64>>) {
        self.prefetch = None;
        let (Some(first), Some(last)) = (missing.first(), missing.last()) else {
            return;
        };
        let range = first.start..last.end;
        // A file system without preadv2 may have another one below it. Closing the file may then
        // wait for a server.
        let is_slow = self
            .mount
            .as_ref()
            .is_none_or(|mount| mount.nowait.get() != Some(true));
        let Ok(lent) = file.event_loop.lend(file.fd, is_slow) else {
            return;
        };
        file.event_loop.counters().sendfile_prefetches += 1;
        let work = file.event_loop.run_cancel_on_drop(move || {
            for range in missing {
                kernel::read_into_cache(lent.as_fd(), range.start, range.end - range.start);
            }
        });
        self.prefetched = self.prefetched.max(range.end);
        self.prefetch = Some(Prefetch { range, work });
    }

    fn end_prefetch(
        &mut self,
        event_loop: &LoopHandle,
        result: Result<(), TaskError>,
    ) -> io::Result<()> {
        let prefetch = self.prefetch.take();
        match (result, prefetch) {
            (Ok(()), Some(Prefetch { range, .. })) if self.mode == Mode::Blind => {
                let joins = !self.ready.is_empty() && range.start <= self.ready.end;
                let start = if joins { self.ready.start } else { range.start };
                self.ready = start..range.end;
                Ok(())
            }
            (Ok(()), _) => Ok(()),
            (Err(error), _) if error.is_cancelled() && event_loop.is_closed() => {
                Err(LoopClosedError.into())
            }
            (Err(_), _) => {
                self.turn_off();
                Ok(())
            }
        }
    }

    /// Prefetches the next bytes, so that the disk works while the socket drains.
    ///
    /// It does so only in the modes `Exact` and `Blind`.
    fn read_ahead(&mut self, file: CachedFile<'_>, range: &Range<u64>) {
        if !matches!(self.mode, Mode::Exact | Mode::Blind) {
            return;
        }
        if let Some(prefetch) = &mut self.prefetch {
            let noop = &mut Context::from_waker(Waker::noop());
            let Poll::Ready(result) = Pin::new(&mut prefetch.work).poll(noop) else {
                return;
            };
            // The next wait reports a closed loop again.
            let _ = self.end_prefetch(file.event_loop, result);
        }
        let start = self.prefetched.max(self.ready.end);
        let window = first(&(start..range.end), WINDOW);
        if window.is_empty() || start >= range.start + READ_AHEAD {
            return;
        }
        let missing = match self.mode {
            Mode::Exact => self.missing(file, &window),
            _ => Some(vec![window.clone()]),
        };
        let Some(missing) = missing else {
            return;
        };
        if missing.is_empty() && self.ready.end == window.start {
            self.ready.end = window.end;
        }
        self.prefetched = window.end;
        self.start_prefetch(file, missing);
    }
}

/// Returns whether an error means that [`kernel::is_resident`] does not work here.
///
/// The file system does not support it (EOPNOTSUPP). Or the kernel lacks the call, or a filter
/// refuses it (ENOSYS, EPERM, EINVAL).
fn is_unsupported(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EPERM | libc::EINVAL)
    )
}

/// Returns the first `len` bytes of a range, or all of it.
fn first(range: &Range<u64>, len: u64) -> Range<u64> {
    range.start..range.end.min(range.start.saturating_add(len))
}

/// Returns how many pages a range touches.
fn pages(range: &Range<u64>) -> u64 {
    let page = kernel::page_size();
    match range.is_empty() {
        true => 0,
        false => (range.end - 1) / page - range.start / page + 1,
    }
}

fn is_one_page(range: &Range<u64>) -> bool {
    pages(range) <= 1
}

/// Returns the missing ranges of a window, in order.
///
/// `pages` has one byte for each page that the window touches. If its lowest bit is set, the page
/// is present. `page` is the size of a page.
fn missing_ranges(window: &Range<u64>, pages: &[u8], page: u64) -> Vec<Range<u64>> {
    let mut missing: Vec<Range<u64>> = Vec::new();
    let mut start = window.start - window.start % page;
    for state in pages {
        let end = start + page;
        if state & 1 == 0 {
            match missing.last_mut() {
                Some(last) if last.end == start => last.end = end.min(window.end),
                _ => missing.push(start.max(window.start)..end.min(window.end)),
            }
        }
        start = end;
    }
    missing
}

#[cfg(test)]
mod tests;
