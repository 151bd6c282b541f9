//! A server that reads lines with `BufReader::lines` over a socket. It responds to each line with
//! its number and length.
//!
//! ```text
//! cargo run --example line_server -- 127.0.0.1:8007      the address is optional
//! nc 127.0.0.1 8007                                      type something
//! ```

#[path = "adapters/futures_io.rs"]
mod adapter;

use std::env;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use sendloop::{LoopHandle, Socket};

fn main() -> io::Result<()> {
    let addr = env::args().nth(1);
    let listener = TcpListener::bind(addr.as_deref().unwrap_or("127.0.0.1:8007"))?;
    println!("listening on {}", listener.local_addr()?);
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

async fn serve(event_loop: &LoopHandle, client: Socket<TcpStream>) -> io::Result<()> {
    let (reader, mut writer) = adapter::Stream::new(event_loop, client).split();
    let mut lines = BufReader::new(reader).lines().enumerate();
    while let Some((n, line)) = lines.next().await {
        let answer = format!("line {n}: {} bytes\n", line?.len());
        writer.write_all(answer.as_bytes()).await?;
    }
    writer.close().await
}
