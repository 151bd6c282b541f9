//! What is asked of each executor.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use futures_lite::future::poll_once;

use super::Executor;

/// How many tasks there are beside each other where there are many, and how many callbacks are queued at once.
const MANY: u64 = 1000;
/// A timer that nobody waits for.
const FAR: Duration = Duration::from_secs(60);
/// The time over which the timers that fire are spread.
const SPREAD: Duration = Duration::from_millis(100);

pub(super) async fn scenario<E: Executor>(executor: E, what: &str, count: u64) {
    match what {
        "create" => create(&executor, count).await,
        "create_one" => create_one_by_one(&executor, count).await,
        "yield" => yields(executor, count).await,
        "yield_many" => yields_among_many(&executor, count).await,
        "wake" => wakes(&executor, count).await,
        "thread" => wakes_from_a_thread(count).await,
        "call_soon" => calls(&executor, count).await,
        "timer_drop" => timers_dropped(&executor, count).await,
        "timer_fire" => timers_fired(&executor, count).await,
        "timer_random" => timers_fired_at_random(&executor, count).await,
        _ => unreachable!("{what}"),
    }
}

/// Tasks made many at once, and joined.
async fn create<E: Executor>(executor: &E, count: u64) {
    let mut tasks = Vec::new();
    for _ in 0..count / MANY {
        tasks.extend((0..MANY).map(|_| executor.spawn(async {})));
        for task in tasks.drain(..) {
            task.await;
        }
    }
}

/// Each is joined before the next is made.
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

/// A ball that two tasks throw to each other: who has it wakes the other.
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

/// Another thread wakes the task as often as it is asked to.
async fn wakes_from_a_thread(count: u64) {
    let (asks, asked) = channel::<Waker>();
    let other = thread::spawn(move || asked.iter().for_each(Waker::wake));
    for _ in 0..count {
        woken_by(&asks).await;
    }
    drop(asks);
    other.join().expect("it only wakes");
}

async fn woken_by(thread: &Sender<Waker>) {
    let mut has_asked = false;
    poll_fn(|cx| {
        if has_asked {
            return Poll::Ready(());
        }
        has_asked = true;
        thread.send(cx.waker().clone()).expect("it listens");
        Poll::Pending
    })
    .await;
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

/// Waited for a little, and given up: what a timeout is that does not come.
async fn timers_dropped<E: Executor>(executor: &E, count: u64) {
    for _ in 0..count {
        let sleep = pin!(executor.sleep(FAR));
        assert!(poll_once(sleep).await.is_none());
    }
}

/// All set at once, for times that are spread over a tenth of a second.
async fn timers_fired<E: Executor>(executor: &E, count: u64) {
    let delay = |n: u64| SPREAD + SPREAD.mul_f64(n as f64 / count as f64);
    fire(executor, (0..count).map(delay)).await;
}

/// The same with deadlines in random order, over 250 ms.
async fn timers_fired_at_random<E: Executor>(executor: &E, count: u64) {
    let mut random = 1_u64;
    let delays = (0..count).map(|_| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        SPREAD + Duration::from_nanos((random >> 33) % 250_000_000)
    });
    fire(executor, delays).await;
}

async fn fire<E: Executor>(executor: &E, delays: impl Iterator<Item = Duration>) {
    let mut sleeps: Vec<_> = delays
        .map(|delay| Box::pin(executor.sleep(delay)))
        .collect();
    for sleep in &mut sleeps {
        poll_once(sleep).await;
    }
    for sleep in sleeps {
        sleep.await;
    }
}
