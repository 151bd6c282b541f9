use std::io;
use std::net;

use tokio::net::UdpSocket;

use super::BUFFER;

pub(super) fn run(socket: net::UdpSocket) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async move {
        let socket = UdpSocket::from_std(socket)?;
        let mut buffer = [0; BUFFER];
        loop {
            let (len, sender) = socket.recv_from(&mut buffer).await?;
            socket.send_to(&buffer[..len], sender).await?;
        }
    })
}
