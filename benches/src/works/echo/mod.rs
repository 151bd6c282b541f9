//! What C and F have in common: clients that send 64 bytes on each of many connections and wait for the echo.
//!
//! # What makes it fair
//!
//! How many requests a server finds at one poll depends on how fast it is: a quick one is waiting when the first comes, a slow one
//! finds many, and its poll is cheap for each. So the figure is taken of bursts that are alike for all: the server is stopped
//! (SIGSTOP), each connection sends, the server goes on, and only when all have their answer the next burst begins. What the stop
//! itself costs, with falling asleep and waking up, an EINTR and a poll, is measured by stops without a burst, in the same sample,
//! and taken off; it is kept as `gate`.
//!
//! One connection makes no bursts. There the client waits a little before each request, so that each finds the server asleep:
//! this figure is mostly what the kernel needs to put it to sleep and to wake it.
//!
//! The client looks for answers without waiting in the kernel: no send of the server's has to wake anybody, which would be at
//! the server's cost, and more often the slower the server is.
//!
//! What a client sees in time is measured apart, where each connection sends as soon as it has its answer.

pub mod calls;
pub mod client;
pub mod closed;
pub mod gate;

use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

use crate::runner::results::Sample;
use crate::runner::rounds::{Peer, sample};
use client::Client;
use gate::Gate;

/// How often the stop is measured by itself for each sample.
const GATES: u32 = 200;

/// Latencies of up to ten seconds in nanoseconds, to three digits.
pub fn latencies() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 10_000_000_000, 3)?)
}

/// The two that are shown, in seconds.
pub fn note_latencies(sample: &mut Sample, latencies: &Histogram<u64>) {
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
        let nanoseconds = latencies.value_at_quantile(quantile);
        sample
            .other
            .insert(name.to_string(), nanoseconds as f64 / 1e9);
    }
}

/// So many bursts as one measurement.
pub fn measure_bursts(peer: &mut Peer, client: &mut Client, bursts: u64) -> Result<Sample> {
    let server = peer.side.id();
    let mut latencies = latencies()?;
    let mut work = |_: &mut Peer| {
        for _ in 0..bursts {
            client.burst(server, &mut latencies)?;
        }
        client::rest();
        Ok((bursts * client.len() as u64) as f64)
    };
    let mut sample = sample(peer, &mut work).with_context(|| peer.name.clone())?;
    note_latencies(&mut sample, &latencies);
    if client.is_gated() {
        let gate = gate_cost(peer)?.as_secs_f64();
        sample.cpu -= gate * bursts as f64;
        sample.other.insert("gate".to_string(), gate);
    }
    Ok(sample)
}

/// The server's CPU time of one stop.
fn gate_cost(peer: &Peer) -> Result<Duration> {
    let begin = peer.side.cpu.now()?;
    for _ in 0..GATES {
        drop(Gate::close(peer.side.id())?);
        client::rest();
    }
    Ok(peer.side.cpu.since(begin)? / GATES)
}

/// A number of connections, as a title has it.
pub fn words(connections: usize) -> String {
    match connections {
        1 => "one connection".to_string(),
        1_000.. => format!("{},000 connections", connections / 1_000),
        other => format!("{other} connections"),
    }
}
