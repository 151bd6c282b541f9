//! A loop inside another loop: one that polls by poll(2), as that of a window system or a game would.
//!
//! The outer loop waits for two descriptors: the event loop's, and a pipe that a thread writes to. It never waits longer than the
//! event loop has time. It ends by itself: `cargo run --example embedding`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sendloop::{Loop, LoopHandle};

async fn tick(event_loop: LoopHandle) {
    for n in 1..=5 {
        event_loop.sleep(Duration::from_millis(20)).await;
        println!("the event loop: tick {n}");
    }
}

/// Waits for what comes first, and says for which of the two it was: the event loop's descriptor, or the pipe.
fn wait(event_loop: &Loop, pipe: Option<&File>) -> io::Result<(bool, bool)> {
    let mut fds = vec![PollFd::new(event_loop, PollFlags::IN)];
    fds.extend(pipe.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
    // Asked right before waiting; `None` is for ever.
    let timeout = event_loop.next_timeout().map(Timespec::try_from);
    let timeout = timeout.transpose().map_err(io::Error::other)?;
    match poll(&mut fds, timeout.as_ref()) {
        Err(rustix::io::Errno::INTR) | Ok(0) => return Ok((false, false)),
        result => result?,
    };
    let spoke = |fd: &PollFd<'_>| !fd.revents().is_empty();
    Ok((spoke(&fds[0]), fds.get(1).is_some_and(spoke)))
}

fn main() -> io::Result<()> {
    let (reader, writer) = rustix::pipe::pipe()?;
    let (mut reader, mut writer) = (File::from(reader), File::from(writer));
    let event_loop = Loop::new()?;
    let task = event_loop.create_task(tick(event_loop.handle()));
    let remote = event_loop.remote();
    let thread = thread::spawn(move || {
        for n in 1..=3 {
            thread::sleep(Duration::from_millis(30));
            writer.write_all(&[b'0' + n])?;
        }
        let call = move || println!("the event loop: a call from the thread");
        remote.call_soon_threadsafe(call).map_err(io::Error::other)
    });

    let (mut turns, mut open) = (0, true);
    while open || !task.done() {
        let (_, readable) = wait(&event_loop, open.then_some(&reader))?;
        if readable {
            let mut text = [0; 16];
            let received = reader.read(&mut text)?;
            open = received > 0;
            let text = String::from_utf8_lossy(&text[..received]);
            println!("the outer loop: the pipe says {text:?}");
        }
        // Whatever it was: a timer may have become due as well. There is no harm in a turn with nothing to do.
        event_loop.run_once(Some(Duration::ZERO))?;
        turns += 1;
    }
    println!("descriptor {:?}: {turns} turns", event_loop.as_fd());
    thread.join().expect("it does not panic")
}
