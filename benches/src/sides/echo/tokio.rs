use std::io;
use std::net;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::BUFFER;

pub(super) fn run(listener: net::TcpListener) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async move {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (client, _) = listener.accept().await?;
            tokio::spawn(serve(client));
        }
    })
}

async fn serve(mut client: TcpStream) -> io::Result<()> {
    let mut buffer = [0; BUFFER];
    loop {
        let read = client.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        client.write_all(&buffer[..read]).await?;
    }
}

/// An echo server whose connections hold no buffer while they wait.
pub(super) fn run_unbuffered(listener: net::TcpListener) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async move {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (client, _) = listener.accept().await?;
            tokio::spawn(serve_unbuffered(client));
        }
    })
}

async fn serve_unbuffered(mut client: TcpStream) -> io::Result<()> {
    loop {
        client.readable().await?;
        let mut bytes = Vec::with_capacity(BUFFER);
        match client.try_read_buf(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(_) => client.write_all(&bytes).await?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
