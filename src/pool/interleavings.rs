//! Every order in which work can be submitted, run, refused and awaited.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::Pool;
use crate::error::TaskError;
use crate::sync::model::{Signal, block_on, explore, refuse_threads, thread};
use crate::sync::{AtomicUsize, Ordering};

/// Closes the pool and waits for its threads.
fn shut_down(pool: &Pool) {
    pool.close();
    block_on(std::future::poll_fn(|cx| pool.poll_ended(cx)));
    assert_eq!(pool.shared.state().threads, 0);
    assert!(pool.shared.state().jobs.is_empty());
}

#[test]
fn one_thread_runs_all_and_ends() {
    explore(None, || {
        let pool = Pool::new(1);
        let (one, two) = (pool.run(|| 1), pool.run(|| 2));
        assert_eq!(pool.shared.state().threads, 1);
        assert_eq!(block_on(one).expect("ran") + block_on(two).expect("ran"), 3);
        shut_down(&pool);
    });
}

#[test]
fn two_threads_run_what_waits_for_each_other() {
    explore(Some(4), || {
        let pool = Pool::new(2);
        let (here, there) = (Arc::new(Signal::default()), Arc::new(Signal::default()));
        let (tell, told) = (here.clone(), there.clone());
        let one = pool.run(move || {
            tell.set();
            told.wait();
        });
        let two = pool.run(move || {
            there.set();
            here.wait();
        });
        block_on(one).expect("ran");
        block_on(two).expect("ran");
        drop(pool);
    });
}

#[test]
fn work_of_two_submitters_is_run() {
    explore(Some(3), || {
        let pool = Arc::new(Pool::new(2));
        let other = pool.clone();
        let other = thread(move || block_on(other.run(|| 1)).expect("ran"));
        assert_eq!(block_on(pool.run(|| 2)).expect("ran"), 2);
        assert_eq!(other.join().expect("no panic"), 1);
        assert!(pool.shared.state().threads <= 2);
        shut_down(&pool);
    });
}

#[test]
fn work_beside_a_close_runs_or_is_cancelled() {
    explore(None, || {
        let pool = Arc::new(Pool::new(1));
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
        // Whatever came first, no thread is left.
        shut_down(&pool);
    });
}

/// A loop's turns while it waits for `future`: each looks for threads that the pool owes.
fn drive<T>(pool: &Pool, future: impl Future<Output = T>) -> T {
    let signal = Arc::new(Signal::default());
    let waker = Waker::from(signal.clone());
    let mut future = pin!(future);
    loop {
        pool.start_owed();
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending if pool.patience().is_some() => {}
            Poll::Pending => signal.wait(),
        }
    }
}

#[test]
fn a_thread_that_does_not_start_beside_a_busy_one_is_started_later() {
    explore(Some(3), || {
        let pool = Pool::new(2);
        let go = Arc::new(Signal::default());
        let gone = go.clone();
        // The first ends only after the second, which finds no thread at its first two tries, or at its first three.
        refuse_threads(1, 3);
        let one = pool.run(move || gone.wait());
        let two = pool.run(move || go.set());
        drive(&pool, two).expect("ran");
        drive(&pool, one).expect("ran");
        assert_eq!(pool.patience(), None);
        shut_down(&pool);
    });
}

fn is_no_thread(error: &TaskError) -> bool {
    let source = std::error::Error::source(error);
    !error.is_cancelled() && !error.is_panic() && source.is_some()
}

#[test]
fn work_without_any_thread_is_refused() {
    explore(None, || {
        let pool = Pool::new(1);
        refuse_threads(0, 1);
        let error = block_on(pool.run(|| ())).expect_err("no thread");
        assert!(is_no_thread(&error));
        shut_down(&pool);
    });
}

#[test]
fn work_without_any_thread_is_refused_and_the_next_runs() {
    explore(Some(4), || {
        let pool = Arc::new(Pool::new(2));
        refuse_threads(0, 1);
        let other = pool.clone();
        let other = thread(move || block_on(other.run(|| ())));
        let mine = block_on(pool.run(|| ()));
        let theirs = other.join().expect("no panic");
        // One start is refused: its job fails where there was no thread, and waits for the other's where there was.
        let failed = [mine, theirs].into_iter().filter_map(Result::err);
        assert!(failed.map(|error| assert!(is_no_thread(&error))).count() <= 1);
        block_on(pool.run(|| ())).expect("a thread");
        shut_down(&pool);
    });
}

#[test]
fn a_result_is_polled_while_it_comes_or_dropped_before() {
    explore(None, || {
        let pool = Pool::new(1);
        let value = Arc::new(());
        let (one, two) = (value.clone(), value.clone());
        drop(pool.run(move || one));
        let mut work = pool.run(move || two);
        let mut cx = Context::from_waker(Waker::noop());
        // Another waker takes the place of the first, if the result is not there yet.
        if Pin::new(&mut work).poll(&mut cx).is_pending() {
            block_on(work).expect("ran");
        }
        shut_down(&pool);
        assert_eq!(Arc::strong_count(&value), 1);
    });
}
