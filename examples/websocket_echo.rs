//! A WebSocket server over async-tungstenite that sends each message back.
//!
//! ```text
//! cargo run --example websocket_echo -- 127.0.0.1:8008     the address is optional
//! python3 -m websockets ws://127.0.0.1:8008/               type something
//! ```

#[path = "adapters/futures_io.rs"]
mod adapter;

use std::env;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use async_tungstenite::accept_async;
use async_tungstenite::tungstenite::{Error, Result};
use futures_util::StreamExt;
use sendloop::{LoopHandle, Socket};

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

fn main() -> io::Result<()> {
    let addr = env::args().nth(1);
    let listener = TcpListener::bind(addr.as_deref().unwrap_or("127.0.0.1:8008"))?;
    println!("listening on ws://{}", listener.local_addr()?);
    let listener = Socket::new(listener)?;
    let ended = sendloop::run(async |event_loop| {
        loop {
            match event_loop.sock_accept(&listener).await {
                Ok((client, peer)) => {
                    let handle = event_loop.clone();
                    event_loop.create_task(async move {
                        if let Err(error) = serve(&handle, client).await {
                            eprintln!("{peer}: {error}");
                        }
                    });
                }
                Err(error) => {
                    eprintln!("cannot accept: {error}");
                    event_loop.sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
    match ended {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()), // Ctrl-C
        result => result,
    }
}

async fn serve(event_loop: &LoopHandle, client: Socket<TcpStream>) -> Result<()> {
    client.get_ref().set_nodelay(true)?;
    let handshake = accept_async(adapter::Stream::new(event_loop, client));
    let handshake = event_loop.wait_for(handshake, HANDSHAKE_TIMEOUT).await;
    let mut socket = handshake.map_err(|timeout| Error::Io(timeout.into()))??;
    while let Some(message) = socket.next().await {
        // async-tungstenite responds to pings and to the close message.
        match message? {
            message if message.is_text() || message.is_binary() => socket.send(message).await?,
            _ => {}
        }
    }
    Ok(())
}
