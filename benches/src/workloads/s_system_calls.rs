//! S: system calls per unit of work. They are exact, unlike times.

use anyhow::Result;

use super::{b_small_sends, download};
use crate::Options;
use crate::runner::results::{self, Table};
use crate::runner::strace;

const LARGE: u64 = 64 << 20;
const MIB: f64 = (1 << 20) as f64;

pub fn run(options: &Options) -> Result<()> {
    for (size, name, _) in b_small_sends::SIZES {
        let table = table(options, &format!("S send {name}"), size, [1_000, 11_000])?;
        results::save(options, &table)?;
    }
    let mut table = table(options, "S large file", LARGE, [1, 17])?;
    table.title = "system calls per MiB of a large file".to_string();
    table.unit = "MiB".to_string();
    let samples = table.series.iter_mut().flat_map(|series| &mut series.samples);
    for sample in samples {
        let mib = LARGE as f64 / MIB;
        sample.units *= mib;
        sample.other.values_mut().for_each(|calls| *calls /= mib);
    }
    results::save(options, &table)
}

/// Counts the calls for files of one size.
fn table(options: &Options, key: &str, size: u64, times: [u64; 2]) -> Result<Table> {
    download::make(options, size)?;
    let mut series = Vec::new();
    for peer in [&download::PEERS[..], &b_small_sends::NO_POSITION].concat() {
        let program = download::program(options, peer)?;
        let by = (&program, options.folder.as_path());
        series.push(strace::series(peer, by, times, |side, times| {
            download::Client::connect(side.port)?.fetch(size, times)?;
            Ok(())
        })?);
    }
    Ok(Table {
        key: key.to_string(),
        title: format!("system calls per send of {size} bytes"),
        unit: "send".to_string(),
        series,
    })
}
