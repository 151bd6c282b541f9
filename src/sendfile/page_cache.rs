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
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use crate::error::TaskError;
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
    /// True if preadv2 with RWF_NOWAIT is known to work.
    nowait: Cell<bool>,
    /// True if cachestat is missing, or does not see this mount's pages (overlayfs).
    no_cachestat: Cell<bool>,
    last_miss: Cell<Option<Instant>>,
}

thread_local! {
    /// The mounts of this thread's transfers, by unique id.
    ///
    /// The kernel never uses an id twice.
    static MOUNTS: RefCell<BTreeMap<u64, Rc<Mount>>> = const { RefCell::new(BTreeMap::new()) };
}

impl Mount {
    /// Returns the mount of a file.
    ///
    /// Without a unique id, the thread remembers nothing, as a later mount may have the same
    /// number. A block device's data is on no mount.
    fn of(metadata: &Metadata) -> Rc<Mount> {
        let Some(id) = metadata.mount.filter(|_| metadata.kind == FileKind::Regular) else {
            return Rc::default();
        };
        let find = |mounts: &RefCell<BTreeMap<u64, Rc<Mount>>>| {
            let mut mounts = mounts.borrow_mut();
            if mounts.len() >= MAX_MOUNTS && !mounts.contains_key(&id) {
                mounts.clear();
            }
            mounts.entry(id).or_default().clone()
        };
        MOUNTS.try_with(find).unwrap_or_default()
    }

    fn has_recent_miss(&self) -> bool {
        let last_miss = self.last_miss.get();
        last_miss.is_some_and(|at| at.elapsed() < MISS_INTERVAL)
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

/// A prefetch in progress.
#[derive(Debug)]
struct Prefetch {
    /// The range from the first missing byte to the last.
    range: Range<u64>,
    work: Blocking<()>,
}

/// The page cache as one transfer knows it.
#[derive(Debug)]
pub(super) struct PageCache<'a> {
    event_loop: LoopHandle,
    file: BorrowedFd<'a>,
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

impl<'a> PageCache<'a> {
    /// Creates the state of a transfer without any probe yet.
    ///
    /// Without `prefetch`, everything counts as ready. With `may_fall_back`, files whose reads may
    /// wait for a server take the fallback. Otherwise the executor prefetches them.
    pub(super) fn new(
        event_loop: &LoopHandle,
        file: BorrowedFd<'a>,
        prefetch: bool,
        may_fall_back: bool,
    ) -> PageCache<'a> {
        PageCache {
            event_loop: event_loop.clone(),
            file,
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
    pub(super) fn is_ready_now(&mut self, range: &Range<u64>) -> bool {
        if self.mode == Mode::Off {
            return true;
        }
        // One page needs no stat first.
        if is_one_page(range) {
            if let Ok(is_resident) = self.probe_byte(range.start) {
                match is_resident {
                    true => self.ready = range.clone(),
                    false => self.count_miss(range.start),
                }
                return is_resident;
            }
        }
        if !self.choose_mode() {
            return false;
        }
        match self.mode {
            Mode::Off => true,
            Mode::Cheap | Mode::Exact => {
                let result = self.probe(&first(range, WINDOW));
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
        range: Range<u64>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<CacheReadiness>> {
        if self.mode == Mode::Unknown && !self.ready.contains(&range.start) {
            let is_new_page = self.miss.is_none() && is_one_page(&range);
            if !is_new_page || !self.is_ready_now(&range) {
                ready!(self.poll_mode(range.start, cx))?;
                if self.mode == Mode::Unknown {
                    return Poll::Ready(Ok(CacheReadiness::UseFallback(Fallback::NoAnswer)));
                }
            }
        }
        loop {
            if self.mode == Mode::Off {
                return Poll::Ready(Ok(CacheReadiness::Ready(range.end - range.start)));
            }
            if self.ready.contains(&range.start) {
                self.read_ahead(&range);
                let end = self.ready.end.min(range.end);
                return Poll::Ready(Ok(CacheReadiness::Ready(end - range.start)));
            }
            match self.probe(&first(&range, WINDOW)) {
                ProbeResult::Present => {}
                ProbeResult::Missing(missing) => {
                    ready!(self.poll_prefetch(missing, cx))?;
                }
                ProbeResult::Direct => {
                    return Poll::Ready(Ok(CacheReadiness::UseFallback(Fallback::Uncached)));
                }
            }
        }
    }

    /// Chooses the mode. The mode stays unknown if the file should take the fallback.
    fn poll_mode(&mut self, offset: u64, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.mode == Mode::Unknown && !self.choose_mode() {
            ready!(self.poll_file_system(offset, cx))?;
            self.choose_mode();
        }
        Poll::Ready(Ok(()))
    }

    /// Chooses the mode, and returns false if it depends on an unknown file system.
    fn choose_mode(&mut self) -> bool {
        if self.metadata.is_none() {
            self.metadata = file::metadata(self.file, false).ok();
        }
        let is_cacheable = |it: &Metadata| !it.is_dax && it.kind != FileKind::Other;
        let Some(metadata) = self.metadata.filter(is_cacheable) else {
            // If the stat failed, sendfile reports the error of the file.
            self.mode = Mode::Off;
            return true;
        };
        let mount = self.mount.get_or_insert_with(|| Mount::of(&metadata));
        if self.mode != Mode::Unknown {
            return true;
        }
        self.mode = match mount.file_system.get() {
            None => return false,
            Some(FileSystem::Memory) => Mode::Off,
            Some(FileSystem::Local) if self.miss.is_some() || mount.has_recent_miss() => {
                Mode::Exact
            }
            Some(FileSystem::Local) => Mode::Cheap,
            Some(FileSystem::Other) if self.may_fall_back => Mode::Unknown,
            Some(FileSystem::Other) => Mode::Blind,
        };
        true
    }

    /// Finds the mount's file system, or turns probing off.
    fn poll_file_system(&mut self, offset: u64, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut found = None;
        if self.file_system.is_none() {
            found = match self.guess_file_system(offset) {
                Ok(found) => found,
                // sendfile reports the error of the file.
                Err(_) => {
                    self.mode = Mode::Off;
                    return Poll::Ready(Ok(()));
                }
            };
            if found.is_none() {
                // The kernel may query a server even for its name.
                let lent = self.event_loop.lend(self.file, true).ok();
                self.file_system = lent.map(|lent| {
                    let query = move || kernel::file_system(lent.as_fd());
                    self.event_loop.run_cancel_on_drop(query)
                });
            }
        }
        if let Some(query) = &mut self.file_system {
            found = self.event_loop.check_open(ready!(Pin::new(query).poll(cx)))?.ok();
            self.file_system = None;
        }
        if found.is_none() {
            // The executor has no thread or descriptor for it. That does not concern the mount.
            found = Some(FileSystem::Other);
            self.mount = None;
        }
        let mount = self.mount.get_or_insert_default();
        mount.file_system.set(found);
        Poll::Ready(Ok(()))
    }

    /// Returns the file system, if the kernel knows it without a server.
    fn guess_file_system(&mut self, offset: u64) -> io::Result<Option<FileSystem>> {
        match self.probe_byte(offset) {
            Ok(is_resident) => {
                if !is_resident {
                    self.count_miss(offset);
                }
                return Ok(Some(FileSystem::Local));
            }
            Err(error) => match error.raw_os_error() {
                // The file system does not support the probe, the kernel lacks it, or a filter
                // refuses it.
                Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EPERM | libc::EINVAL) => {}
                _ => return Err(error),
            },
        }
        let kind = self.metadata.map(|metadata| metadata.kind);
        Ok(match kernel::is_sealable(self.file) {
            true => Some(FileSystem::Memory),
            false if kind == Some(FileKind::BlockDevice) => Some(FileSystem::Local),
            false => None,
        })
    }

    /// Probes which part of a window is present.
    fn probe(&mut self, window: &Range<u64>) -> ProbeResult {
        let size = self.metadata.map_or(0, |metadata| metadata.size);
        if size <= window.start {
            // The file ends before the window, or its size is unknown.
            return self.present(window.clone());
        }
        let window = &(window.start..window.end.min(size));
        match self.mode {
            Mode::Cheap => self.probe_cheap(window),
            Mode::Blind => ProbeResult::Missing(vec![first(window, PIECE)]),
            _ => self.probe_exact(window),
        }
    }

    fn present(&mut self, range: Range<u64>) -> ProbeResult {
        self.ready = range;
        ProbeResult::Present
    }

    /// Makes the cheapest probe that works here, and after a miss the exact one.
    fn probe_cheap(&mut self, window: &Range<u64>) -> ProbeResult {
        let mount = self.mount.clone().unwrap_or_default();
        let cached = self.cached_pages(&mount, window);
        let is_there = match cached {
            Some(cached) => cached >= pages(window),
            None if mount.nowait.get() => self.probe_bytes(window),
            None => return self.probe_exact(window),
        };
        if is_there {
            return self.present(window.clone());
        }
        if cached != Some(0) {
            self.mode = Mode::Exact;
        }
        let result = self.probe_exact(window);
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
    fn cached_pages(&mut self, mount: &Mount, window: &Range<u64>) -> Option<u64> {
        if mount.no_cachestat.get() || self.is_refused {
            return None;
        }
        self.count_probe();
        let cached = kernel::cached_pages(self.file, window);
        match cached.as_ref().map_err(io::Error::raw_os_error) {
            Ok(_) => {}
            Err(Some(libc::ENOSYS | libc::EOPNOTSUPP)) => mount.no_cachestat.set(true),
            Err(_) => self.is_refused = true,
        }
        cached.ok()
    }

    fn count_probe(&self) {
        self.event_loop.counters().sendfile_probes += 1;
    }

    /// Returns whether a window's first byte and each piece's last byte are present.
    ///
    /// It does not see a hole between them.
    fn probe_bytes(&mut self, window: &Range<u64>) -> bool {
        let ends = (window.start + PIECE..window.end).step_by(PIECE as usize);
        let mut offsets = [window.start]
            .into_iter()
            .chain(ends.map(|end| end - 1))
            .chain([window.end - 1])
            .take(if is_one_page(window) { 1 } else { usize::MAX });
        offsets.all(|offset| self.probe_byte(offset).unwrap_or(false))
    }

    /// Probes one byte, and remembers that the probe works on the mount.
    fn probe_byte(&mut self, offset: u64) -> io::Result<bool> {
        self.count_probe();
        let result = kernel::is_resident(self.file, offset);
        if let (Ok(_), Some(mount)) = (&result, &self.mount) {
            mount.nowait.set(true);
        }
        result
    }

    /// Counts a miss, once for each page that several probes find missing.
    fn count_miss(&mut self, offset: u64) {
        if self.miss.replace(offset) != Some(offset) {
            self.event_loop.counters().sendfile_misses += 1;
        }
    }

    /// Probes with mincore which pages of a window are present.
    fn probe_exact(&mut self, window: &Range<u64>) -> ProbeResult {
        let Some(mut missing) = self.missing(window) else {
            self.enter_blind();
            return ProbeResult::Missing(vec![first(window, PIECE)]);
        };
        let Some(miss) = missing.first().cloned() else {
            return self.probed_present(window.clone());
        };
        // No page of a file that bypasses the page cache ever becomes present.
        let is_direct = || matches!(file::is_direct(self.file), Ok(true));
        if *self.is_direct.get_or_insert_with(is_direct) {
            return ProbeResult::Direct;
        }
        // Nor does a page past the end, if the file has shrunk since the last stat.
        if file::metadata(self.file, false).is_ok_and(|metadata| metadata.size <= miss.start) {
            return self.present(window.clone());
        }
        self.on_miss(miss.start);
        if miss.start > window.start {
            return self.probed_present(window.start..miss.start);
        }
        let piece = first(&miss, PIECE);
        if self.page_prefetches == (piece.start, MAX_PREFETCHES) {
            self.on_fruitless_page();
            return self.present(piece);
        }
        let end = piece.start + PIECE;
        missing.retain(|range| range.start < end);
        if let Some(last) = missing.last_mut() {
            last.end = last.end.min(end);
        }
        ProbeResult::Missing(missing)
    }

    /// Handles a range that mincore reports as present, so prefetches help.
    fn probed_present(&mut self, range: Range<u64>) -> ProbeResult {
        self.page_prefetches.1 = 0;
        self.fruitless_pages = 0;
        self.present(range)
    }

    /// Returns the missing ranges of a window, in order.
    ///
    /// It returns `None` if mincore fails or does not report the true state.
    fn missing(&mut self, window: &Range<u64>) -> Option<Vec<Range<u64>>> {
        self.count_probe();
        let pages = kernel::resident_pages(self.file, window).ok()?;
        let missing = missing_ranges(window, &pages, kernel::page_size());
        if !missing.is_empty() {
            self.is_truthful = true;
        } else if !self.is_truthful {
            let size = self.metadata.map_or(0, |metadata| metadata.size);
            self.is_truthful = kernel::is_mincore_truthful(self.file, size);
        }
        self.is_truthful.then_some(missing)
    }

    /// Makes this transfer, and for a while all of its mount, use the exact probe.
    fn on_miss(&mut self, offset: u64) {
        self.count_miss(offset);
        self.mode = Mode::Exact;
        if let Some(mount) = &self.mount {
            mount.last_miss.set(Some(Instant::now()));
        }
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
        missing: Vec<Range<u64>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let start = missing[0].start;
        let covers = |prefetch: &Prefetch| prefetch.range.contains(&start);
        if !self.prefetch.as_ref().is_some_and(covers) {
            self.start_prefetch(missing);
        }
        let Some(prefetch) = &mut self.prefetch else {
            self.turn_off();
            return Poll::Ready(Ok(()));
        };
        let result = ready!(Pin::new(&mut prefetch.work).poll(cx));
        if self.page_prefetches.0 != start {
            self.page_prefetches = (start, 0);
        }
        self.page_prefetches.1 += 1;
        Poll::Ready(self.end_prefetch(result))
    }

    /// Starts a prefetch of these ranges, in order, on an executor thread.
    fn start_prefetch(&mut self, missing: Vec<Range<u64>>) {
        self.prefetch = None;
        let (Some(first), Some(last)) = (missing.first(), missing.last()) else {
            return;
        };
        let range = first.start..last.end;
        // A file system without preadv2 may have another one below it. Closing the file may then
        // wait for a server.
        let has_nowait = |mount: &Rc<Mount>| mount.nowait.get();
        let is_slow = !self.mount.as_ref().is_some_and(has_nowait);
        let Ok(lent) = self.event_loop.lend(self.file, is_slow) else {
            return;
        };
        self.event_loop.counters().sendfile_prefetches += 1;
        let work = self.event_loop.run_cancel_on_drop(move || {
            for range in missing {
                kernel::read_into_cache(&lent, range);
            }
        });
        self.prefetched = self.prefetched.max(range.end);
        self.prefetch = Some(Prefetch { range, work });
    }

    fn end_prefetch(&mut self, result: Result<(), TaskError>) -> io::Result<()> {
        let prefetch = self.prefetch.take();
        match (self.event_loop.check_open(result)?, prefetch) {
            (Err(_), _) => self.mode = Mode::Off,
            (Ok(()), Some(Prefetch { range, .. })) if self.mode == Mode::Blind => {
                let joins = !self.ready.is_empty() && range.start <= self.ready.end;
                let start = if joins { self.ready.start } else { range.start };
                self.ready = start..range.end;
            }
            (Ok(()), _) => {}
        }
        Ok(())
    }

    /// Prefetches the next bytes, so that the disk works while the socket drains.
    ///
    /// It does so only in the modes `Exact` and `Blind`.
    fn read_ahead(&mut self, range: &Range<u64>) {
        if !matches!(self.mode, Mode::Exact | Mode::Blind) {
            return;
        }
        if let Some(prefetch) = &mut self.prefetch {
            let noop = &mut Context::from_waker(Waker::noop());
            let Poll::Ready(result) = Pin::new(&mut prefetch.work).poll(noop) else {
                return;
            };
            // The next wait reports a closed loop again.
            let _ = self.end_prefetch(result);
        }
        let start = self.prefetched.max(self.ready.end);
        let window = first(&(start..range.end), WINDOW);
        if window.is_empty() || start >= range.start + READ_AHEAD {
            return;
        }
        let missing = match self.mode {
            Mode::Exact => self.missing(&window),
            _ => Some(vec![window.clone()]),
        };
        let Some(missing) = missing else {
            return;
        };
        if missing.is_empty() && self.ready.end == window.start {
            self.ready.end = window.end;
        }
        self.prefetched = window.end;
        self.start_prefetch(missing);
    }
}

/// Returns the first `len` bytes of a range, or all of it.
pub(super) fn first(range: &Range<u64>, len: u64) -> Range<u64> {
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
