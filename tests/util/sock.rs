//! Helpers for the tests of sockets.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use super::run_iteration;
use sendloop::{Loop, LoopHandle, Socket, Task};

/// A socket of a loop and a blocking stream.
pub fn pair() -> (Rc<Socket<UnixStream>>, UnixStream) {
    let (near, far) = UnixStream::pair().expect("a pair");
    (Rc::new(Socket::new(near).expect("non-blocking")), far)
}

/// A task that receives some bytes and has been polled.
#[track_caller]
pub fn receiver<T: AsFd + 'static>(
    event_loop: &Loop,
    from: &Rc<Socket<T>>,
    most: usize,
) -> Task<Vec<u8>> {
    let (handle, from) = (event_loop.handle(), from.clone());
    let task = event_loop
        .create_task(async move { handle.sock_recv(&from, most).await.expect("received") });
    run_iteration(event_loop);
    task
}

/// Returns the bytes that a task received. It panics if the task hangs.
#[track_caller]
pub fn result(event_loop: &Loop, task: Task<Vec<u8>>) -> Vec<u8> {
    let waited = event_loop.wait_for(task, Duration::from_secs(10));
    let result = event_loop.run_until_complete(waited);
    result.expect("it hangs").expect("a result")
}

/// One byte more than 2 MiB.
pub const LARGE: usize = (2 << 20) + 1;

/// Reads everything up to the end of the stream, in pieces of limited size.
pub async fn read_all<T: AsFd>(event_loop: &LoopHandle, from: &Socket<T>, piece: usize) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let some = event_loop.sock_recv(from, piece).await.expect("received");
        if some.is_empty() {
            return all;
        }
        all.extend(some);
    }
}
