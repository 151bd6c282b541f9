//! The work that each executor does.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use futures_lite::future::poll_once;

use super::Executor;

/// The number of tasks, callbacks or jobs in one batch.
const MANY: u64 = 1000;
/// The delay of a timer that never fires.
const FAR: Duration = Duration::from_secs(60);
/// The time over which the deadlines of a million timers are spread.
const SPREAD: Duration = Duration::from_millis(100);
/// The mean time between two deadlines of the timers that grow in number.
const BETWEEN: Duration = Duration::from_nanos(250);
/// The number of yields of each task in `tasks_by_size`.
const YIELDS: u64 = 10;

pub(super) async fn scenario<E: Executor>(executor: E, what: &str, count: u64) {
    if let Some((what, size)) = sized(what) {
        return match what {
            "tasks" => tasks_by_size(&executor, size, count).await,
            "timers" => timers_by_size(&executor, size, count).await,
            _ => unreachable!("{what}"),
        };
    }
    match what {
        "create" => create(&executor, count).await,
        "create_one" => create_one_by_one(&executor, count).await,
        "yield" => yields(executor, count).await,
        "yield_many" => yields_among_many(&executor, count).await,
        "wake" => wakes(&executor, count).await,
        "thread" => wakes_from_a_thread(count).await,
        "socket_yield" => with_socket(&executor, yields(executor.clone(), count)).await,
        "socket_wake" => with_socket(&executor, wakes(&executor, count)).await,
        "executor" => jobs_one_by_one(&executor, count).await,
        "executor_many" => jobs(&executor, count).await,
        "call_soon" => calls(&executor, count).await,
        "timer_drop" => timers_dropped(&executor, count).await,
        "timer_fire" => timers_fired(&executor, count).await,
        "timer_random" => timers_fired_at_random(&executor, count).await,
        _ => unreachable!("{what}"),
    }
}

/// Splits the name of a scenario that grows: `tasks_1000` is 1,000 tasks at once.
fn sized(what: &str) -> Option<(&str, u64)> {
    let (what, size) = what.rsplit_once('_')?;
    Some((what, size.parse().ok()?))
}

/// Creates tasks in batches and joins each batch.
async fn create<E: Executor>(executor: &E, count: u64) {
    let mut tasks = Vec::new();
    for _ in 0..count / MANY {
        tasks.extend((0..MANY).map(|_| executor.spawn(async {})));
        for task in tasks.drain(..) {
            task.await;
        }
    }
}

/// Joins each task before it creates the next.
async fn create_one_by_one<E: Executor>(executor: &E, count: u64) {
    for _ in 0..count {
        executor.spawn(async {}).await;
    }
}

async fn yields<E: Executor>(executor: E, count: u64) {
    for _ in 0..count {
        executor.yield_now().await;
    }
}

async fn yields_among_many<E: Executor>(executor: &E, count: u64) {
    let task = |_| executor.spawn(yields(executor.clone(), count / MANY));
    let tasks: Vec<E::Join> = (0..MANY).map(task).collect();
    for task in tasks {
        task.await;
    }
}

/// A ball that two tasks throw to each other. The task that has it wakes the other.
#[derive(Default)]
struct Ball {
    with: Cell<usize>,
    wakers: [RefCell<Option<Waker>>; 2],
}

impl Ball {
    async fn play(&self, me: usize, times: u64) {
        for _ in 0..times {
            poll_fn(|cx| {
                if self.with.get() == me {
                    return Poll::Ready(());
                }
                *self.wakers[me].borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            })
            .await;
            self.with.set(1 - me);
            if let Some(waker) = self.wakers[1 - me].take() {
                waker.wake();
            }
        }
    }
}

async fn wakes<E: Executor>(executor: &E, count: u64) {
    let ball = Rc::new(Ball::default());
    let play = |me| {
        let ball = ball.clone();
        executor.spawn(async move { ball.play(me, count / 2).await })
    };
    let players = [play(0), play(1)];
    for player in players {
        player.await;
    }
}

/// Lets another thread wake the task, once for each request.
async fn wakes_from_a_thread(count: u64) {
    let (asks, asked) = channel::<Waker>();
    let other = thread::spawn(move || asked.iter().for_each(Waker::wake));
    for _ in 0..count {
        woken_by(&asks).await;
    }
    drop(asks);
    other.join().expect("the thread only wakes");
}

async fn woken_by(thread: &Sender<Waker>) {
    let mut has_asked = false;
    poll_fn(|cx| {
        if has_asked {
            return Poll::Ready(());
        }
        has_asked = true;
        thread.send(cx.waker().clone()).expect("the thread receives");
        Poll::Pending
    })
    .await;
}

/// Does other work while a task waits for a socket, which the poller therefore holds.
async fn with_socket<E: Executor>(executor: &E, work: impl Future<Output = ()>) {
    let (here, mut there) = UnixStream::pair().expect("a pair of sockets");
    let got = Rc::new(Cell::new(None));
    let reader = {
        let (read, got) = (executor.read_byte(here), got.clone());
        executor.spawn(async move { got.set(Some(read.await)) })
    };
    executor.yield_now().await;
    work.await;
    assert_eq!(got.get(), None, "the reader waits meanwhile");
    there.write_all(&[7]).expect("the reader waits");
    reader.await;
    assert_eq!(got.get(), Some(7));
}

/// Awaits each job before it starts the next.
async fn jobs_one_by_one<E: Executor>(executor: &E, count: u64) {
    for number in 0..count {
        let result = executor.run_in_executor(move || number).await;
        assert_eq!(result, number);
    }
}

/// Starts jobs in batches and awaits each batch.
async fn jobs<E: Executor>(executor: &E, count: u64) {
    let mut jobs = Vec::new();
    for _ in 0..count / MANY {
        jobs.extend((0..MANY).map(|number| executor.run_in_executor(move || number)));
        for (number, job) in (0..).zip(jobs.drain(..)) {
            assert_eq!(job.await, number);
        }
    }
}

/// Creates, runs and joins `count` tasks, `size` at a time. Each yields several times.
async fn tasks_by_size<E: Executor>(executor: &E, size: u64, count: u64) {
    let mut tasks = Vec::new();
    for _ in 0..count / size {
        tasks.extend((0..size).map(|_| executor.spawn(yields(executor.clone(), YIELDS))));
        for task in tasks.drain(..) {
            task.await;
        }
    }
}

async fn calls<E: Executor>(executor: &E, count: u64) {
    let called = Rc::new(Cell::new(0));
    for _ in 0..count / MANY {
        for _ in 0..MANY {
            let called = called.clone();
            executor.call_soon(move || called.set(called.get() + 1));
        }
        executor.yield_now().await;
    }
    while called.get() < count / MANY * MANY {
        executor.yield_now().await;
    }
}

/// Polls each timer once and drops it, like a timeout that does not expire.
async fn timers_dropped<E: Executor>(executor: &E, count: u64) {
    for _ in 0..count {
        let sleep = pin!(executor.sleep(FAR));
        assert!(poll_once(sleep).await.is_none());
    }
}

/// Sets all timers at once. Their deadlines rise over a tenth of a second.
async fn timers_fired<E: Executor>(executor: &E, count: u64) {
    let delay = |n: u64| SPREAD + SPREAD.mul_f64(n as f64 / count as f64);
    fire(executor, (0..count).map(delay)).await;
}

/// The same with deadlines in random order, over 250 ms.
async fn timers_fired_at_random<E: Executor>(executor: &E, count: u64) {
    let over = Duration::from_millis(250);
    let delays = random_delays(over).map(|delay| SPREAD + delay);
    fire(executor, delays.take(count as usize)).await;
}

/// Sets and fires `count` timers, `size` at a time, in random order at a constant rate.
async fn timers_by_size<E: Executor>(executor: &E, size: u64, count: u64) {
    let over = BETWEEN * size as u32;
    for _ in 0..count / size {
        let delays = random_delays(over).map(|delay| over + delay);
        fire(executor, delays.take(size as usize)).await;
    }
}

/// Endless delays in random order, each shorter than `over`.
fn random_delays(over: Duration) -> impl Iterator<Item = Duration> {
    let mut random = 1_u64;
    std::iter::repeat_with(move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        Duration::from_nanos((random >> 33) % over.as_nanos() as u64)
    })
}

async fn fire<E: Executor>(executor: &E, delays: impl Iterator<Item = Duration>) {
    let mut sleeps: Vec<_> = delays.map(|delay| Box::pin(executor.sleep(delay))).collect();
    for sleep in &mut sleeps {
        poll_once(sleep).await;
    }
    for sleep in sleeps {
        sleep.await;
    }
}
