use std::io;
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;

use async_io::Async;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use smol::LocalExecutor;

use super::BUFFER;

pub(super) fn run(listener: TcpListener) -> io::Result<()> {
    let executor = Rc::new(LocalExecutor::new());
    let listener = Async::new(listener)?;
    async_io::block_on(executor.run(async {
        loop {
            let (client, _) = listener.accept().await?;
            executor.spawn(serve(client)).detach();
        }
    }))
}

async fn serve(mut client: Async<TcpStream>) -> io::Result<()> {
    let mut buffer = [0; BUFFER];
    loop {
        let read = client.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        client.write_all(&buffer[..read]).await?;
    }
}
