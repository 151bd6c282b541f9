use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use sendloop::{LoopHandle, Socket};

use super::{AROUND, Job, TICK};

pub(super) fn send(job: Job) -> io::Result<Duration> {
    sendloop::run(async |event_loop| {
        let socket = Socket::new(job.socket)?;
        let late = Rc::new(Cell::new(Duration::ZERO));
        let ticker = event_loop.create_task(tick(event_loop.clone(), late.clone()));
        event_loop.sleep(AROUND).await;
        event_loop.sock_sendfile(&socket, &job.file).await?;
        event_loop.sleep(AROUND).await;
        ticker.cancel();
        Ok(late.get())
    })?
}

async fn tick(event_loop: LoopHandle, late: Rc<Cell<Duration>>) {
    loop {
        let due = Instant::now() + TICK;
        event_loop.sleep(TICK).await;
        late.set(late.get().max(due.elapsed()));
    }
}
