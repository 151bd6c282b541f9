use std::io;
use std::net::{TcpListener, TcpStream};

use sendloop::{LoopHandle, Socket};

use super::{Folder, ORDER, Order};

pub(super) fn run(listener: TcpListener, folder: Folder, prefetch: bool) -> io::Result<()> {
    sendloop::run(async |event_loop| {
        let listener = Socket::new(listener)?;
        loop {
            let (client, _) = event_loop.sock_accept(&listener).await?;
            event_loop.create_task(serve(event_loop.clone(), client, folder.clone(), prefetch));
        }
    })?
}

async fn serve(
    event_loop: LoopHandle,
    client: Socket<TcpStream>,
    folder: Folder,
    prefetch: bool,
) -> io::Result<()> {
    while let Some(order) = order(&event_loop, &client).await? {
        let file = folder.open(order.size)?;
        for _ in 0..order.times {
            let send = event_loop.sock_sendfile(&client, &file).count(order.size);
            send.prefetch(prefetch).await?;
        }
    }
    Ok(())
}

async fn order(event_loop: &LoopHandle, client: &Socket<TcpStream>) -> io::Result<Option<Order>> {
    let mut bytes = [0; ORDER];
    let mut filled = 0;
    while filled < ORDER {
        let rest = &mut bytes[filled..];
        match event_loop.sock_recv_into(client, rest).await? {
            0 => return Ok(None),
            read => filled += read,
        }
    }
    Ok(Some(Order::parse(bytes)))
}
