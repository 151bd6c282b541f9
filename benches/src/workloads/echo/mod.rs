//! Clients that C, F and I share: they send requests in equal bursts and wait for all replies.
//!
//! # Equal bursts
//!
//! A fast server sleeps when the first request comes. A slow server finds many requests at one
//! poll, so its poll is cheap for each. Bursts give every server the same work: the runner stops
//! the server (SIGSTOP), every connection sends, the server goes on, and the next burst begins
//! after the last reply. A stop costs the server a sleep, a wake-up, an EINTR and a poll. The same
//! sample measures stops without a burst and subtracts them; their cost is kept as `gate`.
//!
//! One connection makes no bursts. The client waits a little before each request, so that each
//! finds the server asleep. That figure is mostly the kernel's time for sleeping and waking.
//!
//! The client polls for replies without sleeping in the kernel. Otherwise each send would have to
//! wake the client, at the server's cost, and more often for a slower server.
//!
//! Latency is measured apart: there each connection sends as soon as it has its reply.

pub mod calls;
pub mod client;
pub mod closed;
pub mod gate;

use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

use crate::runner::results::Sample;
use crate::runner::rounds::{Peer, sample};
use client::rest;
use gate::Gate;

/// The number of stops without a burst in each sample.
const GATES: u32 = 200;

/// Latencies of up to ten seconds in nanoseconds, to three digits.
pub fn latencies() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 10_000_000_000, 3)?)
}

/// Notes the median and the 99th percentile, in seconds.
pub fn note_latencies(sample: &mut Sample, latencies: &Histogram<u64>) {
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
        let nanoseconds = latencies.value_at_quantile(quantile);
        sample.other.insert(name.to_string(), nanoseconds as f64 / 1e9);
    }
}

/// A client that sends requests in equal bursts.
pub trait Bursts {
    /// The number of requests in a burst.
    fn requests(&self) -> usize;
    /// Returns true if the server is stopped while the client prepares a burst.
    fn is_gated(&self) -> bool {
        true
    }
    /// Sends one burst to a server and checks every reply.
    fn burst(&mut self, server: u32, latencies: &mut Histogram<u64>) -> Result<()>;
}

/// Measures a number of bursts as one sample.
pub fn measure_bursts(peer: &mut Peer, client: &mut impl Bursts, bursts: u64) -> Result<Sample> {
    let server = peer.side.id();
    let mut latencies = latencies()?;
    let mut work = |_: &mut Peer| {
        for _ in 0..bursts {
            client.burst(server, &mut latencies)?;
        }
        rest();
        Ok((bursts * client.requests() as u64) as f64)
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

/// Returns the server's CPU time of one stop.
fn gate_cost(peer: &Peer) -> Result<Duration> {
    let begin = peer.side.cpu.now()?;
    for _ in 0..GATES {
        drop(Gate::close(peer.side.id())?);
        rest();
    }
    Ok(peer.side.cpu.since(begin)? / GATES)
}

/// Returns a number of connections in words.
pub fn words(connections: usize) -> String {
    match connections {
        1 => "one connection".to_string(),
        1_000.. => format!("{},000 connections", connections / 1_000),
        other => format!("{other} connections"),
    }
}
