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
    let mut bytes = [0; ORDER];
    client.read_exact(&mut bytes).await?;
    let order = Order::parse(bytes);
    let file = folder.open(order.size)?;
    for _ in 0..order.times {
        let mut sent = 0;
        while sent < order.size {
            let step = |client: &TcpStream| match super::bare::step(client, &file, sent, order.size)
            {
                Ok(None) => Err(ErrorKind::WouldBlock.into()),
                Ok(Some(moved)) => Ok(moved),
                Err(error) => Err(error),
            };
            sent += client.write_with(step).await?;
        }
    }
    Ok(())
}
