//! The executors under comparison.

use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use async_io::Async;
use futures_lite::AsyncReadExt as _;
use sendloop::{Loop, LoopHandle, Socket};
use smol::LocalExecutor;
use tokio::io::AsyncReadExt as _;

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

    fn run_in_executor<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + 'static {
        let job = LoopHandle::run_in_executor(self, job);
        async { job.await.expect("the job neither panics nor is cancelled") }
    }

    fn read_byte(&self, stream: UnixStream) -> impl Future<Output = u8> + 'static {
        let event_loop = self.clone();
        async move {
            let socket = Socket::new(stream).expect("a socket");
            let bytes = event_loop.sock_recv(&socket, 1).await;
            bytes.expect("the peer writes")[0]
        }
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

    fn run_in_executor<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + 'static {
        smol::unblock(job)
    }

    fn read_byte(&self, stream: UnixStream) -> impl Future<Output = u8> + 'static {
        let mut stream = Async::new(stream).expect("a socket");
        async move {
            let mut byte = [0];
            stream.read_exact(&mut byte).await.expect("the peer writes");
            byte[0]
        }
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

    fn run_in_executor<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + 'static {
        let job = tokio::task::spawn_blocking(job);
        async { job.await.expect("the job does not panic") }
    }

    fn read_byte(&self, stream: UnixStream) -> impl Future<Output = u8> + 'static {
        stream.set_nonblocking(true).expect("a socket");
        async {
            let mut stream = tokio::net::UnixStream::from_std(stream).expect("a socket");
            stream.read_u8().await.expect("the peer writes")
        }
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
