use std::io;
use std::net::{self, SocketAddr};

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};

pub(super) fn run(listener: net::TcpListener, origin: SocketAddr, buffer: usize) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async move {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (client, _) = listener.accept().await?;
            tokio::spawn(serve(client, origin, buffer));
        }
    })
}

async fn serve(mut client: TcpStream, origin: SocketAddr, buffer: usize) -> io::Result<()> {
    let mut server = TcpStream::connect(origin).await?;
    let copied = copy_bidirectional_with_sizes(&mut client, &mut server, buffer, buffer).await;
    copied.map(drop)
}
