//! Retries with growing delays. `Clock::paused()` makes their unit tests take no time.
//!
//! `cargo run --example retry -- localhost 8007`, and `cargo test --example retry`.

use std::time::Duration;
use std::{env, error::Error, io};

use sendloop::LoopHandle;

const ATTEMPTS: u32 = 5;
const TIMEOUT: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [host, port] = args.as_slice() else {
        return Err("usage: retry HOST PORT".into());
    };
    let port = port.parse()?;
    sendloop::run(async |event_loop| {
        let socket = retry(&event_loop, || event_loop.connect(host, port)).await?;
        println!("connected to {}", socket.get_ref().peer_addr()?);
        Ok(())
    })?
}

/// Calls `attempt` until it succeeds. The delays between attempts are 1, 2, 4, and 8 seconds.
async fn retry<T>(
    event_loop: &LoopHandle,
    mut attempt: impl AsyncFnMut() -> io::Result<T>,
) -> io::Result<T> {
    let mut delay = Duration::from_secs(1);
    for _ in 1..ATTEMPTS {
        if let Ok(Ok(output)) = event_loop.wait_for(attempt(), TIMEOUT).await {
            return Ok(output);
        }
        event_loop.sleep(delay).await;
        delay *= 2;
    }
    event_loop.wait_for(attempt(), TIMEOUT).await?
}

#[cfg(test)]
mod tests {
    use super::*;
    use sendloop::{Clock, Loop};

    /// Runs `retry` in virtual time. Returns its result and the seconds that it took.
    #[track_caller]
    fn retried<T>(attempt: impl AsyncFnMut() -> io::Result<T>) -> (io::Result<T>, f64) {
        let clock = Clock::paused();
        let event_loop = Loop::builder().clock(clock.clone()).build();
        let event_loop = event_loop.expect("a loop");
        let start = clock.now();
        let result = event_loop.run_until_complete(retry(&event_loop, attempt));
        (result, (clock.now() - start).as_secs_f64())
    }

    #[test]
    fn success_takes_no_delay() {
        let (result, seconds) = retried(async || Ok("done"));
        assert_eq!((result.ok(), seconds), (Some("done"), 0.0));
    }

    #[test]
    fn delays_double_until_the_last_error() {
        let (result, seconds) = retried(async || Err::<(), _>(io::ErrorKind::Other.into()));
        let error = result.expect_err("each attempt fails").kind();
        assert_eq!((error, seconds), (io::ErrorKind::Other, 15.0));
    }

    #[test]
    fn attempt_that_hangs_times_out() {
        let (result, seconds) = retried(std::future::pending::<io::Result<()>>);
        let error = result.expect_err("each attempt hangs").kind();
        assert_eq!((error, seconds), (io::ErrorKind::TimedOut, 65.0));
    }
}
