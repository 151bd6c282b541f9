//! The loop inside another loop that waits with poll(2), such as that of a game or a window system.
//!
//! The outer loop waits for the loop's descriptor, which is readable if an iteration is due. On
//! Linux it needs no timeout. On other systems its timeout is `next_timeout`.
//! `cargo run --example embed_poll`, then `nc` to the TCP port and `nc -u` to the UDP port. The TCP
//! clients get each datagram. The datagram "stop" ends the program.

use std::cell::RefCell;
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::rc::Rc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use sendloop::{Loop, LoopHandle, Socket};

type Clients = RefCell<Vec<Rc<Socket<TcpStream>>>>;

fn main() -> io::Result<()> {
    let udp = UdpSocket::bind("127.0.0.1:0")?;
    let listener = Socket::new(TcpListener::bind("127.0.0.1:0")?)?;
    println!("listening on {}", listener.get_ref().local_addr()?);
    println!("listening on {}", udp.local_addr()?);
    let event_loop = Loop::new()?;
    let clients = Rc::<Clients>::default();
    event_loop.create_task(accept(event_loop.handle(), listener, clients.clone()));
    loop {
        let mut fds = [PollFd::new(&event_loop, PollFlags::IN), PollFd::new(&udp, PollFlags::IN)];
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => continue,
            result => result?,
        };
        let [is_due, is_received] = fds.map(|fd| !fd.revents().is_empty());
        if is_due {
            event_loop.run_once(Some(Duration::ZERO))?;
        }
        if is_received {
            let mut buffer = [0; 1024];
            let len = udp.recv(&mut buffer)?;
            if buffer.starts_with(b"stop") {
                return Ok(());
            }
            // New work makes the descriptor readable, so the loop runs it next.
            for client in clients.borrow().iter() {
                let (handle, client) = (event_loop.handle(), client.clone());
                let text = buffer[..len].to_vec();
                event_loop.create_task(async move {
                    handle.sleep(Duration::from_millis(20)).await;
                    handle.sock_sendall(&client, &text).await
                });
            }
        }
    }
}

async fn accept(event_loop: LoopHandle, listener: Socket<TcpListener>, clients: Rc<Clients>) {
    while let Ok((client, _)) = event_loop.sock_accept(&listener).await {
        let (handle, clients) = (event_loop.clone(), clients.clone());
        event_loop.create_task(async move {
            let client = Rc::new(client);
            clients.borrow_mut().push(client.clone());
            handle.sock_sendall(&client, b"welcome\n").await?;
            // The end of what the client sends is the end of the client.
            while !handle.sock_recv(&client, 1024).await?.is_empty() {}
            clients.borrow_mut().retain(|other| !Rc::ptr_eq(other, &client));
            io::Result::Ok(())
        });
    }
}
