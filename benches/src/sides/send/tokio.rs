use std::fs::File;
use std::io::{self, ErrorKind, SeekFrom};
use std::net;

use tokio::io::{AsyncReadExt, AsyncSeekExt, Interest};
use tokio::net::{TcpListener, TcpStream};

use super::{Folder, ORDER, Order};

#[derive(Clone, Copy)]
pub(super) enum How {
    /// The usual way: `tokio::io::copy` from a `tokio::fs::File`.
    Copy,
    /// sendfile(2) by hand, under `async_io`.
    Sendfile,
}

pub(super) fn run(listener: net::TcpListener, folder: Folder, how: How) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let local = tokio::task::LocalSet::new();
    runtime.block_on(local.run_until(async move {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (client, _) = listener.accept().await?;
            tokio::task::spawn_local(serve(client, folder.clone(), how));
        }
    }))
}

async fn serve(mut client: TcpStream, folder: Folder, how: How) -> io::Result<()> {
    while let Some(order) = order(&mut client).await? {
        match how {
            How::Copy => {
                let file = folder.open_own(order.size)?;
                let mut file = tokio::fs::File::from_std(file);
                for _ in 0..order.times {
                    file.seek(SeekFrom::Start(0)).await?;
                    tokio::io::copy(&mut file, &mut client).await?;
                }
            }
            How::Sendfile => {
                let file = folder.open(order.size)?;
                for _ in 0..order.times {
                    send(&client, &file, order.size).await?;
                }
            }
        }
    }
    Ok(())
}

async fn order(client: &mut TcpStream) -> io::Result<Option<Order>> {
    let mut bytes = [0; ORDER];
    match client.read_exact(&mut bytes).await {
        Ok(_) => Ok(Some(Order::parse(bytes))),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

async fn send(client: &TcpStream, file: &File, size: u64) -> io::Result<()> {
    let mut sent = 0;
    while sent < size {
        let step = || match super::bare::step(client, file, sent, size) {
            Ok(None) => Err(ErrorKind::WouldBlock.into()),
            Ok(Some(moved)) => Ok(moved),
            Err(error) => Err(error),
        };
        sent += client.async_io(Interest::WRITABLE, step).await?;
    }
    Ok(())
}
