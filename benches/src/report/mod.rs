//! Tables and plots of the samples.

use anyhow::Result;

use crate::Options;
use crate::runner::results;

pub fn write(options: &Options) -> Result<()> {
    for table in results::load(&options.folder)?.values() {
        println!("{}: {}", table.key, table.title);
        for series in &table.series {
            let cost = series.cost();
            println!(
                "  {:24} {:10.1} ns ({:.1} to {:.1})",
                series.peer,
                cost.median * 1e9,
                cost.low * 1e9,
                cost.high * 1e9
            );
        }
    }
    Ok(())
}
