//! B: many small sends over one connection.

use anyhow::Result;

use super::{Scale, download};
use crate::Options;
use crate::runner::results;
use crate::runner::rounds::Plan;

/// A size, its name, and the sends of a sample.
pub const SIZES: [(u64, &str, u64); 2] =
    [(4 << 10, "4 KiB", 100_000), (64 << 10, "64 KiB", 16_000)];

/// The system calls of sendloop by hand: the difference to them is the cost of the loop.
const CALLS: [&str; 2] = ["blocking_lseek", "blocking_probe_lseek"];

/// sendloop without the file's position.
pub const NO_POSITION: [&str; 2] = ["sendloop_noposition", "sendloop_noposition_noprefetch"];

pub fn run(options: &Options) -> Result<()> {
    let scale = Scale::of(options);
    for (size, name, times) in SIZES {
        let times = scale.units(times);
        download::make(options, size)?;
        let names = [&CALLS[..], &download::PEERS].concat();
        let mut peers = download::start(options, &names, size)?;
        let plan = Plan {
            key: &format!("B {name}"),
            title: &format!("a file of {name}, sent again and again over one connection"),
            unit: "send",
            rounds: scale.rounds,
        };
        let table = plan.run(&mut peers, |peer| {
            download::Client::connect(peer.side.port)?.fetch(size, times)?;
            Ok(times as f64)
        })?;
        results::save(options, &table)?;
    }
    Ok(())
}

/// Compares transfers that leave the file position alone with bare calls.
pub fn without_position(options: &Options) -> Result<()> {
    let scale = Scale::of(options);
    let size = 4 << 10;
    let times = scale.units(200_000);
    download::make(options, size)?;
    let peers = [&["blocking", "epoll", "blocking_probe"], &NO_POSITION[..]].concat();
    let mut peers = download::start(options, &peers, size)?;
    let plan = Plan {
        key: "B no position",
        title: "a file of 4 KiB, sent again and again without its position",
        unit: "send",
        rounds: scale.rounds,
    };
    let table = plan.run(&mut peers, |peer| {
        download::Client::connect(peer.side.port)?.fetch(size, times)?;
        Ok(times as f64)
    })?;
    results::save(options, &table)
}
