use std::io;
use std::net::{TcpListener, TcpStream};

use sendloop::{LoopHandle, Socket};

use super::MESSAGE;

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
    let mut request = [0; MESSAGE];
    let mut read = 0;
    while read < MESSAGE {
        match event_loop.sock_recv_into(&client, &mut request[read..]).await? {
            0 => return Ok(()),
            more => read += more,
        }
    }
    event_loop.sock_sendall(&client, &request).await
}
