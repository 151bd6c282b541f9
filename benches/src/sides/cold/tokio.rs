use std::cell::Cell;
use std::fs::File;
use std::io;
use std::rc::Rc;

use nix::errno::Errno;
use nix::sys::sendfile::sendfile64;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::{AROUND, Job, Late, TICK, Tick};

/// The most that sendfile(2) takes.
const MAX_COUNT: usize = 0x7fff_f000;

pub(super) fn send(job: Job) -> io::Result<Late> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    runtime.block_on(local.run_until(async move {
        job.socket.set_nonblocking(true)?;
        let socket = TcpStream::from_std(job.socket)?;
        let late = Rc::<Cell<Late>>::default();
        let ticker = tokio::task::spawn_local(tick(late.clone()));
        sleep(AROUND).await;
        send_file(&socket, &job.file).await?;
        sleep(AROUND).await;
        ticker.abort();
        Ok(late.get())
    }))
}

async fn tick(late: Rc<Cell<Late>>) {
    loop {
        let tick = Tick::begin();
        sleep(TICK).await;
        tick.end(&late);
    }
}

async fn send_file(socket: &TcpStream, file: &File) -> io::Result<()> {
    let mut offset = 0;
    loop {
        let step = || match sendfile64(socket, file, Some(&mut offset), MAX_COUNT) {
            Err(Errno::EAGAIN) => Err(io::ErrorKind::WouldBlock.into()),
            result => Ok(result?),
        };
        if socket.async_io(Interest::WRITABLE, step).await? == 0 {
            return Ok(());
        }
    }
}
