//! Connections that each send again after their reply, for latencies.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::client::{Client, MESSAGE, message};
use super::{latencies, note_latencies};
use crate::runner::results::Sample;
use crate::runner::rounds::{Peer, sample};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Measures a number of requests over all connections as one sample.
pub fn measure_closed(peer: &mut Peer, client: &mut Client, requests: u64) -> Result<Sample> {
    let mut run =
        Run { begun: vec![Instant::now(); client.len()], left: requests, latencies: latencies()? };
    let poll = Poll::new()?;
    for (place, connection) in client.connections().iter().enumerate() {
        let number = connection.as_raw_fd();
        poll.registry().register(&mut SourceFd(&number), Token(place), Interest::READABLE)?;
    }
    let mut poll = Some(poll);
    let mut work = |_: &mut Peer| {
        run.all(poll.take().context("once")?, client.connections())?;
        Ok(requests as f64)
    };
    let mut sample = sample(peer, &mut work).with_context(|| peer.name.clone())?;
    note_latencies(&mut sample, &run.latencies);
    Ok(sample)
}

struct Run {
    begun: Vec<Instant>,
    /// The requests that are still to be sent.
    left: u64,
    latencies: Histogram<u64>,
}

impl Run {
    fn all(&mut self, mut poll: Poll, connections: &mut [TcpStream]) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut owed = 0;
        for (place, connection) in connections.iter_mut().enumerate() {
            owed += self.send(place, connection)?;
        }
        while owed > 0 {
            poll.poll(&mut events, Some(TIMEOUT))?;
            ensure!(!events.is_empty(), "no answer came");
            for event in &events {
                let place = event.token().0;
                self.receive(place, &mut connections[place])?;
                owed -= 1;
                owed += self.send(place, &mut connections[place])?;
            }
        }
        Ok(())
    }

    /// Sends a request if any is left, and returns the number sent.
    fn send(&mut self, place: usize, connection: &mut TcpStream) -> Result<u64> {
        if self.left == 0 {
            return Ok(0);
        }
        self.begun[place] = Instant::now();
        let sent = connection.write(&message(self.left, place))?;
        ensure!(sent == MESSAGE, "a message has room");
        self.left -= 1;
        Ok(1)
    }

    fn receive(&mut self, place: usize, connection: &mut TcpStream) -> Result<()> {
        let mut bytes = [0; MESSAGE];
        let read = connection.read(&mut bytes).context("an answer")?;
        ensure!(read == MESSAGE, "an answer comes whole");
        let took = self.begun[place].elapsed();
        Ok(self.latencies.record(took.as_nanos() as u64)?)
    }
}
