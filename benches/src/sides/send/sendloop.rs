use std::io;
use std::net::{TcpListener, TcpStream};

use sendloop::{LoopHandle, Socket};

use super::{Folder, ORDER, Order};

/// The options of a transfer.
#[derive(Clone, Copy)]
pub(super) struct Settings {
    pub prefetch: bool,
    pub update_position: bool,
}

pub(super) fn run(listener: TcpListener, folder: Folder, settings: Settings) -> io::Result<()> {
    sendloop::run(async |event_loop| {
        let listener = Socket::new(listener)?;
        loop {
            let (client, _) = event_loop.sock_accept(&listener).await?;
            let serve = serve(event_loop.clone(), client, folder.clone(), settings);
            event_loop.create_task(serve);
        }
    })?
}

async fn serve(
    event_loop: LoopHandle,
    client: Socket<TcpStream>,
    folder: Folder,
    settings: Settings,
) -> io::Result<()> {
    while let Some(order) = order(&event_loop, &client).await? {
        for (file, size) in folder.batch(order)?.files() {
            let send = event_loop.sock_sendfile(&client, file).count(*size);
            let send = send.prefetch(settings.prefetch);

            let send = send.update_position(settings.update_position);
            send.await?;
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
