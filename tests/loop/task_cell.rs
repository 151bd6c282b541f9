//! Re-entrancy of the cell that holds a task's future and then its result.
//!
//! The test combines each act of user code in a poll or a destructor with each way in which the
//! task can end. `tests/long/sanitizers.sh address` runs it under the address sanitizer.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, set_hook, take_hook};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::util::*;
use sendloop::{LoopHandle, Task, TaskError};

/// An act of user code in a poll or a destructor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Act {
    Nothing,
    Wakes,
    CancelsItself,
    UsesItsCancelHandle,
    CancelsAnother,
    DropsItsHandle,
    PollsItsHandle,
    MakesATask,
    Panics,
}

const EXPECTED_PANIC: &str = "an expected panic";

const ACTS: [Act; 9] = [
    Act::Nothing,
    Act::Wakes,
    Act::CancelsItself,
    Act::UsesItsCancelHandle,
    Act::CancelsAnother,
    Act::DropsItsHandle,
    Act::PollsItsHandle,
    Act::MakesATask,
    Act::Panics,
];

/// The outcome of a poll.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Waits,
    Returns,
    Panics,
}

/// The last act on the task from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Cancel,
    Take,
    DropHandle,
    Close,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    in_poll: Act,
    outcome: Outcome,
    in_futures_drop: Act,
    /// The act of the returned value's destructor, or of the panic payload's.
    in_results_drop: Act,
    end: End,
}

/// The state that user code in a task can reach.
struct Scene {
    event_loop: LoopHandle,
    task: RefCell<Option<Rc<RefCell<Task<Acts>>>>>,
    other: Task<()>,
    waker: RefCell<Option<Waker>>,
    futures: Cell<(u32, u32)>,
    results: Cell<(u32, u32)>,
}

thread_local! {
    /// The scene of the present case. A panic payload must be `Send`, so it cannot hold the scene.
    static SCENE: RefCell<Option<Rc<Scene>>> = const { RefCell::new(None) };
}

fn scene() -> Rc<Scene> {
    SCENE.with_borrow(|scene| scene.clone().expect("a scene"))
}

fn poll(task: &RefCell<Task<Acts>>) -> Poll<Result<Acts, TaskError>> {
    let mut task = task.borrow_mut();
    Pin::new(&mut *task).poll(&mut Context::from_waker(Waker::noop()))
}

fn act(act: Act) {
    let scene = scene();
    let task = || scene.task.borrow().clone();
    match act {
        Act::Nothing => {}
        Act::Wakes => {
            let waker = scene.waker.borrow().clone();
            waker.into_iter().for_each(Waker::wake);
        }
        Act::CancelsItself => drop(task().map(|task| task.borrow().cancel())),
        Act::UsesItsCancelHandle => {
            if let Some(task) = task() {
                use_cancel_handle(&task.borrow());
            }
        }
        Act::CancelsAnother => drop(scene.other.cancel()),
        Act::DropsItsHandle => drop(scene.task.take()),
        Act::PollsItsHandle => {
            if let Some(task) = task().filter(|task| task.try_borrow_mut().is_ok()) {
                assert!(poll(&task).is_pending(), "a task that has not ended is pending");
            }
        }
        Act::MakesATask => drop(scene.event_loop.create_task(async {})),
        Act::Panics => panic_any(EXPECTED_PANIC),
    }
}

/// Asserts that a task and its cancel handle agree.
fn use_cancel_handle(task: &Task<Acts>) {
    let cancel_handle = task.cancel_handle();
    let agree = cancel_handle.done() == task.done()
        && cancel_handle.cancel() != task.done()
        && cancel_handle.cancelled() == task.cancelled();
    if !agree {
        // The loop would catch a panic, so this aborts.
        eprintln!("{cancel_handle:?} disagrees with {task:?}");
        std::process::abort();
    }
}

fn add(to: &Cell<(u32, u32)>, made: u32, dropped: u32) {
    let (all, gone) = to.get();
    to.set((all + made, gone + dropped));
}

/// A value whose destructor acts. It owns memory, so that the sanitizer sees a use after the drop.
struct Acts {
    act: Act,
    tally: fn(&Scene) -> &Cell<(u32, u32)>,
    memory: Box<u32>,
}

impl Acts {
    fn new(act: Act, tally: fn(&Scene) -> &Cell<(u32, u32)>) -> Acts {
        add(tally(&scene()), 1, 0);
        let memory = Box::new(7);
        Acts { act, tally, memory }
    }
}

impl Drop for Acts {
    fn drop(&mut self) {
        add((self.tally)(&scene()), 0, 1);
        let acted = catch_unwind(AssertUnwindSafe(|| act(self.act)));
        assert_eq!(*self.memory, 7);
        if let Err(panic) = acted {
            std::panic::resume_unwind(panic);
        }
    }
}

/// The task's future.
///
/// It is no `async` block, because a panic would run that block's destructors while it unwinds.
struct Body {
    case: Case,
    memory: Acts,
}

impl Future for Body {
    type Output = Acts;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Acts> {
        drop(scene().waker.replace(Some(cx.waker().clone())));
        act(self.case.in_poll);
        assert_eq!(*self.memory.memory, 7);
        let result = || Acts::new(self.case.in_results_drop, |scene| &scene.results);
        match self.case.outcome {
            Outcome::Waits => Poll::Pending,
            Outcome::Returns => Poll::Ready(result()),
            Outcome::Panics => panic_any(result()),
        }
    }
}

fn finish(scene: &Scene, end: End) {
    let task = scene.task.borrow().clone();
    match end {
        End::Cancel => drop(task.map(|task| task.borrow().cancel())),
        End::Take => {
            let taken = task.map(|task| poll(&task));
            // The test drops the result itself, so the destructor's panic propagates to here.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(taken)));
        }
        End::DropHandle => {
            drop(task);
            drop(scene.task.take());
        }
        End::Close => {}
    }
}

fn try_case(case: Case) {
    let event_loop = new_loop();
    let scene = Rc::new(Scene {
        event_loop: event_loop.handle(),
        task: RefCell::default(),
        other: event_loop.create_task(std::future::pending()),
        waker: RefCell::default(),
        futures: Cell::default(),
        results: Cell::default(),
    });
    SCENE.set(Some(scene.clone()));
    let memory = Acts::new(case.in_futures_drop, |scene| &scene.futures);
    let task = event_loop.create_task(Body { case, memory });
    scene.task.replace(Some(Rc::new(RefCell::new(task))));
    run_iteration(&event_loop);
    run_iteration(&event_loop);
    finish(&scene, case.end);
    if case.end != End::Close {
        let works = event_loop.create_task(async { 5 });
        assert_eq!(event_loop.run_until_complete(works).ok(), Some(5), "{case:?}");
    }
    drop(event_loop);
    assert!(scene.other.done(), "{case:?}");
    drop(scene.task.take());
    let (made, dropped) = scene.futures.get();
    assert_eq!((made, dropped), (1, 1), "{case:?}");
    let (made, dropped) = scene.results.get();
    assert!(made <= 1 && dropped == made, "{case:?}");
    SCENE.take();
    drop(scene.waker.take());
    assert_eq!(Rc::strong_count(&scene), 1, "{case:?}");
}

#[test]
fn task_cell_drops_each_value_once() {
    let _test = test();
    let usual = take_hook();
    // Thousands of intended panics stay silent.
    set_hook(Box::new(|panic| {
        let payload = panic.payload();
        if !payload.is::<Acts>() && payload.downcast_ref() != Some(&EXPECTED_PANIC) {
            eprintln!("{panic}");
        }
    }));
    let tried = catch_unwind(|| {
        for in_poll in ACTS {
            for outcome in [Outcome::Waits, Outcome::Returns, Outcome::Panics] {
                for in_futures_drop in ACTS {
                    for in_results_drop in ACTS {
                        for end in [End::Cancel, End::Take, End::DropHandle, End::Close] {
                            let case =
                                Case { in_poll, outcome, in_futures_drop, in_results_drop, end };
                            try_case(case);
                        }
                    }
                }
            }
        }
    });
    set_hook(usual);
    if let Err(panic) = tried {
        std::panic::resume_unwind(panic);
    }
}
