//! A: one large file over one connection.

use anyhow::Result;

use super::{Scale, download};
use crate::Options;
use crate::runner::results;
use crate::runner::rounds::Plan;

const MIB: u64 = 1 << 20;
const SIZE: u64 = 1 << 30;

/// The bare loops by their largest count. Without a number a call asks for all that is left.
pub const BARE_LOOPS: [&str; 14] = [
    "blocking",
    "blocking_64k",
    "blocking_128k",
    "blocking_256k",
    "blocking_512k",
    "blocking_1024k",
    "blocking_2048k",
    "epoll",
    "epoll_64k",
    "epoll_128k",
    "epoll_256k",
    "epoll_512k",
    "epoll_1024k",
    "epoll_2048k",
];

/// The peers beside the bare loops.
const OURS: [&str; 2] = ["sendloop", "sendloop_noprefetch"];

/// Compares with bare loops whose calls ask for 64 KiB to 2 MiB, or for all that is left.
pub fn call_sizes(options: &Options) -> Result<()> {
    let scale = Scale::of(options);
    let size = scale.units(SIZE / MIB) * MIB;
    download::make(options, size)?;
    let mut peers = download::start(options, &[&OURS[..], &BARE_LOOPS].concat(), size)?;
    let plan = Plan {
        key: "A call sizes",
        title: "a file of 1 GiB, by the size of the calls",
        unit: "MiB",
        rounds: scale.many_rounds(),
    };
    let table = plan.run(&mut peers, |peer| {
        let mut client = download::Client::connect(peer.side.port)?;
        Ok((client.fetch(size, 1)? / MIB) as f64)
    })?;
    results::save(options, &table)
}

pub fn run(options: &Options) -> Result<()> {
    let scale = Scale::of(options);
    let size = scale.units(SIZE / MIB) * MIB;
    download::make(options, size)?;
    let mut peers = download::start(options, &download::PEERS, size)?;
    let plan = Plan {
        key: "A large file",
        title: "a file of 1 GiB over one connection",
        unit: "MiB",
        rounds: scale.rounds,
    };
    let table = plan.run(&mut peers, |peer| {
        let mut client = download::Client::connect(peer.side.port)?;
        Ok((client.fetch(size, 1)? / MIB) as f64)
    })?;
    results::save(options, &table)
}
