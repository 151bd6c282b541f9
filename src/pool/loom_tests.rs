//! Every interleaving of submitting, running, refusing and awaiting executor work.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::Pool;
use crate::error::TaskError;
use crate::sync::model::{Flag, block_on, explore, refuse_threads, thread};
use crate::sync::{AtomicUsize, Ordering};

/// Closes the pool and waits for its threads.
fn shut_down(pool: &Arc<Pool>) {
    pool.close();
    block_on(std::future::poll_fn(|cx| pool.poll_ended(cx)));
    assert_eq!(pool.state().expect("own").threads, 0);
    assert!(pool.state().expect("own").jobs.is_empty());
}

#[test]
fn one_thread_runs_all_jobs_and_ends() {
    explore(None, || {
        let pool = Pool::new(1);
        let (one, two) = (pool.run(|| 1), pool.run(|| 2));
        assert_eq!(pool.state().expect("own").threads, 1);
        assert_eq!(block_on(one).expect("ran") + block_on(two).expect("ran"), 3);
        shut_down(&pool);
    });
}

#[test]
fn two_threads_run_jobs_that_wait_for_each_other() {
    explore(Some(4), || {
        let pool = Pool::new(2);
        let (first_runs, second_runs) = (Arc::new(Flag::default()), Arc::new(Flag::default()));
        let (set_first, await_second) = (first_runs.clone(), second_runs.clone());
        let one = pool.run(move || {
            set_first.set();
            await_second.wait();
        });
        let two = pool.run(move || {
            second_runs.set();
            first_runs.wait();
        });
        block_on(one).expect("ran");
        block_on(two).expect("ran");
        shut_down(&pool);
    });
}

#[test]
fn jobs_of_two_submitters_run() {
    explore(Some(3), || {
        let pool = Pool::new(2);
        let other = pool.clone();
        let other = thread(move || block_on(other.run(|| 1)).expect("ran"));
        assert_eq!(block_on(pool.run(|| 2)).expect("ran"), 2);
        assert_eq!(other.join().expect("no panic"), 1);
        assert!(pool.state().expect("own").threads <= 2);
        shut_down(&pool);
    });
}

#[test]
fn close_runs_or_cancels_a_concurrent_job() {
    explore(None, || {
        let pool = Pool::new(1);
        let ran = Arc::new(AtomicUsize::new(0));
        let (other, counts) = (pool.clone(), ran.clone());
        let submitted = thread(move || {
            let work = other.run(move || counts.fetch_add(1, Ordering::Relaxed));
            block_on(work).map(|_| ())
        });
        shut_down(&pool);
        let result = submitted.join().expect("no panic");
        assert_eq!(ran.load(Ordering::Relaxed), usize::from(result.is_ok()));
        assert!(result.is_ok() || result.is_err_and(|error| error.is_cancelled()));
        // The pool has no thread left in either case.
        shut_down(&pool);
    });
}

/// Polls a future as a loop does, which starts missing threads in each iteration.
fn drive<T>(pool: &Arc<Pool>, future: impl Future<Output = T>) -> T {
    let flag = Arc::new(Flag::default());
    let waker = Waker::from(flag.clone());
    let mut future = pin!(future);
    loop {
        pool.retry_start();
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending if pool.retry_timeout().is_some() => {}
            Poll::Pending => flag.wait(),
        }
    }
}

#[test]
fn second_thread_starts_after_refusals() {
    explore(Some(3), || {
        let pool = Pool::new(2);
        let go = Arc::new(Flag::default());
        let waits = go.clone();
        // The first job ends after the second one, whose first three thread starts fail.
        refuse_threads(1, 3);
        let one = pool.run(move || waits.wait());
        let two = pool.run(move || go.set());
        drive(&pool, two).expect("ran");
        drive(&pool, one).expect("ran");
        assert_eq!(pool.retry_timeout(), None);
        shut_down(&pool);
    });
}

fn is_no_thread(error: &TaskError) -> bool {
    let source = std::error::Error::source(error);
    !error.is_cancelled() && !error.is_panic() && source.is_some()
}

#[test]
fn job_without_any_thread_fails() {
    explore(None, || {
        let pool = Pool::new(1);
        refuse_threads(0, 1);
        let error = block_on(pool.run(|| ())).expect_err("no thread");
        assert!(is_no_thread(&error));
        shut_down(&pool);
    });
}

#[test]
fn job_after_a_refused_thread_runs() {
    explore(Some(4), || {
        let pool = Pool::new(2);
        refuse_threads(0, 1);
        let other = pool.clone();
        let other = thread(move || block_on(other.run(|| ())));
        let mine = block_on(pool.run(|| ()));
        let theirs = other.join().expect("no panic");
        // One start fails. Its job fails if the pool has no thread, and is queued otherwise.
        let failed = [mine, theirs].into_iter().filter_map(Result::err);
        assert!(failed.map(|error| assert!(is_no_thread(&error))).count() <= 1);
        block_on(pool.run(|| ())).expect("a thread");
        shut_down(&pool);
    });
}

#[test]
fn result_arrives_while_it_is_polled_or_dropped() {
    explore(None, || {
        let pool = Pool::new(1);
        let value = Arc::new(());
        let (one, two) = (value.clone(), value.clone());
        drop(pool.run(move || one));
        let mut work = pool.run(move || two);
        let mut cx = Context::from_waker(Waker::noop());
        // A second waker replaces the first one if the result is not there yet.
        if Pin::new(&mut work).poll(&mut cx).is_pending() {
            block_on(work).expect("ran");
        }
        shut_down(&pool);
        assert_eq!(Arc::strong_count(&value), 1);
    });
}
