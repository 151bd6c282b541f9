use std::cell::Cell;
use std::io;
use std::rc::Rc;

use sendloop::{LoopHandle, Socket};

use super::{AROUND, Job, Late, TICK, Tick};

pub(super) fn send(job: Job) -> io::Result<Late> {
    sendloop::run(async |event_loop| {
        let socket = Socket::new(job.socket)?;
        let late = Rc::<Cell<Late>>::default();
        let ticker = event_loop.create_task(tick(event_loop.clone(), late.clone()));
        event_loop.sleep(AROUND).await;
        event_loop.sock_sendfile(&socket, &job.file).await?;
        event_loop.sleep(AROUND).await;
        ticker.cancel();
        Ok(late.get())
    })?
}

async fn tick(event_loop: LoopHandle, late: Rc<Cell<Late>>) {
    loop {
        let tick = Tick::begin();
        event_loop.sleep(TICK).await;
        tick.end(&late);
    }
}
