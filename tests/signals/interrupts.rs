//! Ctrl-C during `run`, and signals with other dispositions.
//!
//! Each scenario runs in a new process and receives real signals. The test starts this binary
//! again, with the scenario's name in the environment. The scenario prints one word per line, and
//! the test sends a signal after each word.

use std::env;
use std::future::pending;
use std::hint;
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, ExitStatus, Stdio};
use std::sync::mpsc;

use crate::util::*;
use rustix::process::{Pid, Signal, kill_process};
use sendloop::{LoopHandle, Socket};

const SCENARIO: &str = "SENDLOOP_SCENARIO";

/// A scenario in a new process.
struct Scenario {
    child: Child,
    words: BufReader<ChildStdout>,
}

impl Scenario {
    #[track_caller]
    fn begin(name: &str) -> Scenario {
        let mut command = this_program();
        command.args(["--exact", "interrupts::scenario", "--nocapture"]);
        let mut child =
            command.env(SCENARIO, name).stdout(Stdio::piped()).spawn().expect("started");
        let words = BufReader::new(child.stdout.take().expect("a pipe"));
        Scenario { child, words }
    }

    /// Reads until the scenario prints `word`.
    #[track_caller]
    fn expect(&mut self, word: &str) {
        let wanted = format!("scenario: {word}");
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            let read = self.words.read_line(&mut line).expect("readable");
            assert!(read > 0, "the scenario ended without {word:?}: {seen}");
            if line.trim_end().ends_with(&wanted) {
                return;
            }
            seen += &line;
        }
    }

    #[track_caller]
    fn interrupt(&self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::INT).expect("a process that runs");
    }

    #[track_caller]
    fn end(mut self) -> ExitStatus {
        self.child.wait().expect("ended")
    }

    #[track_caller]
    fn ends_by(self, signal: i32) {
        let status = self.end();
        assert_eq!(status.signal(), Some(signal), "{status}");
    }

    #[track_caller]
    fn ends_well(self) {
        let status = self.end();
        assert!(status.success(), "{status}");
    }
}

fn print_word(word: &str) {
    println!("scenario: {word}");
}

/// The handler of SIGINT.
fn sigint() -> libc::sighandler_t {
    // SAFETY: all zero is a value of sigaction, and the call writes to it.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let asked = libc::sigaction(libc::SIGINT, std::ptr::null(), &raw mut action);
        assert_eq!(asked, 0);
        action.sa_sigaction
    }
}

/// Spins until the first Ctrl-C has arrived.
fn spin_until_interrupted() {
    while sigint() != libc::SIG_DFL {
        hint::spin_loop();
    }
}

/// Starts work on the executor that never ends.
fn hang(event_loop: &LoopHandle) {
    let (begun, begins) = mpsc::channel();
    drop(event_loop.run_in_executor(move || {
        begun.send(()).expect("a waiting receiver");
        loop {
            std::thread::park();
        }
    }));
    begins.recv().expect("a message of the start");
}

fn busy_main() {
    let _ = sendloop::run(async |_| {
        print_word("busy");
        spin_until_interrupted();
        print_word("interrupted");
        loop {
            hint::spin_loop();
        }
    });
}

fn busy_task() {
    let _ = sendloop::run(async |event_loop| {
        let task = event_loop.create_task(async {
            print_word("busy");
            spin_until_interrupted();
            print_word("interrupted");
            loop {
                hint::spin_loop();
            }
        });
        let _: Result<(), _> = task.await;
    });
}

/// A destructor that hangs while the first Ctrl-C drops main.
fn busy_destructor() {
    let _ = sendloop::run(async |_| {
        let _hangs = CallOnDrop(|| {
            print_word("interrupted");
            loop {
                hint::spin_loop();
            }
        });
        print_word("busy");
        pending::<()>().await;
    });
}

fn hung_executor_after_main() {
    let result = sendloop::run(async |event_loop| {
        hang(&event_loop);
        print_word("ending");
        42
    });
    assert_eq!(result.expect("main has returned"), 42);
    assert_eq!(sigint(), libc::SIG_DFL);
    print_word("returned");
}

fn hung_executor_after_interrupt() {
    let _ = sendloop::run(async |event_loop| {
        hang(&event_loop);
        let _ending = CallOnDrop(|| print_word("interrupted"));
        print_word("waiting");
        pending::<()>().await;
    });
    unreachable!("the executor is waited for");
}

fn interrupted_main() {
    let result = sendloop::run(async |_| {
        print_word("waiting");
        pending::<()>().await;
    });
    let kind = result.expect_err("interrupted").kind();
    assert_eq!(kind, ErrorKind::Interrupted);
    assert_eq!(sigint(), libc::SIG_DFL);
    // A second run takes Ctrl-C again.
    let result = sendloop::run(async |_| {
        print_word("again");
        pending::<()>().await;
    });
    let kind = result.expect_err("interrupted").kind();
    assert_eq!(kind, ErrorKind::Interrupted);
}

/// A handler that main adds is called each time. Its removal restores the default effect of Ctrl-C.
fn own_handler() {
    let result = sendloop::run(async |event_loop| {
        let (sender, receiver) = async_channel::unbounded();
        let own = move || sender.try_send(()).expect("room");
        event_loop.add_signal_handler(libc::SIGINT, own).expect("caught");
        for word in ["first", "second", "third"] {
            print_word(word);
            receiver.recv().await.expect("called");
        }
        assert!(event_loop.remove_signal_handler(libc::SIGINT));
        print_word("removed");
        loop {
            hint::spin_loop();
        }
    });
    result.expect("not interrupted");
}

/// A `Signal` that main creates gets each Ctrl-C. Its drop restores the default effect of Ctrl-C.
fn own_signal() {
    let result = sendloop::run(async |event_loop| {
        let mut signal = event_loop.signal(libc::SIGINT).expect("caught");
        for word in ["first", "second", "third"] {
            print_word(word);
            signal.recv().await.expect("open");
        }
        drop(signal);
        print_word("removed");
        loop {
            hint::spin_loop();
        }
    });
    result.expect("not interrupted");
}

fn ignored() {
    // SAFETY: ignoring a signal runs no code.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
    let result = sendloop::run(async |event_loop| {
        let (sender, receiver) = async_channel::unbounded();
        let told = move || sender.try_send(()).expect("room");
        event_loop.add_signal_handler(libc::SIGUSR1, told).expect("caught");
        print_word("ignoring");
        receiver.recv().await.expect("called");
        42
    });
    assert_eq!(result.expect("not interrupted"), 42);
    assert_eq!(sigint(), libc::SIG_IGN);
}

/// Promise 11 of docs/SENDFILE.md: SIGPIPE kills only if the program changed the disposition later.
fn sigpipe_set_to_default_after_the_loop() {
    let event_loop = new_loop();
    // SAFETY: the default runs no code.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let (near, far) = Socket::pair().expect("a pair");
    drop(far);
    let sent = event_loop.run_until_complete(event_loop.sock_sendall(&near, b"x"));
    assert_eq!(sent.expect_err("no peer").kind(), ErrorKind::BrokenPipe);
    print_word("sent");
    // Another loop sets it to ignored again.
    let _other = new_loop();
    let file = file(ODD);
    let sent = event_loop.run_until_complete(event_loop.sock_sendfile(&near, &file));
    assert_eq!(sent.expect_err("no peer").kind(), ErrorKind::BrokenPipe);
    // SAFETY: as above.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let _ = event_loop.run_until_complete(event_loop.sock_sendfile(&near, &file));
    print_word("survived");
}

const PENDING: [i32; 6] =
    [libc::SIGTERM, libc::SIGHUP, libc::SIGUSR2, libc::SIGALRM, libc::SIGUSR1, libc::SIGINT];

/// Raises these signals while the thread blocks them, and lets them all arrive at once.
fn raise_together() {
    // SAFETY: the set is plain data of which all zero is a value; the signals have handlers.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        for signal in PENDING {
            libc::sigaddset(&raw mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        for signal in PENDING {
            assert_eq!(libc::raise(signal), 0);
        }
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
    }
}

fn pending_together() {
    let event_loop = new_loop();
    let (sender, receiver) = async_channel::unbounded();
    for signal in PENDING {
        let sender = sender.clone();
        event_loop
            .add_signal_handler(signal, move || sender.try_send(signal).expect("room"))
            .expect("caught");
    }
    event_loop.run_until_complete(async {
        raise_together();
        let mut received = Vec::new();
        while received.len() < PENDING.len() {
            received.push(receiver.recv().await.expect("called"));
        }
        // The kernel delivers the pending signals of a thread in ascending order.
        assert!(received.is_sorted(), "{received:?}");
    });
}

const SCENARIOS: &[(&str, fn())] = &[
    ("busy_main", busy_main),
    ("busy_task", busy_task),
    ("busy_destructor", busy_destructor),
    ("hung_executor_after_main", hung_executor_after_main),
    ("hung_executor_after_interrupt", hung_executor_after_interrupt),
    ("interrupted_main", interrupted_main),
    ("own_handler", own_handler),
    ("own_signal", own_signal),
    ("ignored", ignored),
    ("pending_together", pending_together),
    ("sigpipe_set_to_default_after_the_loop", sigpipe_set_to_default_after_the_loop),
];

/// Runs the scenario that the environment names, if any. It is not a test.
#[test]
fn scenario() {
    let Ok(name) = env::var(SCENARIO) else {
        return;
    };
    // Nothing else ends this process if the test that started it has failed.
    std::thread::spawn(|| {
        std::thread::sleep(std::time::Duration::from_secs(50));
        std::process::abort();
    });
    let found = SCENARIOS.iter().find(|(known, _)| *known == name);
    found.expect("a scenario of this name").1();
}

#[test]
fn second_ctrl_c_ends_a_main_that_never_yields() {
    let _test = test();
    for name in ["busy_main", "busy_task", "busy_destructor"] {
        let mut scenario = Scenario::begin(name);
        scenario.expect("busy");
        scenario.interrupt();
        scenario.expect("interrupted");
        scenario.interrupt();
        scenario.ends_by(libc::SIGINT);
    }
}

#[test]
fn ctrl_c_ends_the_wait_for_the_executor() {
    let _test = test();
    let mut scenario = Scenario::begin("hung_executor_after_main");
    scenario.expect("ending");
    scenario.interrupt();
    scenario.expect("returned");
    scenario.ends_well();
}

#[test]
fn second_ctrl_c_ends_the_process_during_executor_shutdown() {
    let _test = test();
    let mut scenario = Scenario::begin("hung_executor_after_interrupt");
    scenario.expect("waiting");
    scenario.interrupt();
    scenario.expect("interrupted");
    scenario.interrupt();
    scenario.ends_by(libc::SIGINT);
}

#[test]
fn first_ctrl_c_interrupts_each_run() {
    let _test = test();
    let mut scenario = Scenario::begin("interrupted_main");
    for word in ["waiting", "again"] {
        scenario.expect(word);
        scenario.interrupt();
    }
    scenario.ends_well();
}

#[test]
fn own_handler_is_called_at_each_ctrl_c() {
    let _test = test();
    for name in ["own_handler", "own_signal"] {
        let mut scenario = Scenario::begin(name);
        for word in ["first", "second", "third", "removed"] {
            scenario.expect(word);
            scenario.interrupt();
        }
        scenario.ends_by(libc::SIGINT);
    }
}

#[test]
fn an_ignored_ctrl_c_stays_ignored() {
    let _test = test();
    let mut scenario = Scenario::begin("ignored");
    scenario.expect("ignoring");
    (0..3).for_each(|_| scenario.interrupt());
    let pid = Pid::from_child(&scenario.child);
    kill_process(pid, Signal::USR1).expect("a process that runs");
    scenario.ends_well();
}

#[test]
fn sigpipe_kills_only_if_the_program_sets_it_to_default_after_the_last_loop() {
    let _test = test();
    let mut scenario = Scenario::begin("sigpipe_set_to_default_after_the_loop");
    scenario.expect("sent");
    scenario.ends_by(libc::SIGPIPE);
}

#[test]
fn signals_that_are_pending_together_do_not_overflow_the_signal_stack() {
    let _test = test();
    Scenario::begin("pending_together").ends_well();
}
