//! Tests without a socket. `tests/sendfile/page_cache_files.rs` has the others.

use super::*;

const PAGE: u64 = 4096;

#[test]
fn present_window_has_no_missing_range() {
    assert_eq!(missing_ranges(&(0..PAGE), &[1], PAGE), []);
    assert_eq!(missing_ranges(&(5..3 * PAGE - 1), &[1, 1, 1], PAGE), []);
    // Only the lowest bit counts.
    assert_eq!(missing_ranges(&(0..PAGE), &[0xff], PAGE), []);
    assert_eq!(missing_ranges(&(0..PAGE), &[0xfe], PAGE), vec![0..PAGE]);
}

#[test]
fn missing_ranges_are_cut_to_the_window_and_joined() {
    let window = 5..4 * PAGE - 7;
    let ranges = |pages: &[u8]| missing_ranges(&window, pages, PAGE);
    assert_eq!(ranges(&[0, 0, 0, 0]), vec![5..4 * PAGE - 7]);
    assert_eq!(ranges(&[0, 1, 1, 0]), [5..PAGE, 3 * PAGE..4 * PAGE - 7]);
    assert_eq!(ranges(&[1, 0, 0, 1]), vec![PAGE..3 * PAGE]);
    assert_eq!(ranges(&[1, 0, 1, 0]), [PAGE..2 * PAGE, 3 * PAGE..4 * PAGE - 7]);
}

#[test]
fn range_within_page_borders_is_one_page() {
    let page = kernel::page_size();
    assert!(is_one_page(&(0..page)) && is_one_page(&(page - 1..page)));
    assert!(!is_one_page(&(page - 1..page + 1)));
    assert_eq!(pages(&(1..2 * page + 1)), 3);
}

#[test]
fn only_mounts_with_a_unique_id_are_remembered() {
    let metadata = |mount, kind| Metadata { size: 9, kind, mount, is_dax: false };
    let of = |mount, kind| Mount::of(&metadata(mount, kind));
    let remember_local =
        |mut mount: Mount| mount.remember(|it| it.file_system = Some(FileSystem::Local));
    remember_local(of(Some(u64::MAX), FileKind::Regular));
    assert_eq!(of(Some(u64::MAX), FileKind::Regular).file_system, Some(FileSystem::Local));
    assert_eq!(of(Some(1), FileKind::Regular).file_system, None);
    assert_eq!(of(Some(u64::MAX), FileKind::BlockDevice).file_system, None);
    remember_local(of(None, FileKind::Regular));
    remember_local(of(Some(2), FileKind::BlockDevice));
    assert_eq!(of(None, FileKind::Regular).file_system, None);
    assert_eq!(of(Some(2), FileKind::Regular).file_system, None);
    for id in 0..10 * MAX_MOUNTS as u64 {
        remember_local(of(Some(id), FileKind::Regular));
    }
    MOUNTS.with_borrow(|mounts| assert!(mounts.len() <= MAX_MOUNTS));
}

#[test]
fn fact_about_one_file_is_not_remembered() {
    let mount = Some(7);
    let metadata = Metadata { size: 9, kind: FileKind::Regular, mount, is_dax: false };
    let mut of_a_file = Mount::of(&metadata);
    of_a_file.no_cachestat = true;
    of_a_file.remember(|mount| mount.nowait = true);
    assert!(of_a_file.no_cachestat && of_a_file.nowait);
    let remembered = Mount::of(&metadata);
    assert!(!remembered.no_cachestat && remembered.nowait);
}

#[test]
fn miss_is_recent_for_one_second() {
    let mut mount = Mount::default();
    assert!(!mount.has_recent_miss());
    mount.last_miss = Some(Instant::now());
    assert!(mount.has_recent_miss());
    mount.last_miss = Instant::now().checked_sub(MISS_INTERVAL);
    assert!(!mount.has_recent_miss());
}

#[test]
fn probes_count_until_a_long_wait_for_the_socket() {
    let event_loop = crate::Loop::new().expect("a loop");
    let file = std::io::stdin();
    let mut page_cache = PageCache::new(&event_loop, file.as_fd(), true, true);
    page_cache.mode = Mode::Exact;
    page_cache.ready = 0..9;
    page_cache.after_wait(MAX_SHORT_WAIT);
    assert_eq!(page_cache.ready, 0..9);
    page_cache.after_wait(2 * MAX_SHORT_WAIT);
    assert!(page_cache.ready.is_empty());
    // Without probes, a prefetched range stays ready for a while.
    page_cache.mode = Mode::Blind;
    page_cache.ready = 0..9;
    page_cache.after_wait(PREFETCH_INTERVAL);
    assert_eq!(page_cache.ready, 0..9);
    page_cache.after_wait(2 * PREFETCH_INTERVAL);
    assert!(page_cache.ready.is_empty());
}

#[cfg(target_os = "linux")]
mod on_a_disk {
    use std::fs::File;
    use std::io::Write;
    use std::sync::mpsc;

    use rustix::fs::{Advice, fadvise, fdatasync};

    use super::*;
    use crate::Loop;

    const LEN: u64 = 1 << 20;

    fn file() -> File {
        let mut file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).expect("a file");
        file.write_all(&vec![7; LEN as usize]).expect("room");
        fdatasync(&file).expect("written");
        file
    }

    /// Evicts the file, and repeats that until all pages are gone.
    ///
    /// The kernel keeps pages that it is moving at the moment.
    fn evict(file: &File) {
        fadvise(file, 0, None, Advice::Random).expect("advice");
        let is_evicted = || {
            fadvise(file, 0, None, Advice::DontNeed).expect("advice");
            let pages = kernel::resident_pages(file.as_fd(), &(0..LEN)).expect("mapped");
            let missing = missing_ranges(&(0..LEN), &pages, kernel::page_size());
            missing.first() == Some(&(0..LEN))
        };
        while !is_evicted() {}
    }

    /// Creates a page cache that uses the exact probe from the start.
    ///
    /// The search for the file system may read a page.
    fn exact<'a>(event_loop: &Loop, file: &'a File) -> PageCache<'a> {
        let mut page_cache = PageCache::new(event_loop, file.as_fd(), true, true);
        page_cache.metadata = file::metadata(file.as_fd(), false).ok();
        page_cache.mode = Mode::Exact;
        page_cache
    }

    /// Polls for one page until it is ready, and returns its number of prefetches.
    ///
    /// It evicts the file before each poll.
    fn prefetches(event_loop: &Loop, page_cache: &mut PageCache<'_>, file: &File, at: u64) -> u64 {
        let before = event_loop.stats().sendfile_prefetches;
        event_loop.run_until_complete(std::future::poll_fn(|cx| {
            evict(file);
            // The only thread is busy during the poll, so no prefetch ends before the next
            // eviction.
            let (_free, wait) = mpsc::channel::<()>();
            drop(event_loop.run_in_executor(move || wait.recv()));
            let polled = page_cache.poll_ready(at..at + PAGE, cx);
            polled.map(|ready| assert!(matches!(ready, Ok(CacheReadiness::Ready(1..)))))
        }));
        event_loop.stats().sendfile_prefetches - before
    }

    #[test]
    fn evicted_page_is_prefetched_at_most_three_times() {
        let event_loop = Loop::builder().executor_threads(1).build();
        let event_loop = event_loop.expect("a loop");
        let file = file();
        let mut page_cache = exact(&event_loop, &file);
        for round in 1..=u64::from(MAX_FRUITLESS_PAGES) {
            let at = round * PAGE;
            let tried = prefetches(&event_loop, &mut page_cache, &file, at);
            assert_eq!(tried, u64::from(MAX_PREFETCHES), "round {round}");
            page_cache.after_wait(PREFETCH_INTERVAL);
        }
        assert_eq!(page_cache.mode, Mode::Blind, "the prefetches did not help");
    }

    #[test]
    fn first_prefetch_of_a_cold_file_is_short() {
        let event_loop = Loop::new().expect("a loop");
        let file = file();
        let mut page_cache = exact(&event_loop, &file);
        evict(&file);
        let result = page_cache.probe_exact(&(5..LEN));
        let piece = 5..5 + PIECE;
        assert_eq!(result, [piece]);
    }

    #[test]
    fn successful_prefetch_resets_the_count() {
        let event_loop = Loop::builder().executor_threads(1).build();
        let event_loop = event_loop.expect("a loop");
        let file = file();
        let mut page_cache = exact(&event_loop, &file);
        for round in 0..2 * u64::from(MAX_FRUITLESS_PAGES) {
            let at = round * PAGE;
            prefetches(&event_loop, &mut page_cache, &file, at);
            page_cache.after_wait(PREFETCH_INTERVAL);
            let ready = event_loop.run_until_complete(std::future::poll_fn(|cx| {
                page_cache.poll_ready(at + PAGE..at + 2 * PAGE, cx)
            }));
            assert!(matches!(ready, Ok(CacheReadiness::Ready(1..))));
            page_cache.after_wait(PREFETCH_INTERVAL);
        }
        assert_eq!(page_cache.mode, Mode::Exact);
    }

    #[test]
    fn range_before_blind_prefetches_is_not_ready() {
        let event_loop = Loop::new().expect("a loop");
        let file = file();
        let mut page_cache = exact(&event_loop, &file);
        // A prefetch of the earlier mode had begun up to here.
        page_cache.prefetched = 3 * PIECE;
        page_cache.fruitless_pages = MAX_FRUITLESS_PAGES - 1;
        page_cache.on_fruitless_page();
        assert_eq!(page_cache.mode, Mode::Blind);
        for start in (0..LEN).step_by(PIECE as usize / 2) {
            let ready = event_loop.run_until_complete(std::future::poll_fn(|cx| {
                page_cache.poll_ready(start..LEN, cx)
            }));
            assert!(matches!(ready, Ok(CacheReadiness::Ready(1..))));
            let ahead = page_cache.prefetch.as_ref().map(|it| it.range.start);
            assert!(ahead.is_none_or(|ahead| ahead <= page_cache.ready.end), "{page_cache:?}");
        }
    }

    #[test]
    fn no_probe_is_made_without_prefetch() {
        let event_loop = Loop::new().expect("a loop");
        let file = file();
        let mut page_cache = PageCache::new(&event_loop, file.as_fd(), false, true);
        assert_eq!(prefetches(&event_loop, &mut page_cache, &file, 5), 0);
        assert_eq!(event_loop.stats().sendfile_probes, 0);
        let polled = page_cache.poll_ready(0..LEN, &mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(Ok(CacheReadiness::Ready(LEN)))));
    }

    #[test]
    fn closed_loop_ends_the_wait_for_a_prefetch() {
        let event_loop = Loop::new().expect("a loop");
        let file = file();
        let mut page_cache = exact(&event_loop, &file);
        evict(&file);
        event_loop.close();
        let cx = &mut Context::from_waker(Waker::noop());
        let polled = page_cache.poll_ready(0..LEN, cx);
        let Poll::Ready(Err(error)) = polled else {
            panic!("{polled:?}");
        };
        assert!(error.get_ref().is_some_and(|it| it.is::<crate::LoopClosedError>()));
    }

    #[test]
    fn executor_without_capacity_stops_the_probes() {
        let event_loop = Loop::new().expect("a loop");
        event_loop.run_until_complete(event_loop.shutdown_default_executor());
        let file = file();
        let mut page_cache = exact(&event_loop, &file);
        prefetches(&event_loop, &mut page_cache, &file, 0);
        assert_eq!(page_cache.mode, Mode::Off);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn mincore_is_truthful_near_the_largest_file_of_the_file_system() {
    let file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).expect("a file");
    // The largest sizes of FAT, ext4 and the kernel. No mapping begins a GiB past them.
    for largest in [1 << 32, 1 << 44, i64::MAX as u64] {
        let size = largest - (3 << 20);
        assert!(kernel::is_mincore_truthful(file.as_fd(), size), "{size}");
    }
}
