//! The loop, tasks and recorder of the scenarios.

use std::fmt::Display;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sendloop::{Handle, Loop, LoopHandle, Task};

/// A scenario and its name.
pub(crate) type Named = (&'static str, fn(&Loop, &Scene));

/// A list of scenarios that are a plain function each.
macro_rules! plain {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name)),*] };
}

/// A list of scenarios that are the main task each.
macro_rules! mains {
    ($($name:ident),* $(,)?) => {
        &[$((stringify!($name), |event_loop, scene| {
            event_loop.run_until_complete($name(scene.clone()))
        })),*]
    };
}

pub(crate) use {mains, plain};

/// The recorded words. Other threads may hold the list.
type Trace = Arc<Mutex<Vec<String>>>;

fn record(words: &Trace, word: impl Display) {
    let mut words = words.lock().expect("not poisoned");
    words.push(word.to_string());
}

/// A scenario's loop and its recorded words. Callbacks and tasks keep clones.
#[derive(Clone)]
pub(crate) struct Scene {
    event_loop: LoopHandle,
    words: Trace,
}

impl Deref for Scene {
    type Target = LoopHandle;

    fn deref(&self) -> &LoopHandle {
        &self.event_loop
    }
}

impl Scene {
    pub(crate) fn new(event_loop: &Loop) -> Scene {
        Scene { event_loop: event_loop.handle(), words: Trace::default() }
    }

    pub(crate) fn words(&self) -> String {
        let words = self.words.lock().expect("not poisoned");
        words.join(" ")
    }

    pub(crate) fn record(&self, word: impl Display) {
        record(&self.words, word);
    }

    /// Returns a callback that records a word.
    pub(crate) fn word(&self, word: &'static str) -> impl Fn() + Send + 'static {
        let words = self.words.clone();
        move || record(&words, word)
    }

    /// Returns a callback that receives the scene.
    pub(crate) fn with(&self, callback: impl FnOnce(&Scene) + 'static) -> impl FnOnce() + 'static {
        let scene = self.clone();
        move || callback(&scene)
    }

    /// Calls `call_soon` with a callback that receives the scene.
    pub(crate) fn soon(&self, callback: impl FnOnce(&Scene) + 'static) -> Handle {
        self.call_soon(self.with(callback))
    }

    /// Creates a task that receives the scene.
    pub(crate) fn task<T: 'static>(&self, body: impl AsyncFnOnce(Scene) -> T + 'static) -> Task<T> {
        let scene = self.clone();
        self.create_task(async move { body(scene).await })
    }

    /// Spawns a task that records a word and a number in several iterations.
    pub(crate) fn counting(&self, word: &'static str, times: usize) -> Task<()> {
        self.task(async move |s| {
            for number in 0..times {
                s.record(format!("{word}-{number}"));
                s.run_iterations(1).await;
            }
        })
    }

    /// Spawns a task that records its start, its end, or its cancellation.
    pub(crate) fn guarded<F: Future + 'static>(&self, future: F) -> Task<()> {
        self.task(async move |s| {
            s.record("start");
            let cleanup = s.record_on_drop("cleanup");
            future.await;
            cleanup.disarm();
            s.record("end");
        })
    }

    /// Waits for a number of iterations.
    pub(crate) async fn run_iterations(&self, count: usize) {
        for _ in 0..count {
            self.sleep(Duration::ZERO).await;
        }
    }

    /// Records the word on drop. It stands for asyncio's `except CancelledError`.
    pub(crate) fn record_on_drop(&self, word: &'static str) -> RecordOnDrop {
        RecordOnDrop { scene: Some(self.clone()), word }
    }
}

pub(crate) struct RecordOnDrop {
    scene: Option<Scene>,
    word: &'static str,
}

impl RecordOnDrop {
    pub(crate) fn disarm(mut self) {
        self.scene = None;
    }
}

impl Drop for RecordOnDrop {
    fn drop(&mut self) {
        if let Some(scene) = &self.scene {
            scene.record(self.word);
        }
    }
}

pub(crate) fn millis(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// Returns the outcome of a task.
pub(crate) async fn outcome<T>(task: &mut Task<T>) -> &'static str {
    match task.await {
        Ok(_) => "value",
        Err(error) if error.is_cancelled() => "cancelled",
        Err(_) => "error",
    }
}

/// Awaits a task that must not fail.
pub(crate) async fn joined<T>(task: Task<T>) -> T {
    task.await.expect("the task ends")
}

/// Panics without a message. It stands for Python's `raise`.
pub(crate) fn fail() -> ! {
    resume_unwind(Box::new("meant"))
}

/// Returns whether the run ended by a panic. It stands for Python's `try`.
pub(crate) fn fails<T>(run: impl FnOnce() -> T) -> bool {
    catch_unwind(AssertUnwindSafe(run)).is_err()
}

/// Runs until a stop that is queued after all present callbacks, and records the end.
pub(crate) fn run_until_stopped(event_loop: &Loop, s: &Scene) {
    s.soon(|s| s.stop());
    event_loop.run_forever();
    s.record("end");
}
