//! Promise 15: a file in the page cache goes out by sendfile on every local file system. A range
//! that is known to be missing never blocks the loop's thread. The tests run as the file's owner,
//! and as a user who may only read it.

use std::cell::Cell;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::disk::{evict, read_from_disk};
use crate::mounts::{self, Mounted};
use crate::slow_fs;
use crate::util::*;
use rustix::fs::{Advice, MemfdFlags, fadvise, fdatasync, memfd_create};
use rustix::process::Uid;
use rustix::thread::set_thread_res_uid;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use sendloop::{Loop, Socket, Stats};

const PAGE: usize = 4096;
const PIECE: usize = 256 << 10;
const LEN: usize = (3 << 20) + 1;

/// The id of a user who owns none of the files.
const STRANGER: u32 = 12_345;

/// A file of `LEN` bytes on one file system.
struct Sample {
    name: &'static str,
    file: File,
    /// The mount, kept until the sample is dropped.
    _mounted: Option<Mounted>,
}

/// Creates the file on each file system that this machine supports.
fn samples() -> Vec<Sample> {
    let content = content(0, LEN);
    let mounted = |name, mounted: Option<Mounted>| {
        mounted.map(|mounted| Sample { name, file: mounted.open(), _mounted: Some(mounted) })
    };
    let mut disk = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).expect("a file");
    disk.write_all(&content).expect("room");
    fdatasync(&disk).expect("written");
    let disk = Sample { name: "the target's", file: disk, _mounted: None };
    [
        Some(disk),
        mounted("overlayfs", mounts::overlay(&content)),
        mounted("squashfs", mounts::squashfs(&content)),
        mounted("erofs", mounts::erofs(&content)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Reads the whole file, so that the page cache has all its pages.
fn warm(file: &File) {
    warm_from(file, 0);
}

fn warm_from(file: &File, start: usize) {
    let mut room = vec![0; PIECE];
    for offset in (start..LEN).step_by(PIECE) {
        file.read_at(&mut room, offset as u64).expect("read");
    }
}

/// Sends the whole file over TCP, and checks the received bytes.
///
/// It returns the bytes that the loop's thread read from the disk during the send.
#[track_caller]
fn send(event_loop: &Loop, file: &File) -> u64 {
    let (near, far) = tcp();
    let near = Socket::new(near).expect("non-blocking");
    let received = reader(far);
    let before = read_from_disk();
    let sent = event_loop.run_until_complete(event_loop.sock_sendfile(&near, file));
    let read = read_from_disk();
    assert_eq!(sent.expect("sent"), LEN as u64);
    drop(near);
    assert_content(&received.join().expect("read"), 0, LEN);
    read.unwrap_or(0) - before.unwrap_or(0)
}

/// Runs `check` in a new thread for each file, as the current user or as a stranger.
fn for_each_file(is_stranger: bool, check: impl Fn(&Sample) + Sync) {
    let _test = test();
    if FORCED_FALLBACK {
        return;
    }
    if is_stranger && !rustix::process::getuid().is_root() {
        eprintln!("skipped: only root can become another user");
        return;
    }
    for sample in samples() {
        in_thread(|| {
            if is_stranger {
                let user = Uid::from_raw(STRANGER);
                set_thread_res_uid(user, user, user).expect("root may");
            }
            check(&sample);
        });
    }
}

/// Runs `check` in a new thread, because `check` changes its thread, and a thread remembers mounts.
fn in_thread(check: impl FnOnce() + Send) {
    thread::scope(|scope| scope.spawn(check).join()).expect("no panic");
}

fn difference(before: &Stats, after: &Stats) -> (u64, u64, u64) {
    (
        after.sendfile_fallbacks - before.sendfile_fallbacks,
        after.sendfile_misses - before.sendfile_misses,
        after.sendfile_prefetches - before.sendfile_prefetches,
    )
}

#[test]
fn warm_file_goes_out_by_sendfile_without_a_thread() {
    for_each_file(false, |sample| {
        let event_loop = new_loop();
        for round in 0..3 {
            // The kernel may have reclaimed pages since the last round.
            warm(&sample.file);
            let before = event_loop.stats();
            send(&event_loop, &sample.file);
            let counts = difference(&before, &event_loop.stats());
            assert_eq!(counts, (0, 0, 0), "{}, round {round}", sample.name);
        }
    });
}

#[test]
fn warm_file_of_another_user_goes_out_by_sendfile() {
    for_each_file(true, |sample| {
        warm(&sample.file);
        let event_loop = new_loop();
        for _ in 0..3 {
            send(&event_loop, &sample.file);
        }
        let stats = event_loop.stats();
        assert_eq!(stats.sendfile_fallbacks, 0, "{}: {stats:?}", sample.name);
        assert_eq!(stats.sendfile_misses, 0, "{}: {stats:?}", sample.name);
    });
}

/// The first probe of a file system may read one page.
const FIRST_PROBE: u64 = PAGE as u64;

fn cold_file_is_read_by_the_executor(is_stranger: bool) {
    for_each_file(is_stranger, |sample| {
        let event_loop = new_loop();
        for round in 0..3 {
            evict(&sample.file, 0, LEN);
            // With this advice, the kernel reads no page ahead.
            fadvise(&sample.file, 0, None, Advice::Random).expect("advice");
            let read = send(&event_loop, &sample.file);
            let allowed = if is_stranger || round == 0 { FIRST_PROBE } else { 0 };
            assert!(read <= allowed, "{}, round {round}: {read} bytes", sample.name);
        }
        let stats = event_loop.stats();
        assert_eq!(stats.sendfile_fallbacks, 0, "{}: {stats:?}", sample.name);
        assert!(stats.sendfile_prefetches >= 3, "{}: {stats:?}", sample.name);
    });
}

#[test]
fn cold_file_is_never_read_by_the_loops_thread() {
    cold_file_is_read_by_the_executor(false);
}

#[test]
fn cold_file_of_another_user_is_never_read_by_the_loops_thread() {
    cold_file_is_read_by_the_executor(true);
}

/// Reads the whole file into single pages.
///
/// The kernel evicts a large folio as a whole or not at all.
fn warm_page_by_page(file: &File) {
    evict(file, 0, LEN);
    fadvise(file, 0, None, Advice::Random).expect("advice");
    let mut room = [0; PAGE];
    for offset in (0..LEN).step_by(PAGE) {
        file.read_at(&mut room, offset as u64).expect("read");
    }
}

#[test]
fn hole_of_one_page_is_found_wherever_it_is() {
    for_each_file(false, |sample| {
        let event_loop = new_loop();
        warm_page_by_page(&sample.file);
        send(&event_loop, &sample.file);
        // A debug build takes long to check the bytes, so it tries fewer holes.
        for hole in (0..PIECE / PAGE).step_by(if cfg!(debug_assertions) { 9 } else { 1 }) {
            warm_page_by_page(&sample.file);
            for piece in (0..LEN).step_by(PIECE) {
                evict(&sample.file, piece + hole * PAGE, PAGE);
            }
            fadvise(&sample.file, 0, None, Advice::Random).expect("advice");
            let before = event_loop.stats();
            let read = send(&event_loop, &sample.file);
            let (_, misses, prefetches) = difference(&before, &event_loop.stats());
            println!("{}: page {hole}: {misses} misses, {prefetches} prefetches", sample.name);
            assert_eq!(read, 0, "{}: page {hole} of each piece", sample.name);
            assert!(misses > 0, "{}: no hole at page {hole}", sample.name);
        }
        let stats = event_loop.stats();
        assert_eq!(stats.sendfile_fallbacks, 0, "{}: {stats:?}", sample.name);
    });
}

#[test]
fn truncation_is_no_miss() {
    let _test = test();
    if FORCED_FALLBACK {
        return;
    }
    in_thread(send_truncated_file);
    in_thread(|| {
        refuse(&[SYS_CACHESTAT], libc::ENOSYS);
        send_truncated_file();
    });
}

/// Truncates a cold file when its first piece is sent.
fn send_truncated_file() {
    let samples = samples();
    let file = &samples.first().expect("the disk's").file;
    evict(file, 0, LEN);
    let event_loop = new_loop();
    let (near, far) = unix();
    let received = reader(far);
    let cut = Cell::new(None);
    let truncate = |sent| {
        if sent >= PIECE as u64 && cut.get().is_none() {
            file.set_len(sent).expect("shorter");
            cut.set(Some((sent, event_loop.stats())));
        }
    };
    let transfer = event_loop.sock_sendfile(&near, file).progress(truncate);
    let sent = event_loop.run_until_complete(transfer.chunk(PIECE as u64));
    let (len, before) = cut.get().expect("truncated");
    assert_eq!(sent.expect("sent"), len);
    drop(near);
    assert_content(&received.join().expect("read"), 0, len as usize);
    let (_, misses, prefetches) = difference(&before, &event_loop.stats());
    assert_eq!(misses, 0, "the page after the end counts");
    // The file ends within a range that counts as ready. Its readahead may begin once more.
    assert!(prefetches <= 1, "{prefetches} prefetches after the end");
}

#[test]
fn missing_page_counts_as_one_miss() {
    for_each_file(false, |sample| {
        let event_loop = new_loop();
        // The first transfer finds the file system, the others know it.
        for _ in 0..8 {
            evict(&sample.file, 0, LEN);
            fadvise(&sample.file, 0, None, Advice::Random).expect("advice");
            let (near, _far) = unix();
            let before = event_loop.stats();
            let transfer = event_loop.sock_sendfile(&near, &sample.file);
            let transfer = transfer.offset(PAGE as u64).count(PAGE as u64);
            let sent = event_loop.run_until_complete(transfer);
            assert_eq!(sent.expect("sent"), PAGE as u64);
            let (_, misses, _) = difference(&before, &event_loop.stats());
            // None if the page that the probe requested arrives before the probe returns.
            assert!(misses <= 1, "{}: {misses} misses", sample.name);
        }
        let stats = event_loop.stats();
        assert!(stats.sendfile_misses > 0, "{}: {stats:?}", sample.name);
    });
}

#[test]
fn part_of_a_warm_overlay_file_needs_no_thread() {
    let _test = test();
    let Some(overlay) = mounts::overlay(&content(0, LEN)) else {
        return;
    };
    let file = overlay.open();
    warm(&file);
    let event_loop = new_loop();
    let (near, far) = unix();
    let received = reader(far);
    for offset in [0, 1, 4095, 4096, 70_001] {
        let transfer = event_loop.sock_sendfile(&near, &file).offset(offset).count(9000);
        assert_eq!(event_loop.run_until_complete(transfer).expect("sent"), 9000);
    }
    drop(near);
    assert_eq!(received.join().expect("read").len(), 45_000);
    let stats = event_loop.stats();
    assert!(FORCED_FALLBACK || stats.sendfile_fallbacks == 0, "{stats:?}");
    assert_eq!(stats.sendfile_misses, 0, "{stats:?}");
}

#[test]
fn memory_file_is_probed_once_on_overlayfs() {
    let _test = test();
    let mut file = File::from(memfd_create("sendloop", MemfdFlags::CLOEXEC).expect("a file"));
    file.write_all(&content(0, LEN)).expect("room");
    let event_loop = new_loop();
    send(&event_loop, &file);
    send(&event_loop, &file);
    let stats = event_loop.stats();
    assert!(FORCED_FALLBACK || stats.sendfile_fallbacks == 0, "{stats:?}");
    assert!(stats.sendfile_probes <= 2, "{stats:?}");
}

#[test]
fn slow_server_takes_the_fallback_each_time() {
    let _test = test();
    if !slow_fs::available() {
        return;
    }
    let fs = slow_fs::SlowFs::mount(LEN as u64, Duration::ZERO, slow_fs::Pages::Cached);
    let event_loop = new_loop();
    for round in 1..=2 {
        // The pages are cached after the first round, but a server may still block.
        send(&event_loop, &fs.open());
        let stats = event_loop.stats();
        assert!(FORCED_FALLBACK || stats.fallbacks.no_answer == round, "{stats:?}");
    }
}

#[test]
fn busy_executor_does_not_delay_cached_bytes() {
    let _test = test();
    if FORCED_FALLBACK {
        return;
    }
    let event_loop = Loop::builder().executor_threads(1).build().expect("a loop");
    let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).expect("a file");
    file.write_all(&content(0, LEN)).expect("room");
    fdatasync(&file).expect("written");
    // The kernel evicts whole folios, which may be larger than a piece.
    evict(&file, 0, LEN);
    warm_from(&file, PIECE);
    let (near, far) = unix();
    let received = reader(far);
    // The first piece is the thread's first job. Its second job never ends during the transfer.
    let (handle, file) = (event_loop.handle(), file);
    let task = event_loop.create_task(async move { handle.sock_sendfile(&near, &file).await });
    event_loop.run_once(Some(Duration::ZERO)).expect("an iteration");
    let (free, wait) = std::sync::mpsc::channel::<()>();
    drop(event_loop.run_in_executor(move || wait.recv()));
    let sent = event_loop.run_until_complete(event_loop.wait_for(task, Duration::from_secs(10)));
    let sent = sent.expect("in time").expect("not cancelled");
    drop(free);
    assert_eq!(sent.expect("sent"), LEN as u64);
    assert_content(&received.join().expect("read"), 0, LEN);
}

/// Makes these system calls fail on this thread, and on threads that it starts.
fn refuse(calls: &[i64], errno: i32) {
    let rules = calls.iter().map(|call| (*call, Vec::new())).collect();
    let refused = SeccompAction::Errno(errno as u32);
    let arch = std::env::consts::ARCH.try_into().expect("a known machine");
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, arch);
    let program: BpfProgram = filter.expect("a filter").try_into().expect("a program");
    apply_filter(&program).expect("the kernel has seccomp");
}

/// The system call number of cachestat(2), which is the same on all architectures of the tests.
const SYS_CACHESTAT: i64 = 451;

#[test]
fn refused_probes_leave_content_and_zero_copy_intact() {
    let calls: [&[i64]; 5] = [
        &[SYS_CACHESTAT],
        &[libc::SYS_preadv2],
        &[SYS_CACHESTAT, libc::SYS_preadv2],
        &[libc::SYS_mincore],
        &[SYS_CACHESTAT, libc::SYS_preadv2, libc::SYS_mincore],
    ];
    let _test = test();
    if FORCED_FALLBACK {
        return;
    }
    let samples = samples();
    for (sample, calls) in samples.iter().flat_map(|sample| calls.map(|calls| (sample, calls))) {
        for errno in [libc::ENOSYS, libc::EPERM] {
            in_thread(|| {
                refuse(calls, errno);
                let event_loop = new_loop();
                warm(&sample.file);
                send(&event_loop, &sample.file);
                evict(&sample.file, 0, LEN);
                send(&event_loop, &sample.file);
                let stats = event_loop.stats();
                let about = format!("{}, calls {calls:?}, errno {errno}", sample.name);
                assert_eq!(stats.sendfile_fallbacks, 0, "{about}: {stats:?}");
            });
        }
    }
}

#[test]
fn cold_file_is_left_to_the_executor_on_a_kernel_without_cachestat() {
    for_each_file(false, |sample| {
        refuse(&[SYS_CACHESTAT], libc::ENOSYS);
        let event_loop = new_loop();
        for _ in 0..2 {
            evict(&sample.file, 0, LEN);
            fadvise(&sample.file, 0, None, Advice::Random).expect("advice");
            // preadv2 reads one byte, and so one page, at most once for each piece.
            let read = send(&event_loop, &sample.file);
            let allowed = (PAGE * LEN.div_ceil(PIECE)) as u64;
            let stats = event_loop.stats();
            assert!(read <= allowed, "{}: {read} bytes, {stats:?}", sample.name);
        }
    });
}

/// A loop device over an image, which needs root. Dropping it detaches the device.
struct LoopDevice {
    path: String,
    _image: tempfile::NamedTempFile,
}

impl LoopDevice {
    fn new(content: &[u8]) -> Option<LoopDevice> {
        let mut image = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).ok()?;
        image.write_all(content).expect("room");
        fdatasync(image.as_file()).expect("written");
        let mut losetup = Command::new("losetup");
        let ran = losetup.args(["--find", "--show"]).arg(image.path()).output();
        let path = match ran {
            Ok(ran) if ran.status.success() => String::from_utf8(ran.stdout).expect("text"),
            _ => {
                eprintln!("skipped: no loop device");
                return None;
            }
        };
        Some(LoopDevice { path: path.trim().to_owned(), _image: image })
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.path]).status();
    }
}

#[test]
fn cold_block_device_is_read_by_the_executor() {
    let _test = test();
    const MIB: usize = 1 << 20;
    let content = content(0, 2 * MIB);
    let Some(device) = LoopDevice::new(&content) else {
        return;
    };
    if FORCED_FALLBACK {
        return;
    }
    let file = File::open(&device.path).expect("a device");
    fadvise(&file, 0, None, Advice::DontNeed).expect("advice");
    fadvise(&file, 0, None, Advice::Random).expect("advice");
    let event_loop = new_loop();
    let (near, far) = tcp();
    let near = Socket::new(near).expect("non-blocking");
    let received = reader(far);
    let sent = event_loop.run_until_complete(event_loop.sock_sendfile(&near, &file));
    assert_eq!(sent.expect("sent"), 2 << 20);
    drop(near);
    assert_content(&received.join().expect("read"), 0, 2 * MIB);
    let stats = event_loop.stats();
    assert!(stats.sendfile_prefetches > 0, "{stats:?}");
    assert_eq!(stats.sendfile_fallbacks, 0, "{stats:?}");
}

#[test]
fn direct_file_does_not_change_the_state_of_its_mount() {
    for_each_file(false, |sample| {
        if sample.name != "the target's" {
            return;
        }
        let event_loop = new_loop();
        warm_page_by_page(&sample.file);
        send(&event_loop, &sample.file);
        // A cold file with O_DIRECT, on the same mount.
        let direct = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).expect("a file");
        direct.write_all_at(&content(0, LEN), 0).expect("room");
        fdatasync(&direct).expect("written");
        evict(&direct, 0, LEN);
        let flags = rustix::fs::fcntl_getfl(&direct).expect("flags");
        let flags = flags | rustix::fs::OFlags::DIRECT;
        rustix::fs::fcntl_setfl(&direct, flags).expect("known there");
        let (near, far) = unix();
        let received = reader(far);
        let transfer = event_loop.sock_sendfile(&near, &direct).count(512 << 10);
        let sent = event_loop.run_until_complete(transfer);
        assert_eq!(sent.expect("sent"), 512 << 10);
        drop(near);
        assert_content(&received.join().expect("read"), 0, 512 << 10);
        // The hole lies between the bytes of one-byte probes.
        evict(&sample.file, 20 * PAGE, 10 * PAGE);
        fadvise(&sample.file, 0, None, Advice::Random).expect("advice");
        let before = event_loop.stats();
        let (near, far) = unix();
        let received = reader(far);
        let transfer = event_loop.sock_sendfile(&near, &sample.file).count(256 << 10);
        let sent = event_loop.run_until_complete(transfer);
        assert_eq!(sent.expect("sent"), 256 << 10);
        drop(near);
        assert_content(&received.join().expect("read"), 0, 256 << 10);
        let (_, misses, _) = difference(&before, &event_loop.stats());
        assert!(misses > 0, "no probe found the hole");
    });
}

#[test]
fn empty_file_is_sent_without_an_executor() {
    let _test = test();
    let event_loop = new_loop();
    event_loop.run_until_complete(event_loop.shutdown_default_executor());
    let (near, _far) = unix();
    let empty = tempfile::tempfile().expect("a file");
    let sent = event_loop.run_until_complete(event_loop.sock_sendfile(&near, &empty));
    assert!(FORCED_FALLBACK || sent.is_ok_and(|sent| sent == 0));
}
