//! The executors that are compared.

use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use sendloop::{Loop, LoopHandle};
use smol::LocalExecutor;

use super::Executor;
use super::scenarios::scenario;
use crate::sides::answer_lines;

impl Executor for LoopHandle {
    type Join = sendloop::Task<()>;
    type Sleep = sendloop::Sleep;

    fn spawn(&self, future: impl Future<Output = ()> + 'static) -> Self::Join {
        self.create_task(future)
    }

    fn detach(&self, future: impl Future<Output = ()> + 'static) {
        drop(self.create_task(future));
    }

    fn yield_now(&self) -> impl Future<Output = ()> + 'static {
        LoopHandle::sleep(self, Duration::ZERO)
    }

    fn sleep(&self, delay: Duration) -> Self::Sleep {
        LoopHandle::sleep(self, delay)
    }

    fn call_soon(&self, call: impl FnOnce() + 'static) {
        LoopHandle::call_soon(self, call);
    }
}

pub(super) fn sendloop() -> Result<()> {
    let event_loop = Loop::new()?;
    answer_lines(|what, count| {
        event_loop.run_until_complete(scenario(event_loop.handle(), what, count));
    })
}

#[derive(Clone)]
struct Smol(Rc<LocalExecutor<'static>>);

impl Executor for Smol {
    type Join = smol::Task<()>;
    type Sleep = smol::Timer;

    fn spawn(&self, future: impl Future<Output = ()> + 'static) -> Self::Join {
        self.0.spawn(future)
    }

    fn detach(&self, future: impl Future<Output = ()> + 'static) {
        self.0.spawn(future).detach();
    }

    fn yield_now(&self) -> impl Future<Output = ()> + 'static {
        futures_lite::future::yield_now()
    }

    fn sleep(&self, delay: Duration) -> Self::Sleep {
        smol::Timer::after(delay)
    }
}

pub(super) fn smol() -> Result<()> {
    let executor = Smol(Rc::new(LocalExecutor::new()));
    answer_lines(|what, count| {
        let future = executor.0.run(scenario(executor.clone(), what, count));
        async_io::block_on(future);
    })
}

#[derive(Clone)]
struct Tokio;

impl Executor for Tokio {
    type Join = tokio::task::JoinHandle<()>;
    type Sleep = tokio::time::Sleep;

    fn spawn(&self, future: impl Future<Output = ()> + 'static) -> Self::Join {
        tokio::task::spawn_local(future)
    }

    fn detach(&self, future: impl Future<Output = ()> + 'static) {
        drop(tokio::task::spawn_local(future));
    }

    fn yield_now(&self) -> impl Future<Output = ()> + 'static {
        tokio::task::yield_now()
    }

    fn sleep(&self, delay: Duration) -> Self::Sleep {
        tokio::time::sleep(delay)
    }
}

pub(super) fn tokio() -> Result<()> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    answer_lines(|what, count| {
        let future = local.run_until(scenario(Tokio, what, count));
        runtime.block_on(future);
    })
}
