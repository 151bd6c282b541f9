//! A TCP proxy. It passes on half-closes, and ends idle connections.
//!
//! `cargo run --example proxy -- 127.0.0.1:8010 localhost 8007 60` has an idle timeout of 60 s.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::{cell::Cell, env, error::Error, io, pin::pin, rc::Rc, time::Duration, time::Instant};

use futures_util::future::{Either, select, try_join};
use sendloop::{LoopHandle, Socket};

type Stream = Socket<TcpStream>;
/// The name and port of the target, and the idle timeout of a connection.
type Options = (String, u16, Duration);

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [listen, target, port, idle] = args.as_slice() else {
        return Err("usage: proxy LISTEN HOST PORT SECONDS".into());
    };
    let idle = Duration::from_secs_f64(idle.parse()?);
    let options = Rc::new((target.clone(), port.parse()?, idle));
    let listener = Socket::new(TcpListener::bind(listen)?)?;
    println!("listening on {}", listener.get_ref().local_addr()?);
    let ended = sendloop::run(async |event_loop| {
        loop {
            let Ok((client, peer)) = event_loop.sock_accept(&listener).await else {
                event_loop.sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (handle, options) = (event_loop.clone(), options.clone());
            event_loop.create_task(async move {
                let ended = relay(&handle, &client, &options).await;
                let text = ended.map_or_else(|error| error.to_string(), |()| "done".into());
                println!("{peer}: {text}");
            });
        }
    });
    match ended {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()), // Ctrl-C
        result => Ok(result?),
    }
}

/// Copies in both directions until both have ended.
async fn relay(event_loop: &LoopHandle, client: &Stream, options: &Options) -> io::Result<()> {
    let (host, port, idle) = options;
    let server = event_loop.wait_for(event_loop.connect(host, *port), *idle).await??;
    let last = Cell::new(event_loop.time());
    let up = copy(event_loop, client, &server, &last);
    let down = copy(event_loop, &server, client, &last);
    let watchdog = pin!(async {
        while event_loop.time() < last.get() + *idle {
            event_loop.sleep_until(last.get() + *idle).await;
        }
    });
    match select(pin!(try_join(up, down)), watchdog).await {
        Either::Left((copied, _)) => copied.map(drop),
        Either::Right(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Copies until the end, and stores the time of each transfer in `last`.
async fn copy(
    event_loop: &LoopHandle,
    from: &Stream,
    to: &Stream,
    last: &Cell<Instant>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let len = event_loop.sock_recv_into(from, &mut buffer).await?;
        last.set(event_loop.time());
        if len == 0 {
            return to.shutdown(Shutdown::Write);
        }
        event_loop.sock_sendall(to, &buffer[..len]).await?;
        last.set(event_loop.time());
    }
}
