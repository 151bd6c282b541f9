use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};

use sendloop::{LoopHandle, Socket};

fn main() -> io::Result<()> {
    sendloop::run(async |event_loop| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        println!("ready {}", listener.local_addr()?.port());
        io::stdout().flush()?;
        let listener = Socket::new(listener)?;
        loop {
            let (client, _) = event_loop.sock_accept(&listener).await?;
            event_loop.create_task(serve(event_loop.clone(), client));
        }
    })?
}

async fn serve(event_loop: LoopHandle, client: Socket<TcpStream>) -> io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        let read = event_loop.sock_recv_into(&client, &mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        event_loop.sock_sendall(&client, &buffer[..read]).await?;
    }
}
