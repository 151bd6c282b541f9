use std::io;
use std::net::{self, SocketAddr};

use tokio::io::{copy_bidirectional, copy_bidirectional_with_sizes};
use tokio::net::{TcpListener, TcpStream};

pub(super) fn run(
    listener: net::TcpListener,
    origin: SocketAddr,
    buffer: Option<usize>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async move {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (client, _) = listener.accept().await?;
            tokio::spawn(serve(client, origin, buffer));
        }
    })
}

async fn serve(mut client: TcpStream, origin: SocketAddr, buffer: Option<usize>) -> io::Result<()> {
    let mut server = TcpStream::connect(origin).await?;
    let copied = match buffer {
        None => copy_bidirectional(&mut client, &mut server).await,
        Some(size) => copy_bidirectional_with_sizes(&mut client, &mut server, size, size).await,
    };
    copied.map(drop)
}
