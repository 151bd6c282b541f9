//! A chat server: it sends each line to all other clients. SIGINT and SIGTERM end it gracefully.
//!
//! `cargo run --example chat -- 127.0.0.1:8009`, then `nc 127.0.0.1 8009` in two terminals.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::{cell::RefCell, collections::HashMap, env, io, pin::pin, rc::Rc, time::Duration};

use futures_util::future::{join_all, select};
use libc::{SIGINT, SIGTERM};
use sendloop::{LoopHandle, Socket};

/// The server drops a client if more messages are queued for it, or if one is queued for longer.
const MAX_QUEUED: usize = 1000;
const MAX_DELAY: Duration = Duration::from_secs(10);
type Clients = RefCell<HashMap<SocketAddr, Rc<Socket<TcpStream>>>>;

fn main() -> io::Result<()> {
    let addr = env::args().nth(1).unwrap_or("127.0.0.1:8009".into());
    let listener = Socket::new(TcpListener::bind(addr)?)?;
    println!("listening on {}", listener.get_ref().local_addr()?);
    sendloop::run(async |event_loop| {
        let clients = Rc::<Clients>::default();
        let (mut int, mut term) = (event_loop.signal(SIGINT)?, event_loop.signal(SIGTERM)?);
        let accepting = pin!(accept(&event_loop, &listener, &clients));
        select(accepting, select(pin!(int.recv()), pin!(term.recv()))).await;
        // Sends that are queued begin now. The sends of a socket go out in that order.
        let clients = clients.take();
        event_loop.sleep(Duration::ZERO).await;
        let goodbyes = clients.into_values().map(async |client| {
            event_loop.sock_sendall(&client, b"* goodbye\n").await?;
            client.shutdown(Shutdown::Write)
        });
        let _ = event_loop.wait_for(join_all(goodbyes), MAX_DELAY).await;
        Ok(())
    })?
}

async fn accept(event_loop: &LoopHandle, listener: &Socket<TcpListener>, clients: &Rc<Clients>) {
    loop {
        let Ok((client, addr)) = event_loop.sock_accept(listener).await else {
            event_loop.sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (client, clients, handle) = (Rc::new(client), clients.clone(), event_loop.clone());
        event_loop.create_task(async move {
            clients.borrow_mut().insert(addr, client.clone());
            say(&handle, &clients, addr, "is here\n");
            let mut text = Vec::new();
            while let Ok(block) = handle.sock_recv(&client, 4096).await {
                if block.is_empty() || text.len() > 65_536 {
                    break;
                }
                text.extend(block);
                while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = text.drain(..=end).collect();
                    say(&handle, &clients, addr, &String::from_utf8_lossy(&line));
                }
            }
            clients.borrow_mut().remove(&addr);
            say(&handle, &clients, addr, "has left\n");
        });
    }
}

/// Sends a message to all clients but `from`.
fn say(event_loop: &LoopHandle, clients: &Clients, from: SocketAddr, text: &str) {
    let message = Rc::<str>::from(format!("{from} {text}"));
    for (_, client) in clients.borrow().iter().filter(|(addr, _)| **addr != from) {
        let (handle, client, message) = (event_loop.clone(), client.clone(), message.clone());
        event_loop.create_task(async move {
            // Each message that waits owns the socket once.
            let fits = Rc::strong_count(&client) < MAX_QUEUED;
            let send = handle.sock_sendall(&client, message.as_bytes());
            if !fits || handle.wait_for(send, MAX_DELAY).await.is_err() {
                let _ = client.shutdown(Shutdown::Both);
            }
        });
    }
}
