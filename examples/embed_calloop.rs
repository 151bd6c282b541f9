//! The loop as an event source of calloop, the loop of Smithay and of many Wayland programs.
//!
//! calloop waits for the loop's descriptor, which is readable if an iteration is due. On Linux it
//! needs no timeout. On other systems its timeout is `next_timeout`.
//! `cargo run --example embed_calloop`, then `nc` to the address. The message "stop" ends the
//! program.

use std::error::Error;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use calloop::generic::Generic;
use calloop::timer::{TimeoutAction, Timer};
use calloop::{EventLoop, Interest, LoopSignal, Mode, PostAction};
use sendloop::{Loop, LoopHandle, Socket};

fn main() -> Result<(), Box<dyn Error>> {
    let listener = Socket::new(TcpListener::bind("127.0.0.1:0")?)?;
    println!("listening on {}", listener.get_ref().local_addr()?);
    let mut outer = EventLoop::<u32>::try_new()?;
    let event_loop = Loop::new()?;
    event_loop.create_task(accept(event_loop.handle(), listener, outer.get_signal()));

    let source = Generic::new(event_loop, Interest::READ, Mode::Level);
    let inserted = outer.handle().insert_source(source, |_, event_loop, _| {
        event_loop.run_once(Some(Duration::ZERO))?;
        Ok(PostAction::Continue)
    });
    inserted.map_err(|failed| failed.error)?;
    // A timer of calloop beside it.
    let timer = Timer::from_duration(Duration::from_millis(10));
    let inserted = outer.handle().insert_source(timer, |_, _, ticks| {
        *ticks += 1;
        TimeoutAction::ToDuration(Duration::from_millis(10))
    });
    inserted.map_err(|failed| failed.error)?;

    let mut ticks = 0;
    outer.run(None, &mut ticks, |_| {})?;
    println!("calloop's timer fired {ticks} times");
    Ok(())
}

async fn accept(event_loop: LoopHandle, listener: Socket<TcpListener>, outer: LoopSignal) {
    while let Ok((client, _)) = event_loop.sock_accept(&listener).await {
        event_loop.create_task(echo(event_loop.clone(), client, outer.clone()));
    }
}

/// Sends each message back, 20 ms later.
async fn echo(event_loop: LoopHandle, client: Socket<TcpStream>, outer: LoopSignal) {
    while let Ok(text) = event_loop.sock_recv(&client, 4096).await {
        if text.is_empty() {
            return;
        }
        if text.starts_with(b"stop") {
            outer.stop();
        }
        event_loop.sleep(Duration::from_millis(20)).await;
        if event_loop.sock_sendall(&client, &text).await.is_err() {
            return;
        }
    }
}
