//! Helpers for the tests: a guard, files with known content, sockets with small buffers, peer
//! threads.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of this")]

pub mod counted;
pub mod sock;
pub mod ticker;

use std::env;
use std::fs::{self, File};
use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Wake};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use sendloop::{Clock, Loop, Socket};
use socket2::SockRef;

/// Calls a function on drop.
pub struct CallOnDrop<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for CallOnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A waker that does nothing until it is dropped.
impl<F: FnMut() + Send + Sync + 'static> Wake for CallOnDrop<F> {
    fn wake(self: Arc<Self>) {}
}

/// A value whose destructor panics.
pub struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("an expected panic of a destructor");
    }
}

/// A waker that counts its wake-ups.
#[derive(Default)]
pub struct WakeCount(AtomicUsize);

impl WakeCount {
    pub fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for WakeCount {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A generator of pseudo-random numbers with a fixed seed.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// One byte more than a round size, so that the last byte is sent alone.
pub const ODD: usize = (256 << 10) + 1;

/// Returns the reading and the writing end of a pipe.
#[track_caller]
pub fn pipe() -> (File, File) {
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    (reader.into(), writer.into())
}

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A guard that each test holds.
///
/// It lets one test of the binary run at a time, compares the open descriptors before and after,
/// and aborts a hung test.
pub struct Test {
    descriptors: usize,
    done: Arc<AtomicBool>,
    _alone: MutexGuard<'static, ()>,
}

/// Begins a test. The test binds the guard first, so that the guard is dropped last.
pub fn test() -> Test {
    test_within(Duration::from_secs(60))
}

/// Begins a test with another time limit.
pub fn test_within(time_limit: Duration) -> Test {
    let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let done = Arc::new(AtomicBool::new(false));
    let seen = done.clone();
    let name = thread::current().name().unwrap_or("a test").to_owned();
    let time_limit = time_limit.max(min_time_limit());
    thread::spawn(move || {
        let start = Instant::now();
        while !seen.load(Ordering::Relaxed) {
            thread::park_timeout(Duration::from_millis(100));
            if start.elapsed() > time_limit {
                eprintln!("{name} still runs after {time_limit:?}");
                std::process::abort();
            }
        }
    });
    // The C library opens a descriptor for a moment when an ending thread returns memory.
    let descriptors = (0..3).map(|_| descriptors()).min();
    Test { descriptors: descriptors.expect("three counts"), done, _alone: alone }
}

/// Returns the least time limit of a test from the environment. Valgrind and the sanitizers are
/// slow.
pub fn min_time_limit() -> Duration {
    let seconds = env::var("SENDLOOP_TEST_SECONDS").ok();
    let seconds = seconds.map(|text| text.parse().expect("a number of seconds"));
    Duration::from_secs(seconds.unwrap_or(0))
}

impl Drop for Test {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if thread::panicking() {
            return;
        }
        // An executor thread may still run the read of a cancelled transfer.
        let start = Instant::now();
        while descriptors() > self.descriptors && start.elapsed() < Duration::from_secs(10) {
            thread::yield_now();
        }
        // The first count may be too high, as an ending thread of an earlier test may have had one.
        let (before, after) = (self.descriptors, descriptors());
        assert!(after <= before, "{before} descriptors before the test, {after} after it");
    }
}

/// Returns the number of open descriptors of this process.
pub fn descriptors() -> usize {
    let folder = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
    fs::read_dir(folder).expect("a folder of descriptors").count()
}

/// Returns a command that runs this program again.
pub fn this_program() -> Command {
    Command::new(env::current_exe().expect("the path of this program"))
}

/// Returns the CPU time of this thread, and the time for which it was ready but did not run.
///
/// Both are 0 on systems other than Linux.
pub fn thread_times() -> (Duration, Duration) {
    if cfg!(not(target_os = "linux")) {
        return (Duration::ZERO, Duration::ZERO);
    }
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("schedstat");
    let nanos = |field: &str| Duration::from_nanos(field.parse().expect("a number"));
    let mut fields = text.split(' ').map(nanos);
    let mut next = || fields.next().expect("a field");
    (next(), next())
}

/// Returns the CPU time that this thread has used. The call needs no descriptor.
pub fn cpu_time() -> Duration {
    #[cfg(not(target_os = "netbsd"))]
    let clock = ClockId::ThreadCPUTime;
    // rustix lacks the clocks of CPU time there.
    #[cfg(target_os = "netbsd")]
    let clock = ClockId::Monotonic;
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Returns `len` bytes from `offset` on of content whose period is at least 2^61 bytes.
pub fn content(offset: u64, len: usize) -> Vec<u8> {
    let first = offset / 8;
    let words =
        (first..).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23).to_le_bytes());
    let skip = (offset % 8) as usize;
    words.flatten().skip(skip).take(len).collect()
}

/// Creates an unnamed file of [`content`].
pub fn file(len: usize) -> File {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(&content(0, len)).expect("room");
    file
}

#[track_caller]
pub fn position(file: &File) -> u64 {
    use std::io::Seek;
    let mut file = file;
    file.stream_position().expect("a position")
}

#[track_caller]
pub fn assert_content(received: &[u8], offset: u64, len: usize) {
    assert_eq!(received.len(), len, "received bytes");
    let expected = content(offset, len);
    let wrong = received.iter().zip(&expected).position(|(a, b)| a != b);
    assert_eq!(wrong, None, "offset of the first wrong byte");
}

/// Returns two connected TCP streams.
pub fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let one = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    (one, listener.accept().expect("accepted").0)
}

/// Returns two connected TCP streams with small buffers, the first one as a socket of a loop.
///
/// The tests ask for 4 KiB; the kernel may use more.
pub fn small_buffer_tcp() -> (Socket<TcpStream>, TcpStream) {
    let (near, far) = tcp();
    SockRef::from(&near).set_send_buffer_size(4096).expect("set");
    SockRef::from(&far).set_recv_buffer_size(4096).expect("set");
    (Socket::new(near).expect("non-blocking"), far)
}

/// Returns a Unix pair, the first end as a socket of a loop.
pub fn unix() -> (Socket<UnixStream>, UnixStream) {
    let (near, far) = UnixStream::pair().expect("a pair");
    (Socket::new(near).expect("non-blocking"), far)
}

/// Returns a Unix pair whose first end has a send buffer of 4 KiB.
pub fn small_buffer_unix() -> (Socket<UnixStream>, UnixStream) {
    let (near, far) = unix();
    SockRef::from(&near).set_send_buffer_size(4096).expect("set");
    (near, far)
}

/// Starts a thread that reads up to the end of the stream.
pub fn reader(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        // A reset ends the stream, too. The bytes before it count.
        let _ = from.read_to_end(&mut all);
        all
    })
}

/// Reads the available bytes, up to the end of the stream that the test has closed.
pub fn read_rest(mut from: impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = from.read_to_end(&mut all);
    all
}

pub fn new_loop() -> Loop {
    Loop::new().expect("a loop")
}

/// Returns a loop with a manual clock, and the clock.
pub fn manual_loop() -> (Loop, Clock) {
    let clock = Clock::manual();
    let event_loop = Loop::builder().clock(clock.clone()).build();
    (event_loop.expect("a loop"), clock)
}

/// Wakes its task and is pending once, so that the task continues in the next iteration.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| match std::mem::replace(&mut yielded, true) {
        true => Poll::Ready(()),
        false => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

/// Returns a loop whose exception handler aborts the process.
///
/// So no failed assertion in a destructor or a detached task is lost.
pub fn strict_loop() -> Loop {
    let event_loop = new_loop();
    event_loop.set_exception_handler(|context| {
        eprintln!("{context}");
        std::process::abort();
    });
    event_loop
}

/// Runs one iteration of the loop without waiting.
#[track_caller]
pub fn run_iteration(event_loop: &Loop) {
    let ran = event_loop.run_once(Some(Duration::ZERO));
    ran.expect("an iteration");
}

/// Runs iterations until `done`, each with a timeout of a few milliseconds.
#[track_caller]
pub fn run_until(event_loop: &Loop, mut done: impl FnMut() -> bool) {
    while !done() {
        event_loop.run_once(Some(Duration::from_millis(5))).expect("an iteration");
    }
}

/// True if sendfile(2) always fails with ENOSYS, as in the second run of the tests.
pub const FORCED_FALLBACK: bool = cfg!(sendloop_force_fallback);
