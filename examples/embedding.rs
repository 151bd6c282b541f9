//! A loop inside another loop: one that polls by poll(2), as that of a window system or a game would.
//!
//! The outer loop waits for two descriptors without a timeout: that of the event loop, and a pipe
//! that a thread writes to. Its own code starts work on the event loop whenever it likes: the
//! descriptor becomes readable. It ends by itself: `cargo run --example embedding`.

use std::fs::File;
use std::io::{self, Read, Write};
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

/// Waits until the event loop or the pipe is readable, and returns which of them is.
fn wait(event_loop: &Loop, pipe: Option<&File>) -> io::Result<(bool, bool)> {
    let mut fds = vec![PollFd::new(event_loop, PollFlags::IN)];
    fds.extend(pipe.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
    // Only on Linux does a timer make the event loop's descriptor readable.
    let timeout = match cfg!(any(target_os = "linux", target_os = "android")) {
        true => None,
        false => event_loop.next_timeout(),
    };
    let timeout = timeout.map(Timespec::try_from).transpose();
    match poll(&mut fds, timeout.map_err(io::Error::other)?.as_ref()) {
        Err(rustix::io::Errno::INTR) => return Ok((false, false)),
        result => result?,
    };
    let is_readable = |fd: &PollFd<'_>| !fd.revents().is_empty();
    Ok((is_readable(&fds[0]), fds.get(1).is_some_and(is_readable)))
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

    let (mut iterations, mut open) = (0, true);
    while open || !task.done() {
        let (is_due, readable) = wait(&event_loop, open.then_some(&reader))?;
        if readable {
            let mut text = [0; 16];
            let received = reader.read(&mut text)?;
            open = received > 0;
            let text = String::from_utf8_lossy(&text[..received]).into_owned();
            println!("the outer loop: the pipe has {text:?}");
            event_loop.call_soon(move || println!("the event loop: the outer loop has {text:?}"));
        }
        if is_due || event_loop.next_timeout() == Some(Duration::ZERO) {
            event_loop.run_once(Some(Duration::ZERO))?;
            iterations += 1;
        }
    }
    println!("{iterations} iterations");
    thread.join().expect("it does not panic")
}
