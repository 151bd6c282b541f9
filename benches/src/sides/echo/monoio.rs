//! monoio on its epoll driver. It takes and returns buffers.

use std::io;
use std::net;

use monoio::buf::IoBuf;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::{LegacyDriver, RuntimeBuilder};

use super::BUFFER;

pub(super) fn run(listener: net::TcpListener) -> io::Result<()> {
    let mut runtime = RuntimeBuilder::<LegacyDriver>::new().build()?;
    runtime.block_on(async move {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (client, _) = listener.accept().await?;
            monoio::spawn(serve(client));
        }
    })
}

async fn serve(mut client: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let (read, filled) = client.read(buffer).await;
        let read = read?;
        if read == 0 {
            return Ok(());
        }
        let (sent, slice) = client.write_all(filled.slice(..read)).await;
        sent?;
        buffer = slice.into_inner();
    }
}
