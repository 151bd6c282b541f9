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
//!           └─ not local, with fallback ─▶ Fallback
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
//!    A transfer copies these facts when it chooses its mode. If the kernel refuses a probe for one
//!    file (EPERM, errors of mmap), that counts for its transfer alone.
//! 4. A prefetch owns a duplicate of the file. So the caller can drop a transfer while a thread
//!    still reads. The transfer drops a prefetch that no thread has begun.
//! 5. The executor reads the bytes without a copy, and they stay in the page cache alone. The
//!    loop's thread makes the send, as in another thread it would race with cancellation.
//! 6. The loop's thread queries no server here. The executor finds the kind of an unknown file
//!    system. Files of remote and unknown ones (FUSE, NFS) take the fallback. FUSE may keep no
//!    pages, and NFS asks its server whether they are still valid.

use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

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
    /// The loop's thread must not send the file.
    Fallback(Fallback),
}

/// The facts about a mount.
#[derive(Clone, Copy, Default, Debug)]
struct Mount {
    /// The unique id, if the thread remembers the mount.
    id: Option<u64>,
    file_system: Option<FileSystem>,
    /// True if preadv2 with RWF_NOWAIT is known to work.
    nowait: bool,
    /// True if cachestat is missing, or does not see this mount's pages (overlayfs).
    no_cachestat: bool,
    last_miss: Option<Instant>,
}

thread_local! {
    /// The mounts of this thread's transfers.
    ///
    /// The kernel never uses an id twice.
    static MOUNTS: RefCell<Vec<Mount>> = const { RefCell::new(Vec::new()) };
}

impl Mount {
    /// Returns what the thread remembers of the mount of a file.
    ///
    /// Without a unique id, the thread remembers nothing, as a later mount may have the same
    /// number. A block device's data is on no mount.
    fn of(metadata: &Metadata) -> Mount {
        let id = metadata.mount.filter(|_| metadata.kind == FileKind::Regular);
        Mount::with_remembered(id, |mount| *mount).unwrap_or_default()
    }

    /// Changes this copy, and what the thread remembers of the mount.
    fn remember(&mut self, change: impl Fn(&mut Mount)) {
        change(self);
        Mount::with_remembered(self.id, change);
    }

    fn with_remembered<T>(id: Option<u64>, f: impl FnOnce(&mut Mount) -> T) -> Option<T> {
        let find = |mounts: &RefCell<Vec<Mount>>| {
            let mut mounts = mounts.borrow_mut();
            let at = mounts.iter().position(|mount| mount.id == id).unwrap_or_else(|| {
                if mounts.len() >= MAX_MOUNTS {
                    mounts.clear();
                }
                mounts.push(Mount { id, ..Mount::default() });
                mounts.len() - 1
            });
            f(&mut mounts[at])
        };
        id.and_then(|_| MOUNTS.try_with(find).ok())
    }

    fn has_recent_miss(&self) -> bool {
        self.last_miss.is_some_and(|at| at.elapsed() < MISS_INTERVAL)
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
    pub(super) metadata: Option<Metadata>,
    mount: Mount,
    /// The bytes that the loop can send without another probe.
    ready: Range<u64>,
    /// The offset of the last miss.
    miss: Option<u64>,
    /// True if mincore is known to report the true state of this file.
    is_truthful: bool,
    /// The prefetches of the next page that have not helped.
    page_prefetches: u32,
    fruitless_pages: u32,
    prefetch: Option<Prefetch>,
    /// The offset up to which prefetches have begun.
    prefetched: u64,
    /// The search for the file system.
    query: Option<Blocking<FileSystem>>,
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
            mode: if prefetch && kernel::IS_SUPPORTED { Mode::Unknown } else { Mode::Off },
            may_fall_back,
            metadata: None,
            mount: Mount::default(),
            ready: 0..0,
            miss: None,
            is_truthful: false,
            page_prefetches: 0,
            fruitless_pages: 0,
            prefetch: None,
            prefetched: 0,
            query: None,
        }
    }

    /// Forgets probes after a wait for the socket, as pages may have left the page cache.
    pub(super) fn after_wait(&mut self, waited: Duration) {
        let is_blind = self.mode == Mode::Blind;
        let limit = if is_blind { PREFETCH_INTERVAL } else { MAX_SHORT_WAIT };
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
    pub(super) fn is_ready_now(&mut self, range: &Range<u64>) -> bool {
        let all = CacheReadiness::Ready(range.end - range.start);
        let polled = self.poll_ready(range.clone(), &mut Context::from_waker(Waker::noop()));
        matches!(polled, Poll::Ready(Ok(ready)) if ready == all)
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
        loop {
            match self.mode {
                Mode::Off => {
                    return Poll::Ready(Ok(CacheReadiness::Ready(range.end - range.start)));
                }
                Mode::Fallback(reason) => {
                    return Poll::Ready(Ok(CacheReadiness::UseFallback(reason)));
                }
                _ if self.ready.contains(&range.start) => {
                    self.read_ahead(&range);
                    let end = self.ready.end.min(range.end);
                    return Poll::Ready(Ok(CacheReadiness::Ready(end - range.start)));
                }
                Mode::Unknown => ready!(self.poll_mode(&range, cx))?,
                Mode::Cheap | Mode::Exact | Mode::Blind => {
                    let missing = self.probe(&first(&range, WINDOW));
                    if !missing.is_empty() {
                        ready!(self.poll_prefetch(missing, cx))?;
                    }
                }
            }
        }
    }

    /// Chooses the mode, unless the range is one cached page, which needs no stat.
    fn poll_mode(&mut self, range: &Range<u64>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_new_page = self.miss.is_none() && is_one_page(range);
        if is_new_page && self.probe_first(range.start).unwrap_or(false) {
            self.ready = range.clone();
            return Poll::Ready(Ok(()));
        }
        if self.metadata.is_none() {
            self.metadata = file::metadata(self.file, false).ok();
        }
        let is_cacheable = |it: &Metadata| !it.is_dax && it.kind != FileKind::Other;
        let Some(metadata) = self.metadata.filter(is_cacheable) else {
            // If the stat failed, sendfile reports the error of the file.
            self.turn_off();
            return Poll::Ready(Ok(()));
        };
        self.mount = Mount::of(&metadata);
        if self.mount.file_system.is_none() {
            let found = ready!(self.poll_file_system(range.start, cx))?;
            self.mount.remember(|mount| mount.file_system = mount.file_system.or(found));
        }
        let has_miss = self.miss.is_some() || self.mount.has_recent_miss();
        self.mode = match self.mount.file_system {
            Some(FileSystem::Memory) => Mode::Off,
            Some(FileSystem::Local) if has_miss => Mode::Exact,
            Some(FileSystem::Local) => Mode::Cheap,
            _ if self.may_fall_back => Mode::Fallback(Fallback::NoAnswer),
            _ => Mode::Blind,
        };
        Poll::Ready(Ok(()))
    }

    /// Finds the file system of the mount.
    ///
    /// It is `None` if the executor has no thread or descriptor for the search.
    fn poll_file_system(
        &mut self,
        offset: u64,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<FileSystem>>> {
        if self.query.is_none() {
            let guess = self.guess_file_system(offset);
            if guess.is_some() {
                return Poll::Ready(Ok(guess));
            }
            // The kernel may query a server even for its name.
            let lent = self.event_loop.lend(self.file, true).ok();
            self.query = lent.map(|lent| {
                let query = move || kernel::file_system(lent.as_fd());
                self.event_loop.run_cancel_on_drop(query)
            });
        }
        let Some(query) = &mut self.query else {
            return Poll::Ready(Ok(None));
        };
        let result = ready!(Pin::new(query).poll(cx));
        self.query = None;
        Poll::Ready(Ok(self.event_loop.check_open(result)?.ok()))
    }

    /// Returns the file system, if the kernel knows it without a server.
    fn guess_file_system(&mut self, offset: u64) -> Option<FileSystem> {
        let Err(error) = self.probe_first(offset) else {
            return Some(FileSystem::Local);
        };
        match error.raw_os_error() {
            // The file system does not support the probe, the kernel lacks it, or a filter refuses
            // it.
            Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EPERM | libc::EINVAL) => {}
            // sendfile reports the error of the file, so no probe helps. The thread must not
            // remember that of the mount.
            _ => {
                self.mount.id = None;
                return Some(FileSystem::Memory);
            }
        }
        if kernel::is_sealable(self.file) {
            return Some(FileSystem::Memory);
        }
        let is_device = |it: &Metadata| it.kind == FileKind::BlockDevice;
        self.metadata.filter(is_device).map(|_| FileSystem::Local)
    }

    /// Probes the first bytes of a window.
    ///
    /// It returns the ranges that the executor has to prefetch. There is none if the first bytes
    /// are ready, or if the mode has changed.
    fn probe(&mut self, window: &Range<u64>) -> Vec<Range<u64>> {
        let size = self.size();
        if size <= window.start {
            // The file ends before the window, or its size is unknown.
            return self.present(window.clone());
        }
        let window = &(window.start..window.end.min(size));
        match self.mode {
            Mode::Cheap => self.probe_cheap(window),
            Mode::Blind => vec![first(window, PIECE)],
            _ => self.probe_exact(window),
        }
    }

    fn size(&self) -> u64 {
        self.metadata.map_or(0, |metadata| metadata.size)
    }

    fn present(&mut self, range: Range<u64>) -> Vec<Range<u64>> {
        self.ready = range;
        self.page_prefetches = 0;
        Vec::new()
    }

    /// Makes the cheapest probe that works here, and after a miss the exact one.
    fn probe_cheap(&mut self, window: &Range<u64>) -> Vec<Range<u64>> {
        let cached = self.cached_pages(window);
        let is_there = match cached {
            Some(cached) => cached >= pages(window),
            None if self.mount.nowait => self.probe_bytes(window),
            None => return self.probe_exact(window),
        };
        if is_there {
            return self.present(window.clone());
        }
        if cached != Some(0) {
            self.mode = Mode::Exact;
        }
        let missing = self.probe_exact(window);
        // If cachestat counts no page and mincore sees all of them, this is overlayfs.
        if self.mode == Mode::Cheap {
            self.mount.remember(|mount| mount.no_cachestat = true);
        }
        missing
    }

    /// Returns how many pages of a window cachestat counts.
    ///
    /// It returns `None` if cachestat does not work here.
    fn cached_pages(&mut self, window: &Range<u64>) -> Option<u64> {
        if self.mount.no_cachestat {
            return None;
        }
        self.count_probe();
        let cached = kernel::cached_pages(self.file, window);
        match cached.as_ref().map_err(io::Error::raw_os_error) {
            Ok(_) => {}
            Err(Some(libc::ENOSYS | libc::EOPNOTSUPP)) => {
                self.mount.remember(|mount| mount.no_cachestat = true);
            }
            // The kernel refuses this file alone.
            Err(_) => self.mount.no_cachestat = true,
        }
        cached.ok()
    }

    fn count_probe(&self) {
        self.event_loop.counters().sendfile_probes += 1;
    }

    /// Returns whether each piece's first byte and a window's last byte are present.
    ///
    /// It does not see a hole between them.
    fn probe_bytes(&mut self, window: &Range<u64>) -> bool {
        let last = (!is_one_page(window)).then_some(window.end - 1);
        let mut offsets = (window.start..window.end).step_by(PIECE as usize).chain(last);
        offsets.all(|offset| self.probe_byte(offset).unwrap_or(false))
    }

    /// Probes one byte, and remembers that the probe works on the mount.
    fn probe_byte(&mut self, offset: u64) -> io::Result<bool> {
        self.count_probe();
        let is_resident = kernel::is_resident(self.file, offset)?;
        if !self.mount.nowait {
            self.mount.remember(|mount| mount.nowait = true);
        }
        Ok(is_resident)
    }

    /// Probes the byte that comes next, and counts a miss.
    fn probe_first(&mut self, offset: u64) -> io::Result<bool> {
        let is_resident = self.probe_byte(offset)?;
        if !is_resident {
            self.count_miss(offset);
        }
        Ok(is_resident)
    }

    /// Counts a miss, once for each page that several probes find missing.
    fn count_miss(&mut self, offset: u64) {
        if self.miss.replace(offset) != Some(offset) {
            self.event_loop.counters().sendfile_misses += 1;
        }
    }

    /// Probes with mincore which pages of a window are present.
    fn probe_exact(&mut self, window: &Range<u64>) -> Vec<Range<u64>> {
        let Some(mut missing) = self.missing(window) else {
            self.enter_blind();
            return Vec::new();
        };
        let Some(miss) = missing.first().cloned() else {
            return self.probed_present(window.clone());
        };
        // No page of a file that bypasses the page cache ever becomes present.
        if file::is_direct(self.file).unwrap_or(false) {
            self.mode = Mode::Fallback(Fallback::Uncached);
            return Vec::new();
        }
        // Nor does a page past the end, if the file has shrunk since the last stat.
        if file::metadata(self.file, false).is_ok_and(|metadata| metadata.size <= miss.start) {
            return self.present(window.clone());
        }
        // This transfer, and for a while all of its mount, use the exact probe.
        self.count_miss(miss.start);
        self.mode = Mode::Exact;
        let now = Instant::now();
        self.mount.remember(|mount| mount.last_miss = Some(now));
        if miss.start > window.start {
            return self.probed_present(window.start..miss.start);
        }
        if self.page_prefetches == MAX_PREFETCHES {
            self.on_fruitless_page();
            return self.present(first(&miss, PIECE));
        }
        let end = miss.start + PIECE;
        missing.retain(|range| range.start < end);
        if let Some(last) = missing.last_mut() {
            last.end = last.end.min(end);
        }
        missing
    }

    /// Handles a range that mincore reports as present, so prefetches help.
    fn probed_present(&mut self, range: Range<u64>) -> Vec<Range<u64>> {
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
            self.is_truthful = kernel::is_mincore_truthful(self.file, self.size());
        }
        self.is_truthful.then_some(missing)
    }

    fn on_fruitless_page(&mut self) {
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

    /// Waits for a prefetch of the first of these ranges, and starts it if there is none.
    fn poll_prefetch(
        &mut self,
        missing: Vec<Range<u64>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let start = missing[0].start;
        if !self.prefetch.as_ref().is_some_and(|it| it.range.contains(&start)) {
            self.start_prefetch(missing);
        }
        if self.prefetch.is_none() {
            self.turn_off();
        }
        ready!(self.poll_current_prefetch(cx))?;
        self.page_prefetches += 1;
        Poll::Ready(Ok(()))
    }

    /// Starts a prefetch of these ranges, in order, on an executor thread.
    fn start_prefetch(&mut self, missing: Vec<Range<u64>>) {
        self.prefetch = None;
        let range = missing[0].start..missing[missing.len() - 1].end;
        // A file system without preadv2 may have another one below it. Closing the file may then
        // wait for a server.
        let Ok(lent) = self.event_loop.lend(self.file, !self.mount.nowait) else {
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

    /// Is ready if no prefetch is in progress.
    fn poll_current_prefetch(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(prefetch) = &mut self.prefetch else {
            return Poll::Ready(Ok(()));
        };
        let result = ready!(Pin::new(&mut prefetch.work).poll(cx));
        let range = prefetch.range.clone();
        self.prefetch = None;
        if self.event_loop.check_open(result)?.is_err() {
            self.turn_off();
        } else if self.mode == Mode::Blind {
            let joins = !self.ready.is_empty() && range.start <= self.ready.end;
            let start = if joins { self.ready.start } else { range.start };
            self.ready = start..range.end;
        }
        Poll::Ready(Ok(()))
    }

    /// Prefetches the next bytes, so that the disk works while the socket drains.
    ///
    /// It does so only in the modes `Exact` and `Blind`.
    fn read_ahead(&mut self, range: &Range<u64>) {
        if !matches!(self.mode, Mode::Exact | Mode::Blind) {
            return;
        }
        // The next wait reports a closed loop again.
        if self.poll_current_prefetch(&mut Context::from_waker(Waker::noop())).is_pending() {
            return;
        }
        let start = self.prefetched.max(self.ready.end);
        let window = first(&(start..range.end), WINDOW);
        if window.is_empty() || start >= range.start + READ_AHEAD {
            return;
        }
        let is_blind = self.mode == Mode::Blind;
        let missing = if is_blind { Some(vec![window.clone()]) } else { self.missing(&window) };
        let Some(missing) = missing else {
            return;
        };
        self.prefetched = window.end;
        if !missing.is_empty() {
            self.start_prefetch(missing);
        } else if self.ready.end == window.start {
            self.ready.end = window.end;
        }
    }
}

/// Returns the first `len` bytes of a range, or all of it.
pub(super) fn first(range: &Range<u64>, len: u64) -> Range<u64> {
    range.start..range.end.min(range.start.saturating_add(len))
}

/// Returns how many pages a range touches.
fn pages(range: &Range<u64>) -> u64 {
    let page = kernel::page_size();
    range.end.div_ceil(page) - range.start / page
}

fn is_one_page(range: &Range<u64>) -> bool {
    pages(range) <= 1
}

/// Returns the missing ranges of a window, in order.
///
/// `pages` has one byte for each page that the window touches. If its lowest bit is set, the page
/// is present. `page` is the size of a page.
fn missing_ranges(window: &Range<u64>, pages: &[u8], page: u64) -> Vec<Range<u64>> {
    let mut end = window.start - window.start % page;
    let runs = pages.chunk_by(|a, b| a & 1 == b & 1);
    let missing = runs.filter_map(|run| {
        let start = end;
        end += run.len() as u64 * page;
        (run[0] & 1 == 0).then(|| start.max(window.start)..end.min(window.end))
    });
    missing.collect()
}

#[cfg(test)]
mod tests;
