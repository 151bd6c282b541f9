//! Many children of a parent with busy threads. Each child runs a new loop to its end.
//!
//! `SENDLOOP_FORK_SECONDS` sets how long each test forks (default: 1 s).

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::child::{Fork, forks, in_child};
use super::util::*;

fn duration() -> Duration {
    let seconds = std::env::var("SENDLOOP_FORK_SECONDS").ok();
    let seconds = seconds.map(|text| text.parse().expect("a number of seconds"));
    Duration::from_secs(seconds.unwrap_or(1))
}

/// Runs a loop with a socket, a timer and the executor.
///
/// It starts no thread of std. Another thread may hold the lock that std takes for that.
fn run_a_loop() {
    let own = new_loop();
    let (socket, far) = unix();
    let remote = own.remote();
    let received = own.run_until_complete(async {
        let work = own.run_in_executor(move || (&far).write_all(b"hello"));
        own.sleep(Duration::from_micros(10)).await;
        work.await.expect("no panic").expect("room");
        own.sock_recv(&socket, 100).await.expect("received")
    });
    assert_eq!(received, b"hello");
    drop(own.run_in_executor(move || remote.stop()));
    own.run_forever();
}

fn fork_for(fork: Fork, duration: Duration) {
    let (start, mut children) = (Instant::now(), 0);
    while start.elapsed() < duration {
        in_child(fork, run_a_loop);
        children += 1;
    }
    println!("{fork:?}: {children} children");
}

#[test]
fn children_run_loops_while_threads_of_the_parent_start_and_end() {
    let _test = test_within(duration() + Duration::from_secs(60));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    thread::spawn(run_a_loop).join().expect("no panic");
                }
            });
        }
        scope.spawn(|| {
            let event_loop = new_loop();
            while !is_over.load(Ordering::Relaxed) {
                let work = event_loop.run_in_executor(|| vec![0; 1000]);
                event_loop.run_until_complete(work).expect("no panic");
            }
        });
        fork_for(Fork::ByLibc, duration());
        is_over.store(true, Ordering::Relaxed);
    });
}

/// The raw system call resets no lock of the allocator, so the other threads only wait here.
#[test]
fn children_of_any_fork_run_loops_while_threads_of_the_parent_wait() {
    let _test = test_within(2 * duration() + Duration::from_secs(60));
    let event_loop = new_loop();
    let worked = event_loop.run_in_executor(|| {});
    event_loop.run_until_complete(worked).expect("no panic");
    let (remotes, started) = std::sync::mpsc::channel();
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let remotes = remotes.clone();
            thread::spawn(move || {
                let event_loop = new_loop();
                remotes.send(event_loop.remote()).expect("received");
                event_loop.run_forever();
            })
        })
        .collect();
    let remotes: Vec<_> = started.iter().take(threads.len()).collect();
    for fork in forks() {
        fork_for(*fork, duration());
    }
    remotes.iter().for_each(|remote| remote.stop());
    for thread in threads {
        thread.join().expect("no panic");
    }
}
