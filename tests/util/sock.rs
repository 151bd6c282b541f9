//! Helpers for the tests of sockets.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use super::run_iteration;
use sendloop::{Loop, LoopHandle, Socket, Task};

/// Returns a socket of a loop and its peer, a blocking stream.
pub fn pair() -> (Rc<Socket<UnixStream>>, UnixStream) {
    let (near, far) = UnixStream::pair().expect("a pair");
    (Rc::new(Socket::new(near).expect("non-blocking")), far)
}

/// Creates a task that receives bytes, and polls it once.
#[track_caller]
pub fn receiver<T: AsFd + 'static>(
    event_loop: &Loop,
    from: &Rc<Socket<T>>,
    max_bytes: usize,
) -> Task<Vec<u8>> {
    let (handle, from) = (event_loop.handle(), from.clone());
    let task = event_loop
        .create_task(async move { handle.sock_recv(&from, max_bytes).await.expect("received") });
    run_iteration(event_loop);
    task
}

/// Returns the bytes that a task received. Panics if the task does not end in time.
#[track_caller]
pub fn result(event_loop: &Loop, task: Task<Vec<u8>>) -> Vec<u8> {
    let waited = event_loop.wait_for(task, Duration::from_secs(10));
    let result = event_loop.run_until_complete(waited);
    result.expect("the task ends in time").expect("a result")
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
