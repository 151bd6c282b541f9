use std::io;
use std::net::UdpSocket;

use sendloop::Socket;

use super::BUFFER;

pub(super) fn run(socket: UdpSocket) -> io::Result<()> {
    sendloop::run(async |event_loop| {
        let socket = Socket::new(socket)?;
        let mut buffer = [0; BUFFER];
        loop {
            let (len, sender) = event_loop.sock_recvfrom_into(&socket, &mut buffer).await?;
            event_loop.sock_sendto(&socket, &buffer[..len], &sender).await?;
        }
    })?
}
