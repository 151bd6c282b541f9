//! Runs many cases on all cores.
//!
//! Each thread has its own bench and takes the next seed. The first failure ends the run.

use std::cell::Cell;
use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use crate::model::bench::Bench;
use crate::model::case::Case;
use crate::model::generator;
use crate::model::live::live;
use crate::model::run::run;
use crate::util::{FORCED_FALLBACK, descriptors, min_time_limit};

/// The time after which a case counts as hung. A case takes about 100 µs, the largest one 50 ms.
const HANG_LIMIT: Duration = Duration::from_secs(20);

/// The most bytes that allocated memory may grow after the first tenth of a run. Measured growth
/// was within 240 bytes.
const MAX_GROWTH: usize = 8 << 10;

/// The time in which the executor must return its resources.
const SETTLE_TIME: Duration = Duration::from_secs(10);

/// The cases of the seeds from `first` on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cases {
    pub(crate) first: u64,
    pub(crate) count: u64,
}

struct Shared {
    cases: Cases,
    next: AtomicU64,
    /// The number of threads that have not ended.
    running: AtomicUsize,
    /// The case that each thread runs, and its start.
    under_way: Vec<Mutex<Option<(u64, Instant)>>>,
    failure: Mutex<Option<String>>,
}

/// Runs all cases. It panics with the first failing case, minimized.
///
/// The first tenth runs by itself. The memory that is held after it was allocated once for the
/// process. The other cases must add nothing.
pub(crate) fn try_all(cases: Cases) {
    let descriptors_before = descriptors();
    let first = Cases { count: cases.count.div_ceil(10), ..cases };
    try_some(first);
    wait_until(|| descriptors() == descriptors_before);
    let held = live();
    try_some(Cases { first: cases.first + first.count, count: cases.count - first.count });
    wait_until(|| descriptors() == descriptors_before && live() < held + MAX_GROWTH);
    assert_eq!(descriptors(), descriptors_before, "descriptors leaked");
    let grown = live().saturating_sub(held);
    assert!(grown < MAX_GROWTH, "{grown} bytes more than after the first tenth");
    println!("{grown} bytes more than after the first tenth");
}

/// Waits until the condition holds, for a limited time.
fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() && start.elapsed() < SETTLE_TIME {
        thread::yield_now();
    }
}

fn try_some(cases: Cases) {
    // A case spends half of its time waiting for the executor, the disk or an acknowledgement.
    let threads = 2 * thread::available_parallelism().map_or(1, usize::from);
    let shared = Shared {
        cases,
        next: AtomicU64::new(0),
        running: AtomicUsize::new(threads),
        under_way: (0..threads).map(|_| Mutex::new(None)).collect(),
        failure: Mutex::new(None),
    };
    thread::scope(|scope| {
        for n in 0..threads {
            let shared = &shared;
            scope.spawn(move || shared.work(n));
        }
        shared.watch();
    });
    if let Some(failure) = shared.failure.into_inner().expect("no thread panicked") {
        panic!("{failure}");
    }
}

/// Returns the command that repeats the case of a seed.
fn repeat_command(seed: u64) -> String {
    let forced = match FORCED_FALLBACK {
        true => "RUSTC_WORKSPACE_WRAPPER=$PWD/tests/rustc/sendloop_force_fallback ",
        false => "",
    };
    let release = if cfg!(debug_assertions) { "" } else { "--release " };
    format!(
        "{forced}SENDLOOP_MODEL_SEED={seed} SENDLOOP_MODEL_CASES=1 cargo test {release}--test model"
    )
}

impl Shared {
    fn work(&self, thread: usize) {
        let strategy = generator::case();
        let bench = Cell::new(None);
        while let Some(seed) = self.take() {
            let tried = self.try_one(thread, seed, &strategy, &bench);
            if let Err(failure) = tried {
                self.failure.lock().expect("whole").get_or_insert(failure);
                self.next.store(self.cases.count, Ordering::SeqCst);
            }
        }
        *self.under_way[thread].lock().expect("whole") = None;
        self.running.fetch_sub(1, Ordering::SeqCst);
    }

    fn take(&self) -> Option<u64> {
        let n = self.next.fetch_add(1, Ordering::SeqCst);
        (n < self.cases.count).then(|| self.cases.first + n)
    }

    /// Runs one case. If it fails or panics, its bench is dropped, so that it cannot disturb the
    /// next case.
    fn try_one(
        &self,
        thread: usize,
        seed: u64,
        strategy: &impl Strategy<Value = Case>,
        bench: &Cell<Option<Bench>>,
    ) -> Result<(), String> {
        let mut runner = runner(seed);
        let tree = strategy.new_tree(&mut runner).expect("nothing is filtered");
        let tried = runner.run_one(tree, |case| {
            let mut ready = bench.take().unwrap_or_else(Bench::new);
            *self.under_way[thread].lock().expect("whole") = Some((seed, Instant::now()));
            run(&mut ready, &case)?;
            bench.set(Some(ready));
            Ok(())
        });
        match tried {
            Ok(_) => Ok(()),
            Err(TestError::Fail(reason, case)) => Err(format!(
                "{reason}\nsmallest case: {case:#?}\nto repeat it: {}",
                repeat_command(seed)
            )),
            Err(error) => Err(format!("{error}\nto repeat it: {}", repeat_command(seed))),
        }
    }

    /// Aborts the process if a case hangs, until all threads have ended.
    fn watch(&self) {
        while self.running.load(Ordering::SeqCst) > 0 {
            thread::sleep(Duration::from_millis(20));
            self.abort_if_hung();
        }
    }

    fn abort_if_hung(&self) {
        let hangs = HANG_LIMIT.max(min_time_limit());
        for place in &self.under_way {
            let under_way = *place.lock().expect("whole");
            if let Some((seed, _)) = under_way.filter(|(_, since)| since.elapsed() > hangs) {
                // eprintln! would keep the text until the end of the test.
                let written = writeln!(
                    io::stderr(),
                    "the case runs for more than {hangs:?}\nto repeat it: {}",
                    repeat_command(seed)
                );
                written.expect("the receiver is open");
                std::process::abort();
            }
        }
    }
}

fn runner(seed: u64) -> TestRunner {
    let config = Config {
        failure_persistence: None,
        max_shrink_iters: 20_000,
        max_shrink_time: 10_000,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}
