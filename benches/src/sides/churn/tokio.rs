use std::io;
use std::net;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::MESSAGE;

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
    let mut request = [0; MESSAGE];
    client.read_exact(&mut request).await?;
    client.write_all(&request).await
}
