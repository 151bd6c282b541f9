use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

use futures_lite::future::try_zip;
use sendloop::{LoopHandle, Socket};

pub(super) fn run(listener: TcpListener, origin: SocketAddr, buffer: usize) -> io::Result<()> {
    sendloop::run(async |event_loop| {
        let listener = Socket::new(listener)?;
        loop {
            let (client, _) = event_loop.sock_accept(&listener).await?;
            event_loop.create_task(serve(event_loop.clone(), client, origin, buffer));
        }
    })?
}

async fn serve(
    event_loop: LoopHandle,
    client: Socket<TcpStream>,
    origin: SocketAddr,
    buffer: usize,
) -> io::Result<()> {
    let server = Socket::tcp(&origin)?;
    event_loop.sock_connect(&server, &origin).await?;
    let up = copy(&event_loop, &client, &server, buffer);
    let down = copy(&event_loop, &server, &client, buffer);
    try_zip(up, down).await.map(drop)
}

async fn copy(
    event_loop: &LoopHandle,
    from: &Socket<TcpStream>,
    to: &Socket<TcpStream>,
    buffer: usize,
) -> io::Result<()> {
    let mut buffer = vec![0; buffer];
    loop {
        match event_loop.sock_recv_into(from, &mut buffer).await? {
            0 => return to.get_ref().shutdown(Shutdown::Write),
            len => event_loop.sock_sendall(to, &buffer[..len]).await?,
        }
    }
}
