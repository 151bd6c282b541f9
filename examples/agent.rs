//! An agent: it sends a UDP heartbeat, and reads the output of a child process line by line. SIGHUP
//! reloads the configuration; SIGTERM ends the agent and the child.
//!
//! `cargo run --example agent -- FILE`, with three lines: ADDR:PORT, a period in ms, a command.

use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::{env, error::Error, fs, io, io::Read, pin::pin, time::Duration};

use futures_util::future::{Either, select, try_join};
use sendloop::{LoopHandle, Socket};

struct KillOnDrop(Child);
impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let file = env::args().nth(1).ok_or("usage: agent FILE")?;
    sendloop::run(async |event_loop| {
        let mut terminate = event_loop.signal(libc::SIGTERM)?;
        match select(pin!(work(&event_loop, &file)), pin!(terminate.recv())).await {
            Either::Left((ended, _)) => ended,
            Either::Right(_) => Ok(()),
        }
    })?
}

async fn work(event_loop: &LoopHandle, file: &str) -> Result<(), Box<dyn Error>> {
    let mut hangup = event_loop.signal(libc::SIGHUP)?;
    loop {
        let config = fs::read_to_string(file)?;
        let [to, period, command] = Vec::from_iter(config.lines())[..] else {
            return Err(format!("{file} must have three lines").into());
        };
        println!("loaded {file}");
        let heart = heartbeat(event_loop, to.parse()?, period.parse()?);
        let both = try_join(heart, watch(event_loop, command));
        // SIGHUP drops both futures, and so kills the child.
        if let Either::Left((ended, _)) = select(pin!(both), pin!(hangup.recv())).await {
            return Ok(ended.map(drop)?);
        }
    }
}

async fn heartbeat(event_loop: &LoopHandle, to: SocketAddr, millis: u64) -> io::Result<()> {
    let socket = Socket::new(UdpSocket::bind("0.0.0.0:0")?)?;
    let mut next = event_loop.time();
    loop {
        let _ = event_loop.sock_sendto(&socket, b"alive", &to).await; // It may be away.
        next += Duration::from_millis(millis);
        event_loop.sleep_until(next).await;
    }
}

/// Runs the command, and restarts it one second after its output has ended.
async fn watch(event_loop: &LoopHandle, command: &str) -> io::Result<()> {
    loop {
        let mut shell = Command::new("sh");
        let shell = shell.arg("-c").arg(format!("exec {command}"));
        let mut child = KillOnDrop(shell.stdout(Stdio::piped()).spawn()?);
        let mut output = child.0.stdout.take().expect("piped");
        let (mut text, mut block) = (Vec::new(), [0; 4096]);
        loop {
            event_loop.readable(&output).await?;
            match output.read(&mut block)? {
                0 => break,
                len => text.extend_from_slice(&block[..len]),
            }
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                print!("child: {}", String::from_utf8_lossy(&line));
            }
        }
        event_loop.sleep(Duration::from_secs(1)).await;
    }
}
