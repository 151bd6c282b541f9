//! The CPU time that page-cache probes add to a transfer of warm pages.
//!
//! ```text
//! cargo test --release --test sendfile probe_cost -- --nocapture
//! ```

use std::fs::File;
use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use crate::util::*;
use sendloop::Socket;

const LEN: usize = 128 << 20;
const ROUNDS: usize = 15;

/// Returns the CPU time of this thread and the wall time of one transfer. The peer discards the
/// bytes.
fn transfer(file: &File, prefetch: bool) -> [Duration; 2] {
    let event_loop = new_loop();
    let (near, mut far) = tcp();
    let near = Socket::new(near).expect("non-blocking");
    let reader = thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        while far.read(&mut buffer).expect("open") > 0 {}
    });
    let (cpu, start) = (thread_times().0, Instant::now());
    let transfer = event_loop.sock_sendfile(&near, file).prefetch(prefetch);
    let sent = event_loop.run_until_complete(transfer).expect("sent");
    let used = [thread_times().0 - cpu, start.elapsed()];
    assert_eq!(sent, LEN as u64);
    assert_eq!(event_loop.stats().sendfile_misses, 0);
    drop(near);
    reader.join().expect("read");
    used
}

/// Returns the least time. It is the cost without what other processes add.
fn least(times: impl Iterator<Item = Duration>) -> f64 {
    times.min().expect("a round").as_secs_f64()
}

#[test]
fn probes_add_less_than_half_the_cpu_time_of_a_warm_transfer() {
    let _test = test();
    let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary file");
    let piece = content(0, 1 << 20);
    for _ in 0..LEN / piece.len() {
        file.write_all(&piece).expect("room");
    }
    let mut rounds = [vec![], vec![]];
    for _ in 0..ROUNDS {
        for prefetch in [false, true] {
            rounds[usize::from(prefetch)].push(transfer(&file, prefetch));
        }
    }
    let ratio = |which: usize| {
        let [without, with] = &rounds;
        let of = |times: &[[Duration; 2]]| least(times.iter().map(|times| times[which]));
        of(with) / of(without)
    };
    let (cpu, wall) = (ratio(0), ratio(1));
    println!("with prefetch: {cpu:.3} of the CPU time, {wall:.3} of the wall time");
    // A probe of every page would have a ratio of 3.
    assert!(cpu < 1.5, "{cpu}");
}
