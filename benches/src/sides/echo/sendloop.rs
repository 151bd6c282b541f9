use std::io;
use std::net::{TcpListener, TcpStream};

use sendloop::{LoopHandle, Socket};

use super::BUFFER;

pub(super) fn run(listener: TcpListener) -> io::Result<()> {
    sendloop::run(async |event_loop| {
        let listener = Socket::new(listener)?;
        loop {
            let (client, _) = event_loop.sock_accept(&listener).await?;
            event_loop.create_task(serve(event_loop.clone(), client));
        }
    })?
}

async fn serve(event_loop: LoopHandle, client: Socket<TcpStream>) -> io::Result<()> {
    let mut buffer = [0; BUFFER];
    loop {
        let read = event_loop.sock_recv_into(&client, &mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        event_loop.sock_sendall(&client, &buffer[..read]).await?;
    }
}

/// An echo server whose connections hold no buffer while they wait.
pub(super) fn run_unbuffered(listener: TcpListener) -> io::Result<()> {
    sendloop::run(async |event_loop| {
        let listener = Socket::new(listener)?;
        loop {
            let (client, _) = event_loop.sock_accept(&listener).await?;
            event_loop.create_task(serve_unbuffered(event_loop.clone(), client));
        }
    })?
}

async fn serve_unbuffered(event_loop: LoopHandle, client: Socket<TcpStream>) -> io::Result<()> {
    loop {
        let bytes = event_loop.sock_recv(&client, BUFFER).await?;
        if bytes.is_empty() {
            return Ok(());
        }
        event_loop.sock_sendall(&client, &bytes).await?;
    }
}
