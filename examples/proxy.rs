//! A TCP proxy. It passes half-closes on, and ends a connection on which nothing moves.
//!
//! `cargo run --example proxy -- 127.0.0.1:8010 127.0.0.1:8007 60`, the last in seconds.

use std::cell::Cell;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::pin::pin;
use std::time::{Duration, Instant};
use std::{env, error::Error, io};

use futures_util::future::{Either, select, try_join};
use sendloop::{LoopHandle, Socket};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [listen, target, idle] = args.as_slice() else {
        return Err("usage: proxy LISTEN TARGET SECONDS".into());
    };
    let (target, idle) = (target.parse()?, Duration::from_secs_f64(idle.parse()?));
    let listener = Socket::new(TcpListener::bind(listen)?)?;
    println!("listening on {}", listener.get_ref().local_addr()?);
    let ended = sendloop::run(async |event_loop| {
        loop {
            let Ok((client, peer)) = event_loop.sock_accept(&listener).await else {
                event_loop.sleep(Duration::from_millis(100)).await;
                continue;
            };
            let handle = event_loop.clone();
            event_loop.create_task(async move {
                match relay(&handle, client, target, idle).await {
                    Ok((up, down)) => println!("{peer}: {up} bytes up, {down} bytes down"),
                    Err(error) => println!("{peer}: {error}"),
                }
            });
        }
    });
    // Ctrl-C is the usual end.
    let is_interrupt = |error: &io::Error| error.kind() == io::ErrorKind::Interrupted;
    ended.or_else(|error| is_interrupt(&error).then_some(()).ok_or(error.into()))
}

/// Copies in both directions until both have ended; returns the bytes of each.
async fn relay(
    event_loop: &LoopHandle,
    client: Socket<TcpStream>,
    target: SocketAddr,
    idle: Duration,
) -> io::Result<(u64, u64)> {
    let server = Socket::tcp(&target)?;
    let connected = event_loop.sock_connect(&server, &target);
    event_loop.wait_for(connected, idle).await??;
    let last = Cell::new(event_loop.time());
    let up = copy(event_loop, &client, &server, &last);
    let down = copy(event_loop, &server, &client, &last);
    let idle = pin!(async {
        while event_loop.time() < last.get() + idle {
            event_loop
                .sleep(last.get() + idle - event_loop.time())
                .await;
        }
    });
    match select(pin!(try_join(up, down)), idle).await {
        Either::Left((copied, _)) => copied,
        Either::Right(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Notes in `last` when bytes moved.
async fn copy(
    event_loop: &LoopHandle,
    from: &Socket<TcpStream>,
    to: &Socket<TcpStream>,
    last: &Cell<Instant>,
) -> io::Result<u64> {
    let mut buffer = vec![0; 16 << 10];
    let mut total = 0;
    loop {
        let len = event_loop.sock_recv_into(from, &mut buffer).await?;
        last.set(event_loop.time());
        if len == 0 {
            to.shutdown(Shutdown::Write)?;
            return Ok(total);
        }
        event_loop.sock_sendall(to, &buffer[..len]).await?;
        last.set(event_loop.time());
        total += len as u64;
    }
}
