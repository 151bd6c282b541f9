//! A: one large file over one connection.

use anyhow::Result;

use super::{Scale, download};
use crate::Options;
use crate::runner::results;
use crate::runner::rounds::Plan;

const MIB: u64 = 1 << 20;
const SIZE: u64 = 1 << 30;

pub fn run(options: &Options) -> Result<()> {
    let scale = Scale::of(options);
    let size = scale.units(SIZE / MIB) * MIB;
    download::make(options, size)?;
    let mut peers = download::start(options, &download::PEERS, size)?;
    let plan = Plan {
        key: "A large file",
        title: "a file of 1 GiB from the page cache over one connection",
        unit: "MiB",
        rounds: scale.rounds,
    };
    let table = plan.run(&mut peers, |peer| {
        let mut client = download::Client::connect(peer.side.port)?;
        Ok((client.fetch(size, 1)? / MIB) as f64)
    })?;
    results::save(&options.folder, &table)
}
