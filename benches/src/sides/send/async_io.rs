use std::fs::File;
use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;

use async_io::Async;
use futures_lite::AsyncReadExt;
use smol::LocalExecutor;

use super::{Folder, ORDER, Order};

pub(super) fn run(listener: TcpListener, folder: Folder) -> io::Result<()> {
    let executor = Rc::new(LocalExecutor::new());
    let listener = Async::new(listener)?;
    async_io::block_on(executor.run(async {
        loop {
            let (client, _) = listener.accept().await?;
            executor.spawn(serve(client, folder.clone())).detach();
        }
    }))
}

async fn serve(mut client: Async<TcpStream>, folder: Folder) -> io::Result<()> {
    while let Some(order) = order(&mut client).await? {
        let file = folder.open(order.size)?;
        for _ in 0..order.times {
            send(&client, &file, order.size).await?;
        }
    }
    Ok(())
}

async fn order(client: &mut Async<TcpStream>) -> io::Result<Option<Order>> {
    let mut bytes = [0; ORDER];
    match client.read_exact(&mut bytes).await {
        Ok(()) => Ok(Some(Order::parse(bytes))),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

async fn send(client: &Async<TcpStream>, file: &File, size: u64) -> io::Result<()> {
    let mut sent = 0;
    while sent < size {
        let step = |client: &TcpStream| match super::bare::step(client, file, sent, size) {
            Ok(None) => Err(ErrorKind::WouldBlock.into()),
            Ok(Some(moved)) => Ok(moved),
            Err(error) => Err(error),
        };
        sent += client.write_with(step).await?;
    }
    Ok(())
}
